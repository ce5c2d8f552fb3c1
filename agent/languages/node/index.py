"""When a package's version was published, as npm's registry tells it (`time` of a packument)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from agent.domain.package import Package
from agent.errors import Refused
from agent.languages.node.npm import npm

AT_ONCE, SECONDS = 4, 60.0


class NpmIndex:
    """`Index` of npm's packages, at the registry that npm is set up with."""

    def released(self, packages: Sequence[Package]) -> Mapping[Package, datetime | None]:
        names = sorted({package.name for package in packages})
        with ThreadPoolExecutor(AT_ONCE) as pool:
            told = dict(zip(names, pool.map(_times, names), strict=True))
        return {package: _time(package, told[package.name]) for package in packages}


def _times(name: str) -> dict[str, str]:
    """By version; empty where the registry tells none."""
    with tempfile.TemporaryDirectory(prefix="skillops-") as nowhere:  # where no .npmrc of a project lies
        said = npm("view", "--json", "--prefer-online", "--", name, "time", cwd=Path(nowhere), seconds=SECONDS).strip()
    try:
        found = json.loads(said or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _time(package: Package, told: dict[str, str]) -> datetime | None:
    if told and package.version not in told:
        raise Refused(f"The registry has no {package}.", next_step="Lock a version that it has.")
    try:
        return datetime.fromisoformat(told[package.version]) if told else None
    except (TypeError, ValueError):
        return None

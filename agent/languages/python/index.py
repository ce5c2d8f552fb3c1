"""When a file was uploaded, as a package index of Python tells it (`upload-time` of the JSON simple API, PEP 691 and PEP 700)."""

from __future__ import annotations

import ast
import re
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.domain.package import Package
from agent.errors import CouldNotTell, Refused

PYPI = "https://pypi.org/simple"
SECONDS = 30.0
_FORM = "application/vnd.pypi.simple.v1+json"
_SECTIONS = ("global", "install", ":env:")  # of pip's settings, what counts for more last
_USER_INFO = re.compile(r"(?<=//)[^/@\s]+@")  # of an address: a name and a password
_NEXT = "Look at the network and pip's index, then try again."


class PythonIndex:
    """`Index` of Python's packages, at the indexes that pip is set up with (`pip config list`)."""

    def released(self, packages: Sequence[Package]) -> Mapping[Package, datetime | None]:
        if not packages:
            return {}
        import httpx

        settings = _settings()
        addresses = [settings.get("index-url", PYPI), *settings.get("extra-index-url", "").split()]
        if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
            raise CouldNotTell("The age of the dependencies cannot be told.", why="pip is set up to ask no index.", next_step=_NEXT)
        trusted = settings.get("cert")
        try:
            verify = ssl.create_default_context(cafile=trusted) if trusted else True
            with httpx.Client(timeout=SECONDS, follow_redirects=True, verify=verify, headers={"Accept": _FORM}) as client:
                return {package: _youngest(package, [_files(client, each, package.name) for each in addresses]) for package in packages}
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise CouldNotTell("The package index is out of reach.", why=_said(error), next_step=_NEXT) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CouldNotTell("The package index gave no answer that can be read.", why=f"{error!r}"[:300], next_step=_NEXT) from None


def _said(error: Exception) -> str:
    """Without what pip's settings hold to sign in there: everybody reads why a check could not tell."""
    return _USER_INFO.sub("", str(error).partition("\n")[0])[:300]


def _files(client: Any, address: str, name: str) -> list[dict[str, Any]] | None:
    """What one index has of a name; None where it does not speak JSON, and so tells no times."""
    answer = client.get(f"{address.rstrip('/')}/{name}/")
    if answer.status_code == 404:
        return []
    answer.raise_for_status()
    return list(answer.json()["files"]) if "json" in answer.headers.get("content-type", "") else None


def _youngest(package: Package, told: Sequence[list[dict[str, Any]] | None]) -> datetime | None:
    if None in told:
        return None
    files = [each for files in told if files for each in files if each["hashes"].get("sha256") in package.sha256]
    if not files:
        why = "No file there has a hash of the lock file."
        raise Refused(f"The package index has no such {package}.", why=why, next_step="Make the lock file again.")
    times = [datetime.fromisoformat(each["upload-time"]) if each.get("upload-time") else None for each in files]
    return None if None in times else max(time for time in times if time)


def _settings() -> dict[str, str]:
    """pip's settings for installing, from its files and the environment."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CouldNotTell("pip's settings could not be read.", why=str(error)[:300], next_step=_NEXT) from None
    found: dict[tuple[int, str], str] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in _SECTIONS and value:
            found[_SECTIONS.index(section), key] = str(ast.literal_eval(value))
    return {key: value for (_, key), value in sorted(found.items())}

"""What a skill's manifest allows its code: what the security rules of every language ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import InvalidFile
from agent.strict_yaml import load


@dataclass(frozen=True)
class Permitted:
    """What the manifest allows: the network at all, be it hosts or the skills that are required; keeping files, variables beside SKILL_*, and
    packages at all."""

    network: bool = False
    variables: frozenset[str] = frozenset()
    storage: bool = False
    packages: bool = False


NOTHING = Permitted()


def permitted_by(root: Path) -> Permitted:
    """From skill.yaml; nothing where it cannot be read."""
    try:
        manifest: Any = load((root / "skill.yaml").read_bytes(), "skill.yaml")
        asked = manifest.get("permissions") or {}
        return Permitted(
            network=bool(asked.get("network") or manifest.get("requires")), variables=frozenset(map(str, manifest.get("environment") or {})),
            storage=asked.get("storage") == "persistent", packages=bool(manifest.get("dependencies")),
        )  # fmt: skip
    except (OSError, InvalidFile, AttributeError, TypeError):
        return NOTHING

"""What a skill's manifest allows its code: what the security rules of every language ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import InvalidFile
from agent.strict_yaml import load


@dataclass(frozen=True)
class Permitted:
    """What the manifest allows: the network at all, and variables beside SKILL_*."""

    network: bool = False
    variables: frozenset[str] = frozenset()


def permitted_by(root: Path) -> Permitted:
    """From skill.yaml; nothing where it cannot be read."""
    try:
        manifest: Any = load((root / "skill.yaml").read_bytes(), "skill.yaml")
        return Permitted(bool(manifest.get("permissions", {}).get("network")), frozenset(map(str, manifest.get("environment") or {})))
    except (OSError, InvalidFile, AttributeError, TypeError):
        return Permitted()

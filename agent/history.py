"""The history of a skill: which versions main has held, read from git."""

from __future__ import annotations

from agent.domain import Frozen
from agent.domain.skill import Permissions
from agent.errors import InvalidFile
from agent.manifest_file import read_manifest
from agent.ports import Forge


class PastVersion(Frozen):
    """A version and the newest commit of main that changed it; `at` is ISO 8601."""

    version: str
    status: str
    commit: str
    at: str
    message: str


def versions_of(name: str, forge: Forge, limit: int = 100) -> tuple[PastVersion, ...]:
    """The versions of a skill, newest first; empty where main never held it."""
    path = f"skills/{name}/skill.yaml"
    found: dict[str, PastVersion] = {}
    for line in forge.history(f"skills/{name}", limit):
        data = forge.read(line.commit, path)
        try:
            manifest = read_manifest(data, path) if data else None
        except InvalidFile:
            manifest = None
        if manifest and manifest.version not in found:
            title = line.message.partition("\n")[0]
            found[manifest.version] = PastVersion(version=manifest.version, status=manifest.status, commit=line.commit, at=line.at, message=title)
    return tuple(found.values())


def permissions_on_main(name: str, forge: Forge) -> Permissions | None:
    """What the version on main asks for; None where there is none that can be read."""
    try:
        return read_manifest(forge.files(forge.main, f"skills/{name}")["skill.yaml"], "skill.yaml").permissions
    except (KeyError, InvalidFile):
        return None

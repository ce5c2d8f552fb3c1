"""The agents that ship, and those of a repository: `agents/<name>.yaml` on main, so that nothing an agent does changes what it may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agent.domain.profile import Profile
from agent.domain.skill import NAME_PATTERN
from agent.errors import InvalidFile, NotFound, SkillOpsError
from agent.ports import Repository
from agent.strict_yaml import load_as

FOLDER = Path(__file__).parent
OWN = "agents"  # of a user's repository


def read_profile(data: bytes, path: str) -> Profile:
    """The manifest of an agent. Raises InvalidFile with the line, and what was expected there."""
    profile = load_as(Profile, data, path)
    if profile.name != Path(path).stem:
        raise InvalidFile(path, f"name: {profile.name!r} was expected to be {Path(path).stem!r}, as the file is called")
    return profile


def profile_named(name: str, repository: Repository) -> Profile:
    """The repository's own agent of this name, or the shipped one. NotFound names those that there are."""
    if re.fullmatch(NAME_PATTERN, name):
        path = f"{OWN}/{name}.yaml"
        if (data := repository.read(repository.main, path)) is not None:
            return read_profile(data, path)
        shipped = FOLDER / f"{name}.yaml"
        if shipped.is_file():
            return read_profile(shipped.read_bytes(), shipped.name)
    known = ", ".join(sorted({*_own(repository), *_shipped()}))
    raise NotFound(f"There is no agent {name[:80]!r}.", next_step=f"There are: {known}. {OWN}/NAME.yaml on main describes another.")


def profiles(repository: Repository) -> Iterator[tuple[str, Profile | SkillOpsError]]:
    """Every agent by name, the shipped and the repository's own; one whose manifest cannot be read as the error that says so."""
    for name in sorted({*_own(repository), *_shipped()}):
        try:
            yield name, profile_named(name, repository)
        except InvalidFile as error:
            yield name, error


def _shipped() -> list[str]:
    return [path.stem for path in FOLDER.glob("*.yaml")]


def _own(repository: Repository) -> list[str]:
    names = [path.removesuffix(".yaml") for path in repository.children(repository.main, OWN) if path.endswith(".yaml")]
    return [name for name in names if re.fullmatch(NAME_PATTERN, name)]

"""The Registry: what is current, one entry a skill. History is git's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.skill import Permissions, Runtime, SkillName, Status


class Entry(Frozen):
    """One skill's block in registry.yaml. `tree` is the git tree id of `skills/<name>` at `commit`.

    The parts that search and invoking need (description, aliases) are repeated from skill.yaml, so that one file
    tells what the agent can do. `image` is the reference of an artifact that is one. `struck` are how many of its witness cases an arbiter
    took out.
    """

    name: SkillName
    version: str
    status: Status
    runtime: Runtime
    description: str
    aliases: tuple[str, ...] = ()
    artifact: str
    digest: str
    image: str | None = None
    commit: str
    tree: str
    origin: Literal["proposal", "bundled"] = "proposal"
    proposal: int | None = None
    approvals: tuple[str, ...] = ()
    struck: int | None = Field(default=None, ge=1)
    permissions: Permissions = Permissions()


class Registry(Frozen):
    """`revision` rises by one with each release; `skills` are sorted by name."""

    revision: int = Field(ge=0)
    skills: tuple[Entry, ...] = ()

    def entry(self, name: str) -> Entry | None:
        return next((entry for entry in self.skills if entry.name == name), None)

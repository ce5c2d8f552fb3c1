"""A Release: a merged tree, built, with its digest, entered in the registry."""

from __future__ import annotations

from typing import Literal

from agent.domain import Frozen
from agent.domain.skill import SkillName


class Artifact(Frozen):
    """Something built. `digest` hashes the build's inputs; `location` is a directory or an image reference."""

    digest: str
    kind: Literal["directory", "image"]
    location: str


class Release(Frozen):
    """`commit` is the source commit of the tree, `revision` the registry's after it."""

    skill: SkillName
    version: str
    digest: str
    commit: str
    revision: int
    proposal: int | None = None


class Service(Frozen):
    """A deployed skill as its runtime sees it. `resting` was scaled to zero and starts on the next call."""

    skill: SkillName
    version: str
    digest: str
    state: Literal["starting", "healthy", "unhealthy", "resting", "stopped"]
    restarts: int = 0
    since: float = 0.0
    detail: str = ""


class Load(Frozen):
    """What one running server of a skill uses. `memory` in bytes now, `cpu` in seconds and `calls` since it started; None: nobody can tell.

    `restarts` are the skill's.
    """

    skill: SkillName
    version: str
    instance: str
    memory: int | None = None
    cpu: float | None = None
    calls: int | None = None
    in_flight: int | None = None
    restarts: int = 0


class Endpoint(Frozen):
    """Where a running skill answers HTTP: a unix socket, or a base URL. `host`: the Host header to send, where many skills answer there.

    Who passes requests on to many says with the header UNREACHABLE that nobody took this one. `ticket`: of every call that is made there,
    where calls have none of their own: a trial's.
    """

    socket: str | None = None
    url: str = "http://skill"
    host: str = ""
    ticket: str = ""


UNREACHABLE = "x-skillops-unreachable"

"""A Package: one thing of somebody else's that a skill is made with, as its lock file names it."""

from __future__ import annotations

from typing import Literal

from agent.domain import Frozen

Ecosystem = Literal["PyPI", "npm", "Go"]


class Package(Frozen):
    """`ecosystem` is called as OSV calls it (ossf.github.io/osv-schema). `sha256` and `sha512` are in hex, where the lock file has them of a file."""

    ecosystem: Ecosystem
    name: str
    version: str
    sha256: tuple[str, ...] = ()
    sha512: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

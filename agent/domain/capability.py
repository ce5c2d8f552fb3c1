"""A Capability: something that a skill's code can do beyond computing with its inputs, its own folder and the temporary one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from agent.domain import Frozen

Kind = Literal["network", "process", "files", "environment", "dynamic code", "native code", "skills"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Capability(Frozen):
    """`what` as the code names it (`urllib.request`), where it first does: `path` relative to the repository, `line` from 1.

    `declared`: the manifest allows it; what it does not allow is a finding of the check that saw it. `gained`: the version on the
    base could do nothing of the kind. `source`: read in the code, or seen as it was tried in the sandbox. What the sandbox sees can
    add to what is known, and clears nothing.
    """

    kind: Kind
    what: str
    path: str | None = None
    line: int | None = None
    declared: bool = False
    gained: bool = False
    source: Literal["code", "sandbox"] = "code"

    @property
    def place(self) -> str:
        """Where it was found, in the words of a page."""
        place = f" at `{self.path}:{self.line}`" if self.path and self.line else ""
        return f"{place}, tried in the sandbox" if self.source == "sandbox" else place


def first_of(found: Iterable[Capability]) -> tuple[Capability, ...]:
    """Each thing once, where it is first done, and a member of a module with its module; what is not declared comes first, then by kind."""
    ordered = sorted(found, key=lambda one: (one.declared, KINDS.index(one.kind), one.what, one.path or "", one.line or 0))
    seen: dict[tuple[str, str, bool], Capability] = {}
    for one in ordered:
        names = one.what.split(".")
        above = [(one.kind, ".".join(names[:end]), one.declared) for end in range(1, len(names))]
        if seen.keys().isdisjoint(above):
            seen.setdefault((one.kind, one.what, one.declared), one)
    return tuple(seen.values())


def compared(now: Iterable[Capability], before: Iterable[Capability]) -> tuple[Capability, ...]:
    """`now`, in which what is of a kind that `before` had nothing of is marked as gained."""
    kinds = {one.kind for one in before}
    return tuple(one.model_copy(update={"gained": one.kind not in kinds}) for one in now)


def told(found: Iterable[Capability]) -> str:
    """In words, by kind: `network (urllib.request, ssl), files (os.remove)`."""
    by_kind: dict[str, dict[str, None]] = {}
    for one in found:
        by_kind.setdefault(one.kind, {})[one.what] = None
    return ", ".join(f"{kind} ({', '.join([*names][:5])}{', …' if len(names) > 5 else ''})" for kind, names in by_kind.items())

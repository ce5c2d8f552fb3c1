"""The registry, revision by revision, and any two of them compared."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from starlette.requests import Request

from agent.domain import Frozen, plain
from agent.domain.registry import Entry, Registry
from agent.errors import NotFound
from agent.gateway.pages.paging import SHOWN, page_asked
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.ports import CommitLine, Forge
from agent.registry_file import parse, revision_of

PATH = "registry.yaml"
CHANGES = 40  # skills of a comparison
ALL = 100_000  # revisions that are looked through for one that is not shown


class Revision(Frozen):
    """One revision and the commit that brought it."""

    revision: int
    commit: str
    author: str
    at: str
    message: str


class Changed(Frozen):
    """What became of one skill from one revision to another: `what` is added, removed or changed, `fields` the old and new values."""

    name: str
    what: str
    fields: dict[str, tuple[str, str]]


def add_to(site: Site) -> None:
    forge = site.parts.forge

    @lru_cache(maxsize=2000)
    def number_at(commit: str) -> int:
        return revision_of((forge.read(commit, PATH) or b"revision: 0\n").decode(errors="replace"))

    def told(line: CommitLine) -> Revision:
        return Revision(revision=number_at(line.commit), commit=line.commit, author=line.author, at=line.at, message=line.message)

    def found(shown: Sequence[Revision], number: int) -> Revision | None:
        """The revision with a number: of those that are shown, else looked for among all, of which each is one more than the one before."""
        if known := next((each for each in shown if each.revision == number), None):
            return known
        lines = forge.history(PATH, ALL)
        place = bisect_left(lines, -number, key=lambda line: -number_at(line.commit))
        return told(lines[place]) if place < len(lines) and number_at(lines[place].commit) == number else None

    def chosen(shown: Sequence[Revision], asked: str | None, usual: Revision) -> Revision:
        if not asked:
            return usual
        if asked.isdecimal() and len(asked) < 10 and (there := found(shown, int(asked))):
            return there
        raise NotFound(f"There is no revision {asked[:20]!r} here.", next_step=f"/registry lists them; the newest is {shown[0].revision}.")

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        page = min(page_asked(request.query_params), ALL // SHOWN)
        lines = forge.history(PATH, SHOWN * page + 1)
        if not lines:
            raise NotFound("There is no registry yet.", next_step="`skillops init DIR` makes a repository that has one.")
        page = min(page, -(-len(lines) // SHOWN))
        first, revisions = told(lines[0]), list(map(told, lines[SHOWN * (page - 1) : SHOWN * page]))
        to = chosen([first, *revisions], request.query_params.get("to"), first)
        before = next((each for each in revisions if each.revision < to.revision), None) or found((), to.revision - 1) or revisions[-1]
        since = chosen([first, *revisions], request.query_params.get("from"), before)
        old, new = _at(forge, since.commit), _at(forge, to.commit)
        changes = compare(old, new)
        return {
            "title": "Registry", "revisions": revisions, "page": page, "more": len(lines) > SHOWN * page, "newest": first.revision,
            "from": since, "to": to, "same": since.revision == to.revision, "changes": changes[:CHANGES], "changed": len(changes),
            "skills": new.skills,
        }  # fmt: skip

    site.page("/registry", "registry.html", show, "invoke")


def compare(old: Registry, new: Registry) -> list[Changed]:
    """By name; what did not change is left out."""
    before, after = {entry.name: entry for entry in old.skills}, {entry.name: entry for entry in new.skills}
    changes = []
    for name in sorted(before.keys() | after.keys()):
        left, right = before.get(name), after.get(name)
        if left != right:
            changes.append(
                Changed(name=name, what="added" if left is None else "removed" if right is None else "changed", fields=_fields(left, right))
            )
    return changes


def _fields(left: Entry | None, right: Entry | None) -> dict[str, tuple[str, str]]:
    old, new = (plain(left) if left else {}), (plain(right) if right else {})
    told = {key: (_told(old.get(key)), _told(new.get(key))) for key in (new or old)}
    return {key: pair for key, pair in told.items() if pair[0] != pair[1] and key != "name"}


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_told(item)}" for key, item in value.items() if item and item != "none") or "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _at(forge: Forge, commit: str) -> Registry:
    return parse(forge.read(commit, PATH) or b"", PATH)

"""The registry, revision by revision, and any two of them compared."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from starlette.requests import Request

from agent.domain import Frozen, plain
from agent.domain.registry import Entry, Registry
from agent.errors import NotFound
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.ports import Forge
from agent.registry_file import parse, revision_of

PATH = "registry.yaml"
SHOWN = 100  # revisions


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

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        lines = [(number_at(line.commit), line) for line in forge.history(PATH, SHOWN)]
        revisions = [Revision(revision=number, commit=line.commit, author=line.author, at=line.at, message=line.message) for number, line in lines]
        if not revisions:
            raise NotFound("There is no registry yet.", next_step="`skillops init DIR` makes a repository that has one.")
        to = _chosen(revisions, request.query_params.get("to"), revisions[0])
        before = next((each for each in revisions if each.revision < to.revision), revisions[-1])
        since = _chosen(revisions, request.query_params.get("from"), before)
        return {
            "title": "Registry", "revisions": revisions, "from": since, "to": to, "same": since.revision == to.revision,
            "changes": compare(_at(forge, since.commit), _at(forge, to.commit)), "skills": _at(forge, to.commit).skills,
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


def _chosen(revisions: list[Revision], asked: str | None, usual: Revision) -> Revision:
    if not asked:
        return usual
    if found := next((each for each in revisions if str(each.revision) == asked), None):
        return found
    oldest, newest = revisions[-1].revision, revisions[0].revision
    raise NotFound(f"There is no revision {asked[:20]!r} here.", next_step=f"The last ones are {oldest} to {newest}.")


def _at(forge: Forge, commit: str) -> Registry:
    return parse(forge.read(commit, PATH) or b"", PATH)

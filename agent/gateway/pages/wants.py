"""What a skill asks for, beside what it had before: the difference that a person decides on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain import Frozen
from agent.domain.capability import Capability
from agent.domain.decision import Policy
from agent.domain.requirement import Shelf, may_do, reach
from agent.domain.risk import risk_of
from agent.domain.skill import Manifest, Permissions


class Want(Frozen):
    """One thing that a skill may do: in words before and now. `wider`: it asks for more than before."""

    what: str
    before: str
    now: str
    wider: bool

    @property
    def same(self) -> bool:
        return self.before == self.now


class Wants(Frozen):
    """All of it, with the risk that the policy sees in it and what brings that."""

    rows: tuple[Want, ...]
    risk: str
    reasons: tuple[str, ...]
    is_new: bool

    @property
    def wider(self) -> tuple[Want, ...]:
        return tuple(row for row in self.rows if row.wider)


def wants_of(now: Manifest | None, before: Manifest | None, policy: Policy, gained: Sequence[Capability] = (), shelf: Shelf | None = None) -> Wants:
    """`now` is None where the manifest cannot be read, `before` where there was no such skill; `gained` is what its code can do beyond before.
    `shelf`: what is known of those that it calls."""
    risk, reasons = risk_of(now, before, policy, gained, reach(now, shelf) if now and shelf else ())
    rows = () if now is None else tuple(_rows(now, before, shelf))
    return Wants(rows=rows, risk=risk, reasons=reasons, is_new=before is None)


def _rows(now: Manifest, before: Manifest | None, shelf: Shelf | None) -> list[Want]:
    had, asked = before.permissions if before else None, now.permissions
    hosts = {str(rule) for rule in asked.rules if had is None or not any(old.covers(rule) for old in had.rules)}
    secrets = set(_secrets(asked)) - set(_secrets(had) if had else ())
    calls, called = _calls(now, shelf), _calls(before, shelf) if before else None
    marks, old = now.annotations, before.annotations if before else None
    return [
        Want(what="reaches", before=_listed(had.network if had else None), now=_listed(asked.network), wider=bool(hosts)),
        Want(what="secrets", before=_listed(_secrets(had) if had else None), now=_listed(_secrets(asked)), wider=bool(secrets)),
        Want(
            what="keeps data", before=_kept(had.storage) if had else "", now=_kept(asked.storage),
            wider=asked.storage != "none" and (had is None or had.storage == "none"),
        ),
        Want(
            what="depends on", before=_listed(before.dependencies if before else None), now=_listed(now.dependencies),
            wider=bool(set(now.dependencies) - set(before.dependencies if before else ())),
        ),
        Want(
            what="calls skills", before=_listed(called), now=_listed(calls), wider=bool(set(calls) - set(called or ())),
        ),
        Want(
            what="changes things", before=_marked(old.readOnly, old.destructive) if old else "", now=_marked(marks.readOnly, marks.destructive),
            wider=(marks.destructive and not (old and old.destructive)) or (not marks.readOnly and not (old and not old.readOnly)),
        ),
        Want(
            what="may use", before=_size(before) if before else "", now=_size(now),
            wider=before is not None and (
                now.resources.memory_bytes > before.resources.memory_bytes or now.resources.cpu > before.resources.cpu
                or now.resources.timeout_seconds > before.resources.timeout_seconds
            ),
        ),
    ]  # fmt: skip


def _listed(names: tuple[str, ...] | None) -> str:
    return "" if names is None else ", ".join(names) or "nothing"


def _calls(manifest: Manifest, shelf: Shelf | None) -> tuple[str, ...]:
    """Each skill that it may come to call, with what that one may do."""
    return tuple(map(may_do, reach(manifest, shelf))) if shelf else manifest.requires


def _secrets(permissions: Permissions) -> tuple[str, ...]:
    own = {name: f"{name} of each caller" for name in permissions.personal}
    brokered = (f"{own.get(each.secret, each.secret)} at {each.host} only, unread" for each in permissions.broker)
    return (*(own.get(name, name) for name in permissions.held), *brokered)


def _kept(storage: str) -> str:
    return "no" if storage == "none" else storage


def _marked(read_only: bool, destructive: bool) -> str:
    return "destroys" if destructive else "only reads" if read_only else "yes"


def _size(manifest: Manifest) -> str:
    size = manifest.resources
    cores = "core" if size.cpu == 1 else "cores"
    return f"{size.memory} of memory, {size.cpu:g} {cores}, {size.timeout_seconds:g} s a call"

"""An Audit: what is to be known of released skills that no proposal brought about: drift, advisories, newer dependencies, requests that wait."""

from __future__ import annotations

from agent.domain import Frozen
from agent.domain.package import Package
from agent.domain.skill import SkillName


class Drift(Frozen):
    """A skill that is not what registry.yaml says, and how."""

    skill: SkillName
    what: str


class Advisory(Frozen):
    """Something known to be wrong with a package. `id` is OSV's, `fixed` the versions that mend it."""

    id: str
    package: Package
    summary: str = ""
    fixed: tuple[str, ...] = ()


class Warned(Frozen):
    """An advisory that a skill is concerned by."""

    skill: SkillName
    advisory: Advisory


class Update(Frozen):
    """Dependencies of a skill for which there are newer compatible versions, `before` and `after` in the order of its manifest."""

    skill: SkillName
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def raised(self) -> tuple[tuple[str, str], ...]:
        return tuple((old, new) for old, new in zip(self.before, self.after, strict=True) if old != new)


class Stale(Frozen):
    """A request, or a proposal that nobody requested, that has waited for a person for `days` days."""

    number: int
    days: int
    why: str


class Audit(Frozen):
    """`unknown` says in a sentence each what could not be told: where it is not empty, what is missing elsewhere proves nothing."""

    drift: tuple[Drift, ...] = ()
    advisories: tuple[Warned, ...] = ()
    updates: tuple[Update, ...] = ()
    stale: tuple[Stale, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not (self.drift or self.advisories or self.updates or self.stale or self.unknown)

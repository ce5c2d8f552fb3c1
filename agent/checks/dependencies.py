"""Dependencies: pinned, locked with hashes, by names that are known, and of releases that policy allows by name or that are old enough.

How old a release is the index says, when it is asked here; nothing in the proposal counts for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from agent.checks import concluded, language_of
from agent.domain.check import CheckResult, Finding, Subject
from agent.domain.decision import DependencyRules
from agent.domain.package import Ecosystem, Package
from agent.errors import CouldNotTell
from agent.ports import Check, Index, Language, Workbench

ALLOW = "a person may allow it by name (`dependencies.allowed` in reviewers/policy.yaml)"
TOLD = 5  # packages that a sentence names


class DependenciesCheck(Check):
    """`indexes` by ecosystem: of what has none here nobody can tell the age. `rules` are those of the base branch, asked for at each run."""

    name = "dependencies"

    def __init__(
        self, languages: Mapping[str, Language], indexes: Mapping[Ecosystem, Index] | None = None,
        rules: Callable[[], DependencyRules] = DependencyRules, clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self._languages, self._indexes, self._rules, self._clock = languages, indexes or {}, rules, clock

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        language = language_of(subject, self._languages)
        if isinstance(language, Finding) or subject.manifest is None:
            return concluded(self.name, subject, [language] if isinstance(language, Finding) else [], "")
        findings = [*language.dependencies(subject.root, subject.manifest)]
        count = len(subject.manifest.dependencies)
        if count and not any(finding.level == "error" for finding in findings):
            findings += self._too_young(subject, language.locked(subject.files))
        return concluded(self.name, subject, findings, f"{count} pinned and locked." if count else "It has none.")

    def _too_young(self, subject: Subject, locked: Sequence[Package]) -> Iterator[Finding]:
        """Raises CouldNotTell where the index does not say how old something is, Refused where it has no such thing."""
        rules, now = self._rules(), self._clock()
        asked = [package for package in locked if rules.min_age_days and not rules.allows(package)]
        times: dict[Package, datetime | None] = {}
        for ecosystem in sorted({package.ecosystem for package in asked} & self._indexes.keys()):
            times |= self._indexes[ecosystem].released([package for package in asked if package.ecosystem == ecosystem])
        if unknown := [str(package) for package in asked if times.get(package) is None]:
            told = ", ".join(unknown[:TOLD]) + (f" and {len(unknown) - TOLD} more" if len(unknown) > TOLD else "")
            why = "The package index does not say when it took them in."
            raise CouldNotTell(f"The age of {told} could not be told.", why=why, next_step=f"Use an index that says so, or {ALLOW}.")
        for package in asked:
            at = times[package]
            age = now - (at if at.tzinfo else at.replace(tzinfo=UTC)) if at else timedelta()
            if at and age < timedelta(days=rules.min_age_days):
                message = (
                    f"{package} was released on {at:%Y-%m-%d}, and policy lets in what is {rules.min_age_days} days old: lock an older release, "
                    f"wait and retry, or {ALLOW}"
                )
                yield Finding(message=message, rule="too-young", path=f"skills/{subject.skill}/skill.yaml")

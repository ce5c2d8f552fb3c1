"""Dependencies: pinned, locked with hashes, and by names that are known."""

from __future__ import annotations

from collections.abc import Mapping

from agent.checks import concluded, language_of
from agent.domain.check import CheckResult, Finding, Subject
from agent.ports import Check, Language, Workbench


class DependenciesCheck(Check):
    name = "dependencies"

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._languages = languages

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        language = language_of(subject, self._languages)
        if isinstance(language, Finding) or subject.manifest is None:
            return concluded(self.name, subject, [language] if isinstance(language, Finding) else [], "")
        findings = language.dependencies(subject.root, subject.manifest)
        count = len(subject.manifest.dependencies)
        return concluded(self.name, subject, findings, f"{count} pinned and locked." if count else "It has none.")

"""Style: the language's linter and formatter, with our configuration, never the proposal's."""

from __future__ import annotations

from collections.abc import Mapping

from agent.checks import concluded, language_of
from agent.domain.check import CheckResult, Finding, Subject
from agent.ports import Check, Language, Workbench


class StyleCheck(Check):
    name = "style"

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._languages = languages

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        language = language_of(subject, self._languages)
        findings = (language,) if isinstance(language, Finding) else language.style(subject.root)
        return concluded(self.name, subject, findings, "The code keeps to the style.")

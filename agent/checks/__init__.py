"""The shelf of checks: each module states one fact about a subject. Here is the form in which they all answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.domain.check import CheckResult, Finding, Outcome, Subject
from agent.ports import Language

LEVELS = ("error", "person", "note")  # in this order
SHOWN = 50  # findings of one check that are told; a person or a model reads no more


def concluded(name: str, subject: Subject, findings: Iterable[Finding], passed: str) -> CheckResult:
    """The result: failed where a finding is an error. `passed` is the summary where none is. Findings are put in order."""
    found = sorted(set(placed(subject, findings)), key=lambda f: (LEVELS.index(f.level), f.path or "", f.line or 0, f.rule, f.message))
    errors = [finding for finding in found if finding.level == "error"]
    if len(found) > SHOWN:
        found = [*found[:SHOWN], Finding(message=f"and {len(found) - SHOWN} more", level="note")]
    return CheckResult(
        name=name,
        head=subject.head,
        outcome=Outcome.FAILED if errors else Outcome.PASSED,
        summary=_counted(errors) if errors else passed,
        findings=tuple(found),
    )


def placed(subject: Subject, findings: Iterable[Finding]) -> Iterable[Finding]:
    """Findings with paths relative to the repository: those of a language are relative to the skill's folder."""
    folder = f"skills/{subject.skill}/"
    for finding in findings:
        inside = finding.path is not None and finding.path in subject.files
        yield finding.model_copy(update={"path": folder + str(finding.path)}) if inside else finding


def language_of(subject: Subject, languages: Mapping[str, Language]) -> Language | Finding:
    """The language of the subject's runtime, or the finding that there is none."""
    path = f"skills/{subject.skill}/skill.yaml"
    if subject.manifest is None:
        return Finding(message="skill.yaml is not valid (see the check manifest), so this could not be looked at", rule="manifest", path=path)
    if language := languages.get(subject.manifest.runtime):
        return language
    known = ", ".join(sorted(languages))
    line = line_of(subject.files["skill.yaml"], "runtime:")
    return Finding(message=f"the runtime {subject.manifest.runtime!r} is not on the shelf; there are {known}", rule="runtime", path=path, line=line)


def line_of(data: bytes, needle: str) -> int | None:
    """The first line that holds `needle`, counted from 1."""
    lines = data.decode(errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if needle in line), None)


def _counted(errors: list[Finding]) -> str:
    first = errors[0]
    place = f"{first.path}:{first.line}: " if first.path and first.line else f"{first.path}: " if first.path else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{place}{first.message}{more}"

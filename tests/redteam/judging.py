"""How the checks that read judge programs that nobody here wrote, each as the code of a skill whose manifest asks for nothing. Nothing is run."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.checks.secrets import SecretsCheck
from agent.checks.security import SecurityCheck
from agent.domain.check import Finding
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.workbench import make_subject
from tests.subjects import ToldBench, skill_files

LANGUAGES = {"python": PythonLanguage(), "bash": BashLanguage(), "node": NodeLanguage(), "go": GoLanguage()}
ENTRYPOINTS = {"python": "skill.py", "bash": "skill.sh", "node": "skill.js", "go": "skill.go"}
UNKNOWN = "skillops-import"  # a module that no dependency brings: it would fail, and says nothing of what the program wants

Programs = Iterator[tuple[str, str, str | Mapping[str, str]]]
"""Name and language of each, and its source, or that of each of its files."""


@dataclass
class Row:
    """One corpus: how many programs there are, how many are blocked (an error), and how many others go to a person. `unknown` of those that
    are blocked are blocked only because they import what nothing brings."""

    name: str
    wanted: str = ""
    programs: int = 0
    blocked: int = 0
    person: int = 0
    unknown: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        def share(number: int) -> str:
            return f"{number / self.programs:>6.1%}" if self.programs else "     -"

        found = self.blocked + self.person
        return (
            f"{self.name:<52} {self.programs:>5} programs  blocked {self.blocked:>5} {share(self.blocked)}  to a person {self.person:>4} "
            f"{share(self.person)}  both {share(found)}  unknown imports alone {self.unknown:>3}  {self.wanted}"
        )


def findings(source: str | Mapping[str, str], language: str, folder: Path) -> list[Finding]:
    """What the checks that read say against a program: errors, and what is for a person."""
    entrypoint = ENTRYPOINTS[language]
    manifest = skill_files()["skill.yaml"].decode().replace("entrypoint: skill.py", f"runtime: {language}\nentrypoint: {entrypoint}")
    sources = {entrypoint: source} if isinstance(source, str) else source
    files = {"skill.yaml": manifest.encode(), **{path: text.encode(errors="replace") for path, text in sources.items()}}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        subject = make_subject("word-count", "0" * 40, files, root=Path(scratch) / "word-count")
        results = [check.run(subject, ToldBench()) for check in (SecurityCheck(LANGUAGES), SecretsCheck())]
    return [finding for result in results for finding in result.findings if finding.level != "note"]


def judged(row: Row, programs: Programs, folder: Path) -> Row:
    """Counts them; of what is hostile those are kept that nobody hears of, of what is benign those that somebody does."""
    for name, language, source in programs:
        found = findings(source, language, folder)
        rules = {finding.rule for finding in found}
        errors = {finding.rule for finding in found if finding.level == "error"}
        row.programs += 1
        row.blocked += bool(errors)
        row.person += bool(found) and not errors
        row.unknown += rules == {UNKNOWN}
        row.rules.update(rules)
        if bool(found) != row.name.startswith("hostile"):
            row.missed.append("; ".join([name, *(f"{one.level} {one.rule} {one.line}: {one.message}" for one in found[:3])]))
    return row

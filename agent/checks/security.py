"""Security: the language's analysis, and what is suspicious in any language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from agent.checks import SHOWN, concluded, language_of
from agent.checks.addressed import addressed
from agent.checks.before import marked, named
from agent.domain.capability import told
from agent.domain.check import CheckResult, Finding, Subject
from agent.domain.skill import WITNESS_PATH
from agent.ports import Check, Language, Workbench

PROSE = (".md", ".txt", ".rst")
# Longer than any hash or signature that code spells out (RSA-4096 is 684 characters in base64); shorter than any program.
_BLOB = re.compile(r"[A-Za-z0-9+/=_-]{700,}|(?:\\x[0-9a-fA-F]{2}){100,}")
_RULES = (
    ("payload", _BLOB, "a long encoded block: what runs must be readable"),
    ("witness", re.compile(r"witness\.ya?ml", re.IGNORECASE), "names the file of the witness cases, which are not the skill's business"),
    ("metadata-service", re.compile(r"169\.254\.169\.254|metadata\.google\.internal|fd00:ec2::254"), "names a cloud's metadata service"),
)
# In tests: what they would look at to learn which run they are in. What a run is to show is known outside alone.
_EXAMINER = re.compile(r"SKILLOPS_|/testbed\b|/proc/(?:self|thread-self|\d|\$|\{)|\bsightings\b")
_URL = re.compile(r"\b(https?|wss?)://(?:[^\s/@\"']*@)?(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>\d+))?")
_EXAMPLES = re.compile(r"(^|\.)(example\.(com|net|org)|example|test|invalid|localhost)$|^127\.[0-9.]+$")  # RFC 2606, and loopback


class SecurityCheck(Check):
    name = "security"

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._languages = languages

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        language = language_of(subject, self._languages)
        if isinstance(language, Finding):
            return concluded(self.name, subject, [language, *_suspicious(subject), *_addressed(subject)], "")
        can = marked(subject, language, language.capabilities(subject.root))
        beyond = f". It can use {told(can)}, as declared." if can else ", which reaches nothing beyond its inputs."
        passed = f"Nothing suspicious in the code{beyond}"
        result = concluded(self.name, subject, [*language.security(subject.root), *_suspicious(subject), *_addressed(subject)], passed)
        gained = told(one for one in can if one.gained)
        summary = f"It can do more than {named(subject)}: {gained}. {result.summary}" if gained else result.summary
        return result.model_copy(update={"capabilities": can[:SHOWN], "summary": summary})


def _addressed(subject: Subject) -> Iterator[Finding]:
    """Text that speaks to whoever judges: for a person to look at."""
    files = {path: data.decode(errors="replace") for path, data in subject.files.items() if path != WITNESS_PATH}
    for path, line, what in addressed(files):
        message = f"{what}: it may be meant for whoever judges this skill"
        yield Finding(message=message, rule="injection", path=path, line=line, level="person")


def _suspicious(subject: Subject) -> Iterator[Finding]:
    declared = subject.manifest.permissions.rules if subject.manifest else ()
    for path, data in subject.files.items():
        if path == WITNESS_PATH or path.endswith(".lock"):
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            for rule, pattern, message in _RULES:
                if pattern.search(line):
                    yield Finding(message=message, rule=rule, path=path, line=number)
            if path.startswith("tests/") and _EXAMINER.search(line):
                yield Finding(message="looks at what examines it", rule="examiner", path=path, line=number)
            for host in {match["host"].lower() for match in _URL.finditer(line)} if not path.endswith(PROSE) else ():
                if not any(rule.matches(host, rule.port) for rule in declared) and not _EXAMPLES.search(host):
                    message = f"names the host {host}, which permissions.network does not declare: a call to it fails"
                    yield Finding(message=message, rule="undeclared-host", path=path, line=number, level="note")

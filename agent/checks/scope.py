"""Scope: a proposal changes one skill's folder, in plain text files of sensible size, and leaves the witness cases alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agent.checks import concluded
from agent.checks.letters import misleading
from agent.domain.check import FILES, NO_WITNESS, CheckResult, Finding, Subject
from agent.domain.paths import odd_path, shown
from agent.domain.proposal import Change
from agent.domain.skill import WITNESS_PATH
from agent.errors import InvalidFile
from agent.manifest_file import read_witness, witness_digest
from agent.ports import Check, Workbench

FILE_BYTES, ALL_BYTES = 256 * 2**10, 2 * 2**20
_MODES = {
    "120000": "is a link; a skill holds plain files alone",
    "160000": "is a submodule; a skill holds plain files alone",
    "100755": "is executable; files of a skill have the mode 100644, for its language starts them",
}
_READ = ("100644", "100755")  # what a forge reads; where it did not, the file is none that it seems to be
# Bidirectional controls make code read otherwise than it runs (CVE-2021-42574, "Trojan Source").
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # all that Unicode calls Bidi_Control
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")


class ScopeCheck(Check):
    name = "scope"

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        findings = [*_outside(subject), *_modes(subject), *_paths(subject), *_sizes(subject), *_texts(subject), *_witness(subject)]
        return concluded(self.name, subject, findings, f"Only skills/{subject.skill}/ changes.")


def _outside(subject: Subject) -> Iterator[Finding]:
    for change in subject.changes:
        match = re.match(r"skills/([^/]+)/.", change.path)
        if match and match[1] != subject.skill:
            yield _finding("outside", f"changes another skill ({shown(match[1])}); a proposal is about one", change.path)
        elif not match:
            yield _finding("outside", f"changes a path outside skills/{subject.skill}/", change.path)


def _modes(subject: Subject) -> Iterator[Finding]:
    for change in _present(subject):
        if change.mode != "100644":
            yield _finding("mode", _MODES.get(change.mode, f"has the mode {change.mode}; files of a skill have 100644"), change.path)


def _paths(subject: Subject) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    paths = sorted(_inside(subject))
    folder, folders = f"skills/{subject.skill}/", {above for path in paths for above in _above(path)}
    regular = {change.path.removeprefix(folder) for change in _present(subject) if change.mode in _READ and change.size <= FILE_BYTES}
    for path in paths:
        place = f"skills/{subject.skill}/{path}"
        if why := odd_path(path):
            yield _finding("path", f"the path {why}", place)
        if any(part.startswith(".") for part in path.split("/")):
            yield _finding("hidden", "is hidden; a skill hides nothing", place)
        if (twin := seen.setdefault(path.casefold(), path)) != path:
            yield _finding("path", f"differs from {shown(twin)} in capitals alone", place)
        if path in regular and path not in subject.files:
            yield _finding("path", "is not in git under this name, or not as a plain file, or not once", place)
        if path in folders:
            yield _finding("path", "is both a file and a folder", place)


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _sizes(subject: Subject) -> Iterator[Finding]:
    inside = _inside(subject)
    for path, size in inside.items():
        if size > FILE_BYTES:
            yield _finding("size", f"has {size:,} bytes; at most {FILE_BYTES:,} are allowed", f"skills/{subject.skill}/{path}")
    if (total := sum(inside.values())) > ALL_BYTES:
        yield Finding(message=f"the skill has {total:,} bytes; at most {ALL_BYTES:,} are allowed", rule="size")
    if len(inside) > FILES:
        yield Finding(message=f"the skill has {len(inside):,} files; at most {FILES} are allowed", rule="size")


def _texts(subject: Subject) -> Iterator[Finding]:
    binary = {change.path for change in _present(subject) if change.binary}
    for path, data in subject.files.items():
        place = f"skills/{subject.skill}/{path}"
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text or place in binary:
            yield _finding("binary", "is binary; a skill holds text in UTF-8", place)
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if _BIDI.search(line):
                yield _finding("bidi", "holds a bidirectional control character, which makes code read otherwise than it runs", place, number)
            elif _CONTROL.search(line):
                yield _finding("control", "holds a control character", place, number)
        for number, why in misleading(path, text):
            yield _finding("letters", why, place, number)


def _witness(subject: Subject) -> Iterator[Finding]:
    """The cases are the witness's: as recorded where a digest was, else as they were on the base.

    Nothing of their content is told: these findings reach the author.
    """
    place = f"skills/{subject.skill}/{WITNESS_PATH}"
    now, before = subject.files.get(WITNESS_PATH), subject.base_files.get(WITNESS_PATH)
    if subject.witness_digest is not None:
        if (NO_WITNESS if now is None else witness_digest(now)) != subject.witness_digest:
            yield _finding("witness", "is not what the witness wrote; leave it as it was, and say so on the request where a case is wrong", place)
    elif now != before or any(change.path == place for change in subject.changes):
        yield _finding("witness", "changes; the cases are written by the witness alone", place)
    if now is not None:
        try:
            read_witness(now, place)
        except InvalidFile as error:
            yield _finding("witness", "is no list of cases", place, error.line)


def _inside(subject: Subject) -> dict[str, int]:
    """Every path of the skill with its size in bytes: what was read, and what was too large or no file."""
    folder = f"skills/{subject.skill}/"
    sizes = {change.path.removeprefix(folder): change.size for change in _present(subject) if change.path.startswith(folder)}
    return sizes | {path: max(len(data), sizes.get(path, 0)) for path, data in subject.files.items()}


def _present(subject: Subject) -> Iterable[Change]:
    return (change for change in subject.changes if change.status != "deleted")


def _finding(rule: str, message: str, path: str, line: int | None = None) -> Finding:
    return Finding(message=message, rule=rule, path=shown(path), line=line)

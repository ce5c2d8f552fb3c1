"""A unified diff as lines of a page, with what checks found and reviewers said at the lines that they mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.domain import Frozen
from agent.domain.check import CheckResult, Outcome
from agent.domain.review import Review

LINES = 3000  # of a diff that a page shows
LENGTH = 500  # characters of a line
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


class Note(Frozen):
    """What somebody says of a line. `weight`: blocks, error, note or remark."""

    by: str
    text: str
    weight: str
    path: str = ""
    line: int | None = None


class Line(Frozen):
    """`sign` is +, - or a blank, or @ for the head of a hunk; `old` and `new` count from 1."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None
    notes: tuple[Note, ...] = ()


class File(Frozen):
    """One file. `folded`: it is not opened by itself. `notes` are those on lines that the diff does not show."""

    path: str
    lines: tuple[Line, ...]
    added: int
    removed: int
    folded: bool
    notes: tuple[Note, ...] = ()


class Diff(Frozen):
    """`cut`: lines that are not shown. `notes` belong to no file that is here."""

    files: tuple[File, ...]
    cut: int
    notes: tuple[Note, ...]


def notes_of(checks: Sequence[CheckResult], reviews: Sequence[Review], folder: str) -> tuple[Note, ...]:
    """Findings and remarks, their paths relative to the repository."""
    found = [
        Note(
            by=result.name, text=finding.message, path=_full(finding.path, folder), line=finding.line,
            weight="error" if finding.level == "error" and result.outcome is Outcome.FAILED else "note",
        )
        for result in checks for finding in result.findings
    ]  # fmt: skip
    found += [
        Note(
            by=review.reviewer, text=remark.message, path=_full(remark.path, folder), line=remark.line, weight="blocks" if remark.blocks else "remark"
        )
        for review in reviews
        for remark in review.remarks
    ]
    return tuple(found)


def diff_of(text: str, notes: Sequence[Note]) -> Diff:
    """The diff with each note where it belongs."""
    lines = text.split("\n")
    cut = max(len(lines) - LINES, 0)
    files = [_file(part, notes) for part in _parts(lines[:LINES])]
    there = {file.path for file in files}
    return Diff(files=tuple(files), cut=cut, notes=tuple(note for note in notes if note.path not in there))


def _parts(lines: Sequence[str]) -> list[list[str]]:
    parts = list[list[str]]()
    for line in lines:
        if line.startswith("diff --git "):
            parts.append([])
        if parts:
            parts[-1].append(line)
    return parts


def _file(part: Sequence[str], notes: Sequence[Note]) -> File:
    path = _path(part)
    mine = [note for note in notes if note.path == path]
    shown, lines, old, new, inside = set[int](), list[Line](), 0, 0, False
    for text in part:
        if found := _HUNK.match(text):
            old, new, inside = int(found[1]), int(found[2]), True
            lines.append(Line(sign="@", text=text[:LENGTH]))
        elif inside and text[:1] in ("+", "-", " "):
            sign = text[0]
            here = tuple(note for note in mine if note.line == new) if sign != "-" else ()
            if here:
                shown.add(new)
            lines.append(Line(
                sign=sign, text=text[1 : LENGTH + 1], old=old if sign != "+" else None, new=new if sign != "-" else None, notes=here
            ))  # fmt: skip
            old, new = old + (sign != "+"), new + (sign != "-")
    return File(
        path=path, lines=tuple(lines), added=sum(line.sign == "+" for line in lines), removed=sum(line.sign == "-" for line in lines),
        folded=path.endswith((".lock", "go.sum", "witness.yaml", "package-lock.json")),
        notes=tuple(note for note in mine if note.line not in shown),
    )  # fmt: skip


def _path(part: Sequence[str]) -> str:
    """The file's name after the change, or before it where it was deleted."""
    for prefix in ("+++ b/", "--- a/"):
        for line in part:
            if line.startswith("@@"):
                break
            if line.startswith(prefix):
                return line.removeprefix(prefix).rstrip("\t")
    return part[0].rpartition(" b/")[2]


def _full(path: str | None, folder: str) -> str:
    return "" if not path else path if path.startswith(folder) else f"{folder}{path}"

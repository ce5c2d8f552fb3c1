"""What can be said of a Bash skill's code without running it: shellcheck for style, our own rules for security."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.domain.check import Finding
from agent.errors import CouldNotTell
from agent.languages.bash import rules
from agent.languages.bash.doubts import doubts
from agent.languages.bash.naming import functions
from agent.languages.bash.toolchain import FIXES, said
from agent.languages.permitted import Permitted, permitted_by

# What shellcheck cannot know here: files that are sourced, functions that our driver calls, `$` that is meant for jq.
IGNORED = {1090, 1091, 2016, 2317}
_DIRECTIVE = re.compile(rb"#(\s*)shellcheck(?=\s[^\n]*\b(?:disable|enable)\b)")


def style(root: Path) -> tuple[Finding, ...]:
    """What shellcheck finds. Comments of the skill's that would disable a rule do not count."""
    files = scripts(root)
    if not files:
        return ()
    with tempfile.TemporaryDirectory(prefix="skillops-") as scratch:
        for name in files:
            (Path(scratch) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / name).write_bytes(_DIRECTIVE.sub(rb"#\1Shellcheck", (root / name).read_bytes()))
        checked = said("shellcheck", "--norc", "--shell=bash", "--format=json1", "--severity=info", "--", *files, cwd=scratch)
    if checked.returncode not in (0, 1):
        why = checked.stderr.decode(errors="replace").strip()[:400]
        raise CouldNotTell("shellcheck could not tell.", why=why, next_step=FIXES["shellcheck"])
    findings = [
        Finding(message=item["message"], rule=f"SC{item['code']}", path=_repository_path(root, item["file"]), line=item["line"])
        for item in json.loads(checked.stdout)["comments"]
        if item["code"] not in IGNORED
    ]
    for name in files:
        content = (root / name).read_bytes()
        if b"\r" in content:
            findings.append(Finding(message="lines end with a carriage return", rule="format", path=_repository_path(root, name)))
        if not content.endswith(b"\n"):
            findings.append(Finding(message="no newline at the end", rule="format", path=_repository_path(root, name)))
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def tidy(root: Path) -> None:
    """Mends line ends. There is no formatter: white space may mean something in a script."""
    for name in scripts(root):
        path = root / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n")


def security(root: Path) -> tuple[Finding, ...]:
    """What our own rules find, and what a person should look at."""
    findings = [*said_by_rules(root, permitted_by(root)), *_doubts(root)]
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def _doubts(root: Path) -> Iterator[Finding]:
    """In the code itself: tests try what is wrong on purpose."""
    for name in scripts(root):
        if not name.startswith("tests/"):
            for line, rule, message in doubts((root / name).read_bytes().decode(errors="replace")):
                yield Finding(message=message, rule=f"skillops-{rule}", path=_repository_path(root, name), line=line, level="person")


def said_by_rules(root: Path, permitted: Permitted) -> tuple[Finding, ...]:
    """What they find where a manifest allows what is given."""
    findings = [
        Finding(message="compiled code cannot be read and is not run", rule="skillops-hidden-code", path=_repository_path(root, name))
        for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        if (root / name).read_bytes()[:4] == b"\x7fELF"
    ]
    names = scripts(root)
    own = frozenset().union(*(functions((root / name).read_text(errors="replace")) for name in names))
    files = frozenset(name.rpartition("/")[2] for name in names)
    for name in names:
        shown, in_tests = _repository_path(root, name), name.startswith("tests/")
        try:
            broken = rules.broken((root / name).read_bytes().decode(), permitted, own=own, scripts=files, in_tests=in_tests)
        except ValueError as error:
            findings.append(Finding(message=f"cannot be read as Bash: {error}", rule="skillops-unreadable", path=shown))
            continue
        findings += [Finding(message=message, rule=f"skillops-{rule}", path=shown, line=line, level=level) for line, rule, message, level in broken]
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def scripts(root: Path) -> list[str]:
    """The files that are scripts, by name or by their first line."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and (path.suffix in (".sh", ".bash") or re.match(rb"#![^\n]*\b(ba|da|k|z)?sh\b", _start(path)))
    )


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _repository_path(root: Path, path: str) -> str:
    return f"skills/{root.name}/{path}"

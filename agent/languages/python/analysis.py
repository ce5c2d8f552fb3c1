"""What can be said of a skill's code without running it: ruff for style, bandit and our own rules for security."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import os
import subprocess
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.domain.check import Finding
from agent.errors import CouldNotTell
from agent.languages.permitted import Permitted, permitted_by
from agent.languages.python import rules, syntax
from agent.languages.python.doubts import doubts
from agent.languages.python.evasion import lendings

CONFIGURATION = Path(__file__).with_name("style.toml")
RUFF_SECONDS = 60.0
# What blocks nothing: bandit's rule, because the sandbox or a rule of ours answers it already, or because it is a matter of taste.
NOTES = {
    "B101": "assert",
    "B104": "the sandbox's network has loopback alone, and a skill listens on none",
    "B108": "/tmp is the sandbox's own",
    "B310": "an address outside permissions.network cannot be reached",
    "B314": "expat 2.4 and memory limits answer XML bombs",
}
FOR_A_PERSON = {"B608"}  # a text that looks like a query, put together of others: bandit cannot tell whether it is one (CWE-89)


# ---- style ------------------------------------------------------------------------------------------------------------


def style(root: Path) -> tuple[Finding, ...]:
    """What ruff finds with our configuration; nothing in the skill's folder changes it."""
    if not (files := _python_files(root)):
        return ()
    said = _ruff(root, "check", "--output-format=json", "--ignore-noqa", "--quiet", *_imports(root), "--", *files)
    if said.returncode not in (0, 1):
        raise _ruff_failed(said)
    findings = [_style_finding(root, item) for item in json.loads(said.stdout)]
    broken = {finding.path for finding in findings if finding.rule == "invalid-syntax"}
    lines = _ruff(root, "format", "--diff", "--quiet", "--", *files).stdout.decode(errors="replace").splitlines()
    for path in files:
        shown = _repository_path(root, path)
        if f"--- {path}" in lines and f"+++ {path}" in lines and shown not in broken:
            findings.append(Finding(message="not formatted as `ruff format` does", rule="format", path=shown))
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def tidy(root: Path) -> None:
    """Mends in place what ruff can mend safely."""
    if files := _python_files(root):
        for path in files:
            (root / path).chmod(0o644)
        _ruff(root, "check", "--fix", "--ignore-noqa", "--quiet", *_imports(root), "--", *files)
        _ruff(root, "format", "--quiet", "--", *files)


def formatted(source: str) -> bytes:
    """`source` as `ruff format` writes it."""
    said = _ruff(Path.cwd(), "format", "--stdin-filename=skill.py", "-", stdin=source.encode())
    if said.returncode:
        raise _ruff_failed(said)
    return said.stdout


def _imports(root: Path) -> tuple[str, str]:
    own = sorted(
        {
            "skill",
            *(path.stem for path in root.glob("*.py")),
            *(path.parent.name for path in root.glob("*/__init__.py")),
        }
    )
    return "--config", f"lint.isort.known-first-party={json.dumps(own)}"


def _style_finding(root: Path, item: dict[str, Any]) -> Finding:
    rule = item["code"] or "invalid-syntax"
    line = item["location"]["row"] if item.get("location") else None
    return Finding(message=item["message"], rule=rule, path=_repository_path(root, item["filename"]), line=line)


def _ruff(root: Path, command: str, *options: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    from ruff.__main__ import find_ruff_bin

    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUFF_")}
    try:
        return subprocess.run(
            [find_ruff_bin(), command, "--no-cache", "--config", str(CONFIGURATION), *options],
            input=stdin or b"",
            capture_output=True,
            cwd=root,
            env=environment,
            timeout=RUFF_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CouldNotTell("ruff could not be run.", why=str(error), next_step="Install SkillOps again, with its dependencies.") from None


def _ruff_failed(said: subprocess.CompletedProcess[bytes]) -> CouldNotTell:
    why = said.stderr.decode(errors="replace").strip().splitlines()
    return CouldNotTell("ruff could not tell.", why=why[-1] if why else f"It ended with {said.returncode}.", next_step="Try again.")


# ---- security ---------------------------------------------------------------------------------------------------------


def security(root: Path) -> tuple[Finding, ...]:
    """What bandit and our own rules find. `nosec` comments do not count."""
    own = said_by_rules(root, permitted_by(root))
    unreadable = {finding.path for finding in own if finding.rule == "skillops-unreadable"}
    readable = [path for path in _python_files(root) if _repository_path(root, path) not in unreadable]
    findings = [*own, *_doubts(root, readable), *_bandit(root, readable)]
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def said_by_rules(root: Path, permitted: Permitted) -> list[Finding]:
    """What our own rules find where a manifest allows what is given."""
    findings: list[Finding] = [
        Finding(
            message="compiled or start-up code cannot be read and is not run",
            rule="skillops-hidden-code",
            path=_repository_path(root, path.as_posix()),
        )
        for path in sorted(path.relative_to(root) for path in root.rglob("*"))
        if path.suffix in (".pyc", ".pyo", ".pyd", ".so", ".pth", ".egg", ".whl") or path.name in ("sitecustomize.py", "usercustomize.py")
    ]
    own = frozenset(path.stem for path in root.rglob("*.py")) | {path.name for path in root.rglob("*") if path.is_dir()}
    lent = _lent(root)
    for path in _python_files(root):
        shown = _repository_path(root, path)
        source = (root / path).read_bytes()
        try:
            tree = parsed(source)
        except ValueError as error:
            findings.append(Finding(message=f"cannot be read as Python: {error}", rule="skillops-unreadable", path=shown))
            continue
        in_tests = Path(path).parts[0] == "tests"
        findings += [
            Finding(message=message, rule=f"skillops-{rule}", path=shown, line=line, level=level)
            for line, rule, message, level in rules.broken(tree, permitted, own=own, in_tests=in_tests, lent=lent)
        ]
    return findings


def _lent(root: Path) -> dict[str, dict[str, str]]:
    """What each module of the skill has imported, by its name; nothing of one that cannot be read."""
    found = {}
    for path in _python_files(root):
        with contextlib.suppress(ValueError):
            found[Path(path).stem] = lendings(parsed((root / path).read_bytes()))
    return found


def _doubts(root: Path, files: Sequence[str]) -> Iterator[Finding]:
    """What a person should look at, in the code itself: tests try what is wrong on purpose."""
    for path in files:
        if Path(path).parts[0] != "tests":
            for line, rule, message in doubts(parsed((root / path).read_bytes())):
                yield Finding(message=message, rule=f"skillops-{rule}", path=_repository_path(root, path), line=line, level="person")


def parsed(source: bytes) -> ast.Module:
    """The tree of a module; ValueError says why there is none."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        if encoding not in ("utf-8", "utf-8-sig"):
            raise ValueError(f"its encoding is {encoding}, not UTF-8")
        return syntax.parse(source)
    except SyntaxError as error:
        raise ValueError(f"{error.msg}" + (f" (line {error.lineno})" if error.lineno else "")) from None
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None


def _bandit(root: Path, files: Sequence[str]) -> Iterator[Finding]:
    """In this process: bandit reads, it runs nothing; a process of its own would cost ten times as much."""
    from bandit.core import config, manager

    logging.getLogger("bandit").setLevel(logging.CRITICAL)
    bandit = manager.BanditManager(config.BanditConfig(), "file", ignore_nosec=True)
    bandit.discover_files([str(root / path) for path in files])
    with syntax.PARSING:
        bandit.run_tests()
    for name, reason in bandit.get_skipped():
        yield Finding(message=f"bandit could not read this: {reason}", rule="bandit", path=_repository_path(root, name))
    for issue in bandit.get_issue_list():
        path = Path(issue.fname).relative_to(root)
        if issue.test_id == "B101":
            continue
        weighs = {"UNDEFINED": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3}
        blocks = weighs[issue.severity] >= 2 and weighs[issue.confidence] >= 2 and issue.test_id not in NOTES
        if path.parts[0] == "tests" and weighs[issue.severity] < 3:
            blocks = False
        yield Finding(
            message=issue.text,
            rule=issue.test_id,
            path=_repository_path(root, path.as_posix()),
            line=issue.lineno,
            level="error" if blocks else "person" if issue.test_id in FOR_A_PERSON and path.parts[0] != "tests" else "note",
        )


# ---- both -------------------------------------------------------------------------------------------------------------


def _python_files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py") if path.is_file())


def _repository_path(root: Path, path: str) -> str:
    inside = Path(path).relative_to(root) if Path(path).is_absolute() else Path(path)
    return f"skills/{root.name}/{inside.as_posix()}"

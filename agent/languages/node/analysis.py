"""What can be said of a Node skill's code without running it: `node --check` and eslint for style, our own rules for security."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.domain.check import Finding
from agent.errors import CouldNotTell, InvalidFile
from agent.languages.node import eslint, rules
from agent.languages.node.doubts import doubts
from agent.languages.node.reaching import skill_of
from agent.languages.node.reading import SUFFIXES, scripts, trees
from agent.languages.node.toolchain import node, said
from agent.languages.node.tree import Node, Unreadable
from agent.languages.permitted import Permitted, permitted_by
from agent.strict_yaml import load

HIDDEN = (".node", ".wasm", ".so", ".jsc", ".snap")
_PLACE = re.compile(r"^[^\n]*:(\d+)$", re.MULTILINE)
_ERROR = re.compile(r"^(\w*Error: .*)$", re.MULTILINE)


def style(root: Path, cache: Path) -> tuple[Finding, ...]:
    """What `node --check` and eslint find, with our configuration. Where eslint cannot be had, a note says so."""
    files = scripts(root)
    if not files:
        return ()
    findings = [finding for name in files for finding in _checked(root, name)]
    broken = {finding.path for finding in findings}
    try:
        linted = eslint.run(root, [name for name in files if _repository_path(root, name) not in broken], cache)
    except CouldNotTell as error:
        findings.append(Finding(message=f"eslint was left out: {error.fault}", rule="eslint", level="note"))
    else:
        findings += [
            Finding(message=message, rule=rule or "eslint", path=_repository_path(root, name), line=line) for name, line, rule, message in linted
        ]
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def _checked(root: Path, name: str) -> list[Finding]:
    checked = said(node(), "--check", str(root / name))
    if not checked.returncode:
        return []
    told = checked.stderr.decode(errors="replace")
    place, error = _PLACE.search(told), _ERROR.search(told)
    message, line = error[1] if error else "it cannot be read", int(place[1]) if place else None
    return [Finding(message=message, rule="invalid-syntax", path=_repository_path(root, name), line=line)]


def tidy(root: Path, cache: Path) -> None:
    """Mends in place what eslint can mend safely, where it can be had."""
    files = scripts(root)
    for name in files:
        (root / name).chmod(0o644)
    if files:
        try:
            eslint.run(root, files, cache, fix=True)
        except CouldNotTell:
            return


def security(root: Path) -> tuple[Finding, ...]:
    """What our own rules find, and what a person should look at."""
    read = trees(root, scripts(root))
    findings = [*_said(root, permitted_by(root), read), *_doubts(root, read)]
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def _doubts(root: Path, read: Mapping[str, Node | Unreadable]) -> Iterator[Finding]:
    """In the code itself: tests try what is wrong on purpose."""
    for name, tree in read.items():
        if not isinstance(tree, Unreadable) and not name.startswith("tests/"):
            for line, rule, message in doubts(tree):
                yield Finding(message=message, rule=f"skillops-{rule}", path=_repository_path(root, name), line=line, level="person")


def said_by_rules(root: Path, permitted: Permitted) -> tuple[Finding, ...]:
    """What they find where a manifest allows what is given."""
    return tuple(_said(root, permitted, trees(root, scripts(root))))


def _said(root: Path, permitted: Permitted, read: Mapping[str, Node | Unreadable]) -> list[Finding]:
    findings = [
        Finding(message=message, rule="skillops-hidden-code", path=_repository_path(root, name))
        for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        if (message := _hidden(name))
    ]
    skill = skill_of((path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()), read)
    for name, tree in read.items():
        path = _repository_path(root, name)
        if isinstance(tree, Unreadable):
            findings.append(Finding(message=f"cannot be read as JavaScript: {tree}", rule="skillops-unreadable", path=path, line=tree.line))
            continue
        findings += [
            Finding(message=message, rule=f"skillops-{rule}", path=path, line=line, level=level)
            for line, rule, message, level in rules.broken(tree, permitted, in_tests=name.startswith("tests/"), skill=skill, path=name)
        ]
    findings += [*_packages(root), *_entrypoint(root)]
    return sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule))


def _hidden(name: str) -> str:
    if name.endswith(HIDDEN):
        return "compiled code cannot be read and is not run"
    return "dependencies are installed from the lock file, never kept with the skill" if "node_modules" in name.split("/") else ""


def _packages(root: Path) -> Iterator[Finding]:
    """A package.json, in whatever folder, may say what kind of modules there are, and nothing that changes what a name leads to."""
    for path in sorted(root.rglob("package.json")):
        name = path.relative_to(root).as_posix()
        try:
            said_there = set(json.loads(path.read_bytes()))
        except (ValueError, TypeError, RecursionError):
            said_there = {"what cannot be read"}
        for key in sorted(said_there - {"name", "private", "type", "description", "version"}):
            message = f"package.json holds {key}; it may hold name, private and type"
            yield Finding(message=message, rule="skillops-package", path=_repository_path(root, name))


def _entrypoint(root: Path) -> Iterator[Finding]:
    """What Node is started with is read as code only where its name says that it is."""
    try:
        name = str(load((root / "skill.yaml").read_bytes(), "skill.yaml").get("entrypoint") or "skill.js")
    except (OSError, InvalidFile, AttributeError):
        return  # the check `manifest` tells
    if not name.endswith(SUFFIXES) and (root / name).is_file():
        yield Finding(message=f"the entrypoint {name} is no .js, .cjs or .mjs", rule="skillops-hidden-code", path=_repository_path(root, name))


def _repository_path(root: Path, path: str) -> str:
    return f"skills/{root.name}/{path}"

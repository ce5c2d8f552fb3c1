"""What can be said of a Go skill's code without running it: gofmt, go vet and staticcheck for style, our own rules for security."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.domain.check import Finding
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, InvalidFile
from agent.languages.go import analyser, locking, rules, staticcheck
from agent.languages.go.building import compile_errors, workplace
from agent.languages.go.doubts import doubts
from agent.languages.go.toolchain import FIX, environment, go, said
from agent.languages.permitted import Permitted, permitted_by
from agent.manifest_file import read_manifest


def style(root: Path, cache: Path) -> tuple[Finding, ...]:
    """What gofmt, go vet and staticcheck find. CouldNotTell where staticcheck cannot be had. Comments that switch a check off do not count."""
    read = analyser.facts(cache, root)
    if not read:
        return ()
    findings = [
        Finding(message="not formatted as gofmt does it", rule="gofmt", path=_repository_path(root, file["path"]))
        for file in read
        if not file.get("error") and not file["formatted"]
    ]
    manifest = _manifest(root)
    modules = locking.installed(root, manifest, cache) if manifest else None
    with workplace(root, manifest) as place:
        for path in place.rglob("*.go"):
            path.write_bytes(path.read_bytes().replace(b"//lint:", b"//Lint:").replace(b"//nolint", b"//Nolint"))
        vetted = said(go(), "vet", "./...", cwd=place, env=environment(cache, modules))
        errors = compile_errors(vetted.stderr.decode(errors="replace"))
        if vetted.returncode and not errors:
            why = vetted.stderr.decode(errors="replace").strip()[:400]
            raise CouldNotTell("go vet could not tell.", why=why, next_step=FIX)
        findings += [Finding(message=message, rule="vet", path=_repository_path(root, path), line=line) for path, line, message in errors]
        if not vetted.returncode:
            findings += [
                Finding(message=message, rule=rule, path=_repository_path(root, path), line=line)
                for path, line, rule, message in staticcheck.run(place, cache, modules)
            ]
    return _sorted(findings)


def _manifest(root: Path) -> Manifest | None:
    """Of the skill's own folder; None where it cannot be read (the check `manifest` tells)."""
    try:
        return read_manifest((root / "skill.yaml").read_bytes(), "skill.yaml")
    except (OSError, InvalidFile):
        return None


def tidy(root: Path, cache: Path) -> None:
    for path in root.rglob("*.go"):
        path.chmod(0o644)
    analyser.ask(cache, "format", root)


def security(root: Path, cache: Path) -> tuple[Finding, ...]:
    """What our own rules find, and what a person should look at."""
    read = analyser.facts(cache, root)
    return _sorted([*_said(root, permitted_by(root), read), *_doubts(root, read)])


def _doubts(root: Path, read: list[analyser.Facts]) -> Iterator[Finding]:
    """In the code itself: tests try what is wrong on purpose."""
    for file in read:
        if not file.get("error") and not file["path"].startswith("tests/"):
            for line, rule, message in doubts(file):
                yield Finding(message=message, rule=f"skillops-{rule}", path=_repository_path(root, file["path"]), line=line, level="person")


def said_by_rules(root: Path, cache: Path, permitted: Permitted) -> tuple[Finding, ...]:
    """What they find where a manifest allows what is given."""
    return _sorted(_said(root, permitted, analyser.facts(cache, root)))


def _said(root: Path, permitted: Permitted, read: list[analyser.Facts]) -> list[Finding]:
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    findings = [
        Finding(message=message, rule="skillops-hidden-code", path=_repository_path(root, name)) for name in names if (message := _hidden(root, name))
    ]
    opens = any(rules.opening(file) for file in read if not file.get("error") and not file["path"].startswith("tests/"))
    for file in read:
        path = _repository_path(root, file["path"])
        if file.get("error"):
            message = f"cannot be read as Go: {file['error']}"
            findings.append(Finding(message=message, rule="skillops-unreadable", path=path, line=file["error_line"]))
            continue
        findings += [
            Finding(message=message, rule=f"skillops-{rule}", path=path, line=line, level=level)
            for line, rule, message, level in rules.broken(file, permitted, in_tests=file["path"].startswith("tests/"), opens=opens)
        ]
    return findings


def _hidden(root: Path, name: str) -> str:
    with (root / name).open("rb") as file:
        compiled = file.read(4) == b"\x7fELF"
    return "compiled code cannot be read and is not run" if compiled else rules.hidden(name)


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (finding.path or "", finding.line or 0, finding.rule)))


def _repository_path(root: Path, path: str) -> str:
    return f"skills/{root.name}/{path}"

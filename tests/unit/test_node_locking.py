"""Dependencies of Node skills: pins, the lock file with hashes, and what is never installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import CouldNotTell, Refused
from agent.languages.node import NodeLanguage, npm
from agent.languages.node.locking import LOCK, locked, newer
from tests.builders import a_manifest
from tests.engines import missing

pytestmark = pytest.mark.node_tools

HASH = "sha512-" + "A" * 86 + "=="


def a_lock(**changed: Any) -> dict[str, Any]:
    packages = {"": {"dependencies": {"left-pad": "1.3.0"}}, "node_modules/left-pad": {"version": "1.3.0", "integrity": HASH}}
    return {"lockfileVersion": 3, "packages": {**packages, **changed.pop("packages", {})}, **changed}


def its(*pins: str) -> Any:
    return a_manifest(runtime="node", entrypoint="skill.js", dependencies=list(pins))


def found(root: Path, lock: Any, *pins: str) -> list[tuple[str, str, str]]:
    if lock is not None:
        (root / LOCK).write_text(lock if isinstance(lock, str) else json.dumps(lock))
    findings = NodeLanguage(root / "cache").dependencies(root, its(*pins))
    return [(finding.rule, finding.level, finding.message) for finding in findings]


def test_a_lock_file_that_fits_its_pins_is_right(tmp_path):
    assert found(tmp_path, a_lock(), "left-pad@1.3.0") == []


@pytest.mark.parametrize("pin", ["left-pad", "left-pad@^1.3.0", "left-pad@latest", "left-pad@1.3", "git+https://a.example/b.git", "left-pad==1.3.0"])
def test_what_is_not_pinned_exactly_is_found_and_never_locked(tmp_path, pin):
    assert "unpinned" in [rule for rule, *_ in found(tmp_path, a_lock(), pin)]
    with pytest.raises(Refused):
        NodeLanguage(tmp_path).lock(its(pin))


@pytest.mark.parametrize(
    ("lock", "message"),
    [
        (None, "is missing"),
        ("{", "no lock file of npm"),
        ("[]", "no lock file of npm"),
        (a_lock(lockfileVersion=1), "lockfileVersion must be 3"),
        (a_lock(packages={"node_modules/left-pad": {"version": "1.3.0"}}), "has no hash"),
        (a_lock(packages={"node_modules/left-pad": {"version": "1.3.0", "integrity": "sha1-x"}}), "has no hash"),
        (a_lock(packages={"node_modules/left-pad": {"version": "1.2.0", "integrity": HASH}}), "skill.yaml pins 1.3.0"),
        (a_lock(packages={"": {"dependencies": {"left-pad": "^1.3.0"}}}), "make it again"),
        (a_lock(packages={"": {"dependencies": {"left-pad": "1.3.0", "ms": "2.0.0"}}}), "make it again"),
        (a_lock(packages={"node_modules/ms": {"link": True, "resolved": "../ms"}}), "no package from the registry"),
        (a_lock(packages={"node_modules/ms": {"version": "2.0.0", "integrity": HASH, "resolved": "git+ssh://a.example/ms"}}), "does not come from"),
        (a_lock(packages={"node_modules/--cache=/tmp": {"version": "2.0.0", "integrity": HASH}}), "no package from the registry"),
        (a_lock(packages={"node_modules/git+https://a.example/ms": {"version": "2.0.0", "integrity": HASH}}), "no package from the registry"),
        (a_lock(packages={"node_modules/../ms": {"version": "2.0.0", "integrity": HASH}}), "no package from the registry"),
        (a_lock(packages={"elsewhere/ms": {"version": "2.0.0", "integrity": HASH}}), "no package from the registry"),
        (a_lock(packages={"node_modules/lodahs": {"version": "2.0.0", "integrity": HASH}}), "looks like lodash"),
    ],
)
def test_a_lock_file_that_is_broken_is_found_and_not_installed(tmp_path, lock, message):
    assert any(message in told and level == "error" for _, level, told in found(tmp_path, lock, "left-pad@1.3.0"))
    with pytest.raises(Refused):
        NodeLanguage(tmp_path / "cache").run_tests(tmp_path, its("left-pad@1.3.0"), None)  # type: ignore[arg-type]


def test_an_install_script_is_a_note(tmp_path):
    lock = a_lock(packages={"node_modules/left-pad": {"version": "1.3.0", "integrity": HASH, "hasInstallScript": True}})
    assert [(rule, level) for rule, level, _ in found(tmp_path, lock, "left-pad@1.3.0")] == [("install-script", "note")]


def test_a_lock_file_without_dependencies_is_found(tmp_path):
    assert [rule for rule, *_ in found(tmp_path, a_lock())] == ["lock"]
    (tmp_path / LOCK).unlink()
    assert found(tmp_path, None) == []


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("npm error code E404\nnpm error 404 Not Found - GET nothing-like-it", Refused),
        ("npm error code EINTEGRITY\nnpm error sha512-… integrity checksum failed", Refused),
        ("npm error code ENOTFOUND\nnpm error network request failed", CouldNotTell),
        ("npm error code ENOSPC\nnpm error no space", CouldNotTell),
    ],
)
def test_what_npm_says_is_refused_or_not_known(tmp_path, monkeypatch, told, kind):
    program = tmp_path / "npm"
    program.write_text(f"#!/bin/sh\ncat >&2 <<'X'\n{told}\nX\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(npm.shutil, "which", lambda name: str(program))
    with pytest.raises((Refused, CouldNotTell)) as caught:
        NodeLanguage(tmp_path).lock(its("left-pad@1.3.0"))
    assert isinstance(caught.value, kind) and caught.value.next_step


def test_locking_and_installing_need_no_script_and_give_the_same_twice(tmp_path):
    language, manifest = NodeLanguage(tmp_path / "cache"), its("left-pad@1.3.0")
    try:
        lock = language.lock(manifest)
    except CouldNotTell as error:
        missing(f"the registry cannot be reached: {error}")
    root, target = tmp_path / "word-count", tmp_path / "target"
    for folder in (root, target):
        folder.mkdir()
    (root / "skill.js").write_text("exports.execute = () => ({ padded: require('left-pad')('a', 3) });\n")
    (root / LOCK).write_bytes(lock[LOCK])
    assert language.lock(manifest) == lock
    assert [finding for finding in language.dependencies(root, manifest) if finding.level == "error"] == []
    assert b"://" not in lock[LOCK]
    language.prepare(root, manifest, target)
    assert (target / "node_modules" / "left-pad" / "package.json").is_file()


def test_newer_versions_are_the_newest_within_the_caret_range() -> None:
    (pin,) = newer(a_manifest(runtime="node", entrypoint="skill.js", dependencies=("ms@2.1.1",)))
    assert "ms@2.1.1" < pin < "ms@3"


def test_a_lock_file_says_what_it_locks() -> None:
    item = {"version": "2.1.3", "integrity": f"sha512-{'A' * 86}=="}
    lock = {"lockfileVersion": 3, "packages": {"": {}, "node_modules/ms": item, "node_modules/x/node_modules/ms": {**item, "version": "1.0.0"}}}
    found = locked({"package.lock": json.dumps(lock).encode()})
    assert [str(package) for package in found] == ["ms 1.0.0", "ms 2.1.3"] and found[0].sha512 == ("00" * 64,)

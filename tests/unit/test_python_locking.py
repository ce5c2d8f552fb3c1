"""Pins and lock files: what is wrong with them, and what pip makes of them."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from agent.errors import CouldNotTell, Refused
from agent.languages.python import PythonLanguage, locking
from agent.languages.python.locking import locked, newer
from tests.builders import a_manifest

HASH = "--hash=sha256:" + "0" * 64


def problems(root: Path, lock: str | None, *dependencies: str) -> list[str]:
    if lock is not None:
        (root / locking.LOCK).write_text(lock)
    found = PythonLanguage().dependencies(root, a_manifest(dependencies=dependencies))
    return [f"{finding.rule}:{finding.line or ''}" for finding in found if finding.level == "error"]


def test_no_dependencies_need_no_lock_file(tmp_path):
    assert problems(tmp_path, None) == []
    assert problems(tmp_path, "requests==1.0 " + HASH) == ["lock:"]


def test_pins_that_are_locked_with_hashes_are_right(tmp_path):
    lock = f"# comment\nrequests==2.32.3 \\\n    {HASH} \\\n    {HASH}\nidna==3.7 {HASH}\n"
    assert problems(tmp_path, lock, "Requests==2.32.3") == []


@pytest.mark.parametrize("pin", ["requests", "requests>=2", "requests==2.*", "requests @ https://example.org/x.whl", "-r other.txt", "requests==2;x"])
def test_a_dependency_is_pinned_to_one_version(tmp_path, pin):
    assert "unpinned:" in problems(tmp_path, f"requests==2.32.3 {HASH}\n", pin)


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        (None, ["lock:"]),
        ("", ["lock:"]),
        (f"requests==2.0 {HASH}", ["lock:1"]),
        ("requests==2.32.3", ["lock:1"]),
        (f"requests==2.32.3 {HASH}\nrequests==2.32.3 {HASH}", ["lock:2"]),
        (f"requests==2.32.3 {HASH}\n--index-url https://example.org", ["lock:2"]),
        (f"requests==2.32.3 {HASH}\n-e .", ["lock:2"]),
        (f"requests==2.32.3 {HASH}\nx @ https://example.org/x.whl {HASH}", ["lock:2"]),
        ("requests==2.32.3 --hash=md5:" + "0" * 32, ["lock:1", "lock:"]),
        (f"requests==2.32.3 {HASH}\nreqeusts==1.0 {HASH}", ["look-alike:2"]),
    ],
)
def test_each_fault_of_a_lock_file_is_found_on_its_line(tmp_path, lock, expected):
    assert problems(tmp_path, lock, "requests==2.32.3") == expected


@pytest.mark.parametrize("name", ["reqests", "requestss", "rquests", "requezts", "numpi", "nunpy"])
def test_a_look_alike_of_a_known_name_is_stopped(tmp_path, name):
    assert "look-alike:" in problems(tmp_path, f"{name}==1.0 {HASH}", f"{name}==1.0")


def test_known_names_one_letter_apart_are_both_right(tmp_path):
    assert problems(tmp_path, f"tomli==2.0 {HASH}\ntoml==0.10 {HASH}", "tomli==2.0", "toml==0.10") == []


def test_an_unknown_name_is_a_note(tmp_path):
    (tmp_path / locking.LOCK).write_text(f"quite-unheard-of==1.0 {HASH}")
    (found,) = locking.findings(tmp_path, a_manifest(dependencies=["quite-unheard-of==1.0"]))
    assert (found.rule, found.level) == ("unknown-name", "note")


# ---- with pip, on wheels of our own: no index is asked --------------------------------------------------------------------


def a_wheel(folder: Path, name: str, *requires: str) -> str:
    """A wheel of version 1.0 in `folder`; its line in a lock file."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    metadata = "".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", *(f"Requires-Dist: {other}\n" for other in requires)])
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"NAME = {name!r}\n")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def wheels(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "word-count"
    folder.mkdir()
    return folder


MANIFEST = a_manifest(dependencies=["alphaone==1.0"])


def test_locking_names_all_that_is_pulled_in_with_its_hash(wheels):
    lines = [a_wheel(wheels, "alphaone", "betatwo"), a_wheel(wheels, "betatwo")]
    (content,) = PythonLanguage().lock(MANIFEST).values()
    assert content.decode().splitlines(keepends=True)[1:] == lines


def test_locking_nothing_makes_no_file():
    assert PythonLanguage().lock(a_manifest()) == {}


def test_a_distribution_that_does_not_exist_is_refused(wheels):
    with pytest.raises(Refused, match="alphaone"):
        PythonLanguage().lock(MANIFEST)


def test_an_index_that_is_out_of_reach_is_no_fault_of_the_author(monkeypatch):
    def unreachable(*_, **__):
        return subprocess.CompletedProcess([], 1, "", "WARNING: Retrying (Retry(total=0)) ...\nERROR: No matching distribution")

    monkeypatch.setattr(subprocess, "run", unreachable)
    with pytest.raises(CouldNotTell, match="out of reach"):
        PythonLanguage().lock(MANIFEST)


def test_what_is_locked_is_installed_once(wheels, root, tmp_path):
    (root / locking.LOCK).write_text(a_wheel(wheels, "alphaone", "betatwo", "never; extra == 'x'") + a_wheel(wheels, "betatwo"))
    first = locking.installed(root, MANIFEST, tmp_path / "cache")
    assert first is not None
    assert {path.name for path in first.glob("*.py")} == {"alphaone.py", "betatwo.py"}
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert locking.installed(root, MANIFEST, tmp_path / "cache") == first


def test_a_wheel_with_another_hash_is_refused(wheels, root, tmp_path):
    a_wheel(wheels, "alphaone")
    (root / locking.LOCK).write_text(f"alphaone==1.0 {HASH}\n")
    with pytest.raises(Refused):
        locking.installed(root, MANIFEST, tmp_path / "cache")


@pytest.mark.parametrize(("requires", "also_locked", "why"), [((), "gammathree", "holds gammathree"), (("betatwo",), None, "lacks betatwo")])
def test_the_lock_file_covers_exactly_what_the_pins_need(wheels, root, tmp_path, requires, also_locked, why):
    lines = a_wheel(wheels, "alphaone", *requires) + (a_wheel(wheels, also_locked) if also_locked else "")
    (root / locking.LOCK).write_text(lines)
    with pytest.raises(Refused, match=why):
        locking.installed(root, MANIFEST, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_newer_versions_are_the_newest_that_are_compatible_and_fit_together() -> None:
    (pin,) = newer(a_manifest(dependencies=("iniconfig==1.0.0",)))
    assert "iniconfig==1.0.0" < pin < "iniconfig==2"
    assert newer(a_manifest()) == () and newer(a_manifest(dependencies=("iniconfig",))) == ("iniconfig",)


def test_a_lock_file_says_what_it_locks() -> None:
    lock = f"# x\na-b==1.0 --hash=sha256:{'a' * 64} \\\n  --hash=sha256:{'b' * 64}\n"
    (package,) = locked({"requirements.lock": lock.encode()})
    assert str(package) == "a-b 1.0" and package.sha256 == ("a" * 64, "b" * 64) and locked({}) == ()

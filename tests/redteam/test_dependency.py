"""A dependency: what it runs while it is fetched, how it is called, and where it comes from."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.checks.dependencies import DependenciesCheck
from agent.domain.check import Outcome
from agent.domain.decision import DependencyRules
from agent.errors import CouldNotTell, SkillOpsError
from agent.languages.python import PythonLanguage, locking
from agent.languages.python.index import PythonIndex
from tests.builders import a_manifest
from tests.package_index import package_index
from tests.redteam.threats import threat
from tests.subjects import SKILL_YAML, ToldBench, a_subject, skill_files

LANGUAGES = {"python": PythonLanguage()}
HASH = "--hash=sha256:" + "0" * 64


@threat(28)
def test_a_source_distribution_runs_nothing_while_it_is_locked_or_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap, links = tmp_path / "sprung", tmp_path / "links"
    links.mkdir()
    setup = f"open({str(trap)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='alphaone', version='1.0')\n".encode()
    with tarfile.open(links / "alphaone-1.0.tar.gz", "w:gz") as archive:
        for name, data in (("setup.py", setup), ("PKG-INFO", b"Metadata-Version: 2.1\nName: alphaone\nVersion: 1.0\n")):
            entry = tarfile.TarInfo(f"alphaone-1.0/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    manifest, root = a_manifest(dependencies=["alphaone==1.0"]), tmp_path / "word-count"
    root.mkdir()

    with pytest.raises(SkillOpsError):
        PythonLanguage().lock(manifest)
    (root / locking.LOCK).write_text(f"alphaone==1.0 {HASH}\n")
    with pytest.raises(SkillOpsError):
        locking.installed(root, manifest, tmp_path / "cache")

    assert not trap.exists()


def depends(tmp_path: Path, pin: str, lock: str) -> Outcome:
    manifest = SKILL_YAML + f"dependencies: [{pin!r}]\n"
    subject = a_subject(tmp_path, skill_files(**{"skill.yaml": manifest, "requirements.lock": lock}))
    return DependenciesCheck(LANGUAGES, {}, lambda: DependencyRules(min_age_days=0)).run(subject, ToldBench()).outcome


@threat(29)
@pytest.mark.parametrize("name", ["reqests", "requestss", "numpi", "python-dateutils", "beautifulsoup", "urlib3", "crytography"])
def test_a_name_that_looks_like_a_known_one_is_refused(tmp_path: Path, name: str) -> None:
    assert depends(tmp_path, f"{name}==1.0", f"{name}==1.0 {HASH}\n") is Outcome.FAILED


@threat(30)
@pytest.mark.parametrize(
    ("pin", "lock"),
    [
        ("x @ https://example.org/x.whl", f"x @ https://example.org/x.whl {HASH}\n"),
        ("x @ git+https://example.org/x", f"x @ git+https://example.org/x {HASH}\n"),
        ("requests==2.32.3", f"--index-url https://example.org/\nrequests==2.32.3 {HASH}\n"),
        ("requests==2.32.3", f"--extra-index-url https://example.org/\nrequests==2.32.3 {HASH}\n"),
        ("requests==2.32.3", f"requests==2.32.3 {HASH}\n-e .\n"),
        ("requests==2.32.3", f"requests==2.32.3 {HASH}\n-r /etc/passwd\n"),
        ("requests==2.32.3", "requests==2.32.3\n"),
        ("requests", f"requests==2.32.3 {HASH}\n"),
    ],
)
def test_a_dependency_from_elsewhere_or_without_its_hash_is_refused(tmp_path: Path, pin: str, lock: str) -> None:
    assert depends(tmp_path, pin, lock) is Outcome.FAILED


@threat(49)
def test_a_release_of_yesterday_gets_in_by_no_word_of_the_proposal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known name whose newest release somebody stole: what the index says counts, whatever the proposal says of it."""
    claims = f"{SKILL_YAML}dependencies: [requests==2.99.0]\n# released: 2020-01-01, allow-listed, min_age_days: 0\n"
    policy = "apiVersion: skillops/v1\ndependencies: {min_age_days: 0, allowed: ['*']}\n"
    pip = f"[global]\nindex-url = file://{tmp_path}\n"
    files = {
        "skill.yaml": claims,
        "requirements.lock": f"requests==2.99.0 {HASH}\n",
        "policy.yaml": policy,
        "pip.conf": pip,
        "reviewers/policy.yaml": policy,
    }
    subject = a_subject(tmp_path, skill_files(**files))
    check = DependenciesCheck(LANGUAGES, {"PyPI": PythonIndex()}, DependencyRules)
    monkeypatch.chdir(subject.root)
    with package_index() as index:
        for name, value in index.environment.items():
            monkeypatch.setenv(name, value)
        file = {"filename": "requests-2.99.0-py3-none-any.whl", "url": "x.whl", "hashes": {"sha256": "0" * 64}}
        outcomes = []
        for days in (1, 30):
            index.python("requests", {**file, "upload-time": (datetime.now(UTC) - timedelta(days=days)).isoformat()})
            outcomes.append(check.run(subject, ToldBench()).outcome)
        index.python("requests", file)
        with pytest.raises(CouldNotTell):
            check.run(subject, ToldBench())

    assert outcomes == [Outcome.FAILED, Outcome.PASSED]

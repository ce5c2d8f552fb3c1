"""A skill with a Dockerfile of its own, as the checks and the directory builder see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.builders.directory import DirectoryBuilder
from agent.checks.dependencies import DependenciesCheck
from agent.checks.manifest import ManifestCheck
from agent.checks.security import SecurityCheck
from agent.checks.style import StyleCheck
from agent.checks.tests import TestsCheck
from agent.domain.check import Outcome
from agent.errors import ConfigurationError, Refused
from agent.languages.container import ContainerLanguage
from agent.manifest_file import read_manifest
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.starter import new_skill
from agent.wiring import open_workplace
from agent.workbench import subject_of_folder
from tests.acceptance.harness import found
from tests.subjects import ToldBench

LANGUAGES: dict[str, Any] = {"container": ContainerLanguage()}
CHECKS = (ManifestCheck, StyleCheck, SecurityCheck, DependenciesCheck, lambda languages: TestsCheck(languages, BubblewrapSandbox()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_skill("word-count", "container", tmp_path / "work", LANGUAGES)


@pytest.mark.parametrize("check", CHECKS, ids=("manifest", "style", "security", "dependencies", "tests"))
def test_the_template_passes_the_checks(tmp_path: Path, root: Path, check: Any) -> None:
    result = check(LANGUAGES).run(subject_of_folder(root, tmp_path / "word-count"), ToldBench())
    assert (result.outcome, [finding for finding in result.findings if finding.level == "error"]) == (Outcome.PASSED, [])


def test_the_tests_check_says_that_none_of_its_own_tests_was_run(tmp_path: Path, root: Path) -> None:
    result = CHECKS[-1](LANGUAGES).run(subject_of_folder(root, tmp_path / "word-count"), ToldBench())
    assert "from outside" in result.summary
    assert any("none of its own tests is run" in finding.message for finding in result.findings)


@pytest.mark.parametrize("check", CHECKS[:1], ids=("manifest",))
def test_without_a_dockerfile_it_has_no_entrypoint(tmp_path: Path, root: Path, check: Any) -> None:
    (root / "Dockerfile").unlink()
    result = check(LANGUAGES).run(subject_of_folder(root, tmp_path / "word-count"), ToldBench())
    assert result.outcome is Outcome.FAILED and "'Dockerfile' is not among the files" in result.summary


def test_the_directory_builder_refuses_it_with_the_next_step(tmp_path: Path, root: Path) -> None:
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    manifest = read_manifest(files["skill.yaml"], "skill.yaml")
    with pytest.raises(Refused, match="only Docker builds and runs it") as caught:
        DirectoryBuilder(tmp_path / "store", LANGUAGES).build(root, files, manifest)
    assert 'builder = "docker"' in caught.value.next_step


def test_it_is_on_the_shelf_and_the_model_is_asked_for_none(tmp_path: Path) -> None:
    parts = open_workplace(found(tmp_path / "skills").root).parts
    assert "container" in parts.languages
    assert "container" not in parts.author._languages


@pytest.mark.parametrize(("builder", "runtime"), [("docker", "process"), ("directory", "docker")])
def test_a_builder_and_a_runtime_that_do_not_fit_are_told(tmp_path: Path, builder: str, runtime: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_workplace(found(tmp_path / "skills").root, builder=builder, runtime=runtime)
    assert "skillops.toml" in caught.value.next_step

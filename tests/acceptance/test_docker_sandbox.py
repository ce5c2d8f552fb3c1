"""Skills are checked and tried in containers where the settings say so: the same verdicts as in bubblewrap, in every language."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.docker_engine import DockerEngine
from agent.sandboxes.container import BOOT, LABEL
from agent.sandboxes.process import name_of
from agent.starter import found
from tests.command import skillops, told

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.mark.parametrize("language", ["python", "node", "bash", "go"])
def test_a_new_skill_passes_its_checks_in_containers(tmp_path: Path, language: str) -> None:
    root = found(tmp_path / "skills").root
    told(skillops("new", "word-count", "--language", language, "--in", tmp_path), 0)
    done = skillops("check", tmp_path / "word-count", "-C", root, "--json", SKILLOPS_SANDBOX="docker", SKILLOPS_MUTANTS="3")
    assert done.code == 0, done.said
    passed = {result["name"]: result["outcome"] for result in done.document["results"]}
    assert {passed["tests"], passed["contract"]} == {"passed"}
    mine = f"{LABEL}={BOOT}:{name_of(os.getpid())}"
    assert DockerEngine().client().api.containers(all=True, filters={"label": mine}) == []


def test_the_doctor_looks_at_the_sandbox_that_the_settings_name(tmp_path: Path) -> None:
    root = found(tmp_path / "skills").root
    said = skillops("doctor", "-C", root, "--json", SKILLOPS_SANDBOX="docker").document
    assert [diagnosis["found"][:12] for diagnosis in said["diagnoses"] if diagnosis["what"] == "sandbox"] == ["docker works"]
    away = skillops("doctor", "-C", root, "--json", SKILLOPS_SANDBOX="docker", DOCKER_HOST="unix:///nowhere.sock")
    sandbox = next(diagnosis for diagnosis in away.document["diagnoses"] if diagnosis["what"] == "sandbox")
    assert away.code == 5 and not sandbox["ok"] and "DOCKER_HOST" in sandbox["fix"]

"""What goes into the image of SkillOps itself, and what it is not made of. The image is made in tests/acceptance/test_compose.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.builders import own_image
from agent.builders.bases import Base
from agent.docker_engine import DockerEngine
from agent.errors import ConfigurationError

VERSION = ".".join(map(str, sys.version_info[:2]))


def test_it_holds_what_skillops_needs_and_nothing_that_only_its_tests_need() -> None:
    needed = own_image._needed(own_image.ROOTS)
    assert {"fastapi", "mcp", "litellm", "pytest", "pip", "ruff", "starlette", "paramiko"} <= needed
    assert not {"skillops-agent", "mypy", "hypothesis", "schemathesis", "pytest-xdist"} & needed
    paths = dict(own_image._installed(["ruff", "pluggy"]))
    assert "bin/ruff" in paths and "pluggy/__init__.py" in paths and not any(path.startswith("..") for path in paths)


def test_our_own_code_is_there_with_the_shelf_and_without_compiled_files() -> None:
    paths = [path for path, _ in own_image._own_files()]
    assert {"agent/cli.py", "reviewers/policy.yaml", "agent/starter/skills/calculator/skill.yaml", "Dockerfile", "start"} <= set(paths)
    assert not [path for path in paths if "__pycache__" in path] and len(paths) == len(set(paths))


def test_git_comes_with_the_libraries_that_the_base_lacks() -> None:
    files = list(own_image._git_files({"libc.so.6"}))
    names = {Path(path).name for path in files}
    assert {"git", "git-remote-https"} <= names and any(name.startswith("libcurl") for name in names)
    assert "libc.so.6" not in names
    assert [path for path in files if path.startswith("/lib")] == []  # which is a link in the base, and would be hidden


@pytest.mark.parametrize("name", ["start", "skillops"])
def test_the_scripts_in_it_are_plain_shell(name: str) -> None:
    assert subprocess.run(["sh", "-n", str(own_image.FOLDER / name)], capture_output=True, check=False).returncode == 0


def test_the_compose_file_is_valid_for_compose_v2() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(own_image.FOLDER / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_another_python_in_the_base_is_told_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_image, "base_image", lambda *_: Base("python:3.9", "sha256:0", "3.9.1"))
    with pytest.raises(ConfigurationError, match=f"has Python 3.9.1, and here it is {VERSION}") as wrong:
        own_image.make(DockerEngine(), "python:3.9")
    assert "--base" in wrong.value.next_step


def test_an_installation_that_is_no_source_tree_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(own_image, "FOLDER", tmp_path)
    with pytest.raises(ConfigurationError, match="source tree"):
        own_image.make(DockerEngine())

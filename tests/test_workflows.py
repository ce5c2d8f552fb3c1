"""The files of `.github`: the same for everybody who starts a repository and for this one, and clean by the linters that know them."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import wiring
from agent.domain.proposal import DEPLOY_FAILED, DONE, HOLD, OUT_OF_BUDGET, OVERTAKEN, STALE
from agent.forges.github_requests import CAPABILITY
from agent.starter.hosted import found_hosted, github_files, hosted_files, own_files
from tests.command import skillops

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted(path for path in github_files() if path.startswith(".github/workflows/"))
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `skillops init --github` writes."""
    folder = tmp_path_factory.mktemp("hosted")
    for path, data in hosted_files("acme/skills").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def loaded(path: str) -> dict[Any, Any]:
    return dict(yaml.safe_load(github_files()[path]))


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{path}: {name}", job) for path in WORKFLOWS for name, job in loaded(path)["jobs"].items()]


# ---- the linters ----------------------------------------------------------------------------------------------------


def test_zizmor_finds_nothing_in_its_pedantic_mode(place: Path) -> None:
    done = subprocess.run([program("zizmor"), "--persona", "pedantic", "--offline", place], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_zizmor_is_told_not_to_say_has_its_reason() -> None:
    rules = github_files()[".github/zizmor.yml"].decode()
    said = re.split(r"^  [a-z-]+:$", rules, flags=re.MULTILINE)[1:]
    assert len(said) == 4 and all("# " in each for each in said)


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"), ("github-actions", ".github/actions/*/action.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/*.yml"), ("dependabot", ".github/dependabot.yml"),
    ],
)  # fmt: skip
def test_the_schemas_of_github_hold(place: Path, schema: str, pattern: str) -> None:
    files = sorted(place.glob(pattern))
    command = [program("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert files and done.returncode == 0, done.stdout + done.stderr


@pytest.mark.go_tools
def test_actionlint_finds_nothing(place: Path) -> None:
    from tests.go_programs import installed

    subprocess.run(["git", "init", "--quiet", place], check=True)
    done = subprocess.run(
        [installed("github.com/rhysd/actionlint/cmd/actionlint", "v1.7.12")], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---- least rights ---------------------------------------------------------------------------------------------------


def test_every_action_of_somebody_else_is_pinned_by_its_commit() -> None:
    for path, data in github_files().items():
        for used in re.findall(r"uses: (.+)", data.decode()):
            assert used.startswith("./.github/") or PINNED.fullmatch(used), (path, used)


@pytest.mark.parametrize("path", WORKFLOWS)
def test_a_workflow_begins_with_no_rights_and_takes_turns(path: str) -> None:
    file = loaded(path)
    assert file["permissions"] == {} and "group" in file["concurrency"]
    for job in file["jobs"].values():
        assert "uses" in job or (job["timeout-minutes"] <= 60 and "permissions" in job)


def test_no_job_holds_both_the_models_key_and_a_right_to_write() -> None:
    for name, job in jobs():
        text = json.dumps(job)
        writes = "write" in json.dumps(job.get("permissions", {})) or "create-github-app-token" in text
        assert not (writes and "SKILLOPS_API_KEY" in text), name
        runs_a_proposal = any(f"actions {verb}" in text for verb in ("draft", "check --", "reproduce"))
        assert not (writes and runs_a_proposal), name


def test_the_checks_know_no_secret_and_hand_no_token_to_what_they_run() -> None:
    text = github_files()[".github/workflows/check.yml"].decode()
    jobs = loaded(".github/workflows/check.yml")["jobs"]
    assert "secrets" not in text.partition("permissions:")[2] and not any("environment" in job for job in jobs.values())
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "check": {"contents": "read"}, "queue": {"contents": "read", "pull-requests": "read"},
    }  # fmt: skip
    checking = [step for job in jobs.values() for step in job["steps"] if "skillops" in step.get("run", "")]
    assert [step.get("env") for step in checking] == [None, None]


@pytest.mark.parametrize("path", [path for path in github_files() if path.endswith(".yml")])
def test_no_script_has_an_expression_in_it(path: str) -> None:
    def scripts(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["run"]] if isinstance(part.get("run"), str) else []
            return own + [script for each in part.values() for script in scripts(each)]
        return [script for each in part for script in scripts(each)] if isinstance(part, list) else []

    assert [script for script in scripts(loaded(path)) if "${{" in script] == []


# ---- the other files --------------------------------------------------------------------------------------------------


def test_this_repository_uses_the_files_that_it_gives_others() -> None:
    """`make workflows` brings them up to the templates."""
    tracked = subprocess.run(["git", "ls-files", "-z", ".github"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    assert {path: (ROOT / path).read_bytes() for path in tracked if path} == own_files()


def test_the_ruleset_requires_every_check_from_the_app_alone() -> None:
    rules = json.loads(github_files(app=77)[".github/ruleset.json"])
    (required,) = [rule["parameters"] for rule in rules["rules"] if rule["type"] == "required_status_checks"]
    assert [each["context"] for each in required["required_status_checks"]] == list(wiring.CHECKS)
    assert {each["integration_id"] for each in required["required_status_checks"]} == {77} == {each["actor_id"] for each in rules["bypass_actors"]}


def test_the_labels_are_those_that_we_set() -> None:
    labels = {each["name"] for each in json.loads(github_files()[".github/labels.json"])}
    assert labels == {CAPABILITY, HOLD, OUT_OF_BUDGET, OVERTAKEN, DEPLOY_FAILED, DONE, STALE, "dashboard"}


def test_the_form_asks_what_an_author_has_to_know() -> None:
    form = yaml.safe_load(own_files()[".github/ISSUE_TEMPLATE/capability.yml"])
    assert [each["id"] for each in form["body"]] == ["what", "why", "examples", "network", "secrets"] and form["labels"] == [CAPABILITY]


def test_init_makes_a_clone_that_is_ready_to_be_pushed(tmp_path: Path) -> None:
    done = skillops("init", tmp_path / "ours", "--github", "acme/skills", "--app-id", "77")

    assert done.code == 0 and "git push" in done.said
    git = ["git", "-C", str(tmp_path / "ours")]
    assert subprocess.check_output([*git, "remote", "get-url", "origin"], text=True).strip() == "https://github.com/acme/skills.git"
    assert subprocess.check_output([*git, "status", "--porcelain"]) == b""
    held = set(subprocess.check_output([*git, "ls-tree", "-r", "--name-only", "main"], text=True).split())
    assert held == hosted_files("acme/skills").keys() and b"@acme" in (tmp_path / "ours/.github/CODEOWNERS").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


@pytest.mark.parametrize("name", ["acme", "https://github.com/acme/skills", "acme/skills/x", "-x/y", "a b/c"])
def test_init_refuses_what_is_no_repository_on_github(tmp_path: Path, name: str) -> None:
    done = skillops("init", tmp_path / "ours", f"--github={name}")
    assert done.code == 2 and "OWNER/REPO" in done.said and list(tmp_path.iterdir()) == []


def test_init_leaves_a_folder_alone_that_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = skillops("init", tmp_path, "--github", "acme/skills")
    assert done.code == 2 and [path.name for path in tmp_path.iterdir()] == ["mine"]


# ---- the installing action ----------------------------------------------------------------------------------------------


def _install(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Runs the step that installs SkillOps, with a pip that only says what it was to install."""
    (step,) = [each for each in loaded(".github/actions/install/action.yml")["runs"]["steps"] if each.get("name") == "Install SkillOps"]
    bin = folder / "bin"
    bin.mkdir()
    (bin / "python").write_text(
        '#!/bin/bash\nmkdir -p "${@: -1}/bin" && printf \'#!/bin/bash\\necho "$@"\\n\' > "${@: -1}/bin/python" && chmod +x "${@: -1}/bin/python"\n'
    )
    (bin / "python").chmod(stat.S_IRWXU)
    env = {"PATH": f"{bin}:/usr/bin:/bin", "VERSION": version, "RUNNER_TEMP": str(folder / "temp"), "GITHUB_PATH": str(folder / "path")}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False)


def test_a_version_that_is_set_is_installed_apart_from_the_checkout(tmp_path: Path) -> None:
    done = _install(tmp_path, "1.2.3")
    assert done.returncode == 0 and done.stdout.split()[-1] == "skillops-agent==1.2.3" and "-P -m pip" in done.stdout
    assert (tmp_path / "path").read_text().strip() == f"{tmp_path}/temp/skillops/bin"


def test_skillops_own_repository_installs_what_the_base_branch_holds(tmp_path: Path) -> None:
    (tmp_path / "work/agent").mkdir(parents=True)
    (tmp_path / "work/agent/wiring.py").write_text("")
    assert _install(tmp_path, "").stdout.split()[-1] == "."


def test_a_version_that_is_not_set_is_said_with_what_to_do(tmp_path: Path) -> None:
    done = _install(tmp_path, "")
    assert done.returncode == 5 and "SKILLOPS_VERSION" in done.stdout


def test_the_template_is_a_package_resource(tmp_path: Path) -> None:
    """What setuptools would leave out of a wheel would be missing from every installed copy."""
    shutil.copytree(ROOT / "agent/starter/github", tmp_path / "copy")
    patterns = re.findall(r'"(starter/github/[^"]+)"', (ROOT / "pyproject.toml").read_text())
    found = {path for pattern in patterns for path in (ROOT / "agent").glob(pattern) if path.is_file()}
    assert found == {path for path in (ROOT / "agent/starter/github").rglob("*") if path.is_file()}


def test_found_hosted_takes_itself_back_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.errors import CouldNotTell
    from agent.forges.git_door import GitDoor

    monkeypatch.setattr(GitDoor, "run", lambda *given, **more: (1, b"", "no"))
    with pytest.raises(CouldNotTell):
        found_hosted(tmp_path / "ours", "acme/skills")
    assert list(tmp_path.iterdir()) == []

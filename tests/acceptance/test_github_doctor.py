"""`skillops doctor --github`: what is not set up on GitHub is named, each with its fix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent import wiring
from agent.forges.github import GitHubForge
from agent.github_doctor import examine_github
from agent.starter.hosted import hosted_files
from tests import hub
from tests.command import skillops

pytestmark = pytest.mark.github


class Desk(NamedTuple):
    server: hub.Hub
    forge: GitHubForge
    clone: Path

    def ask(self, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.server.ask(verb, f"/repos/{self.forge.api.repository}/{path}", body)

    def said(self) -> dict[str, tuple[bool, str, str]]:
        return {each.what: (each.ok, each.found, each.fix) for each in examine_github(self.clone)}


@pytest.fixture(scope="module")
def server() -> Iterator[hub.Hub]:
    with hub.running() as running:
        yield running


@pytest.fixture
def desk(server: hub.Hub, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Desk:
    forge = server.forge(request.node.name)
    forge.commit("main", hosted_files(forge.api.repository), parent=None, message="A new skills repository", author="ada")
    for name, value in {"GITHUB_API": server.url, "GITHUB_TOKEN": hub.token_of(hub.BOT)}.items():
        monkeypatch.setenv(f"SKILLOPS_{name}", value)
    return Desk(server, forge, hub.clone(forge, tmp_path / "clone"))


def test_a_fresh_repository_is_told_what_it_lacks_and_how_to_mend_it(desk: Desk) -> None:
    said = desk.said()

    assert said["repository"][0] and said["workflow files"][0] and said["rights"][0]
    assert (
        said["required checks"][:2] == (False, f"not required on main: {', '.join(wiring.CHECKS)}") and "ruleset.json" in said["required checks"][2]
    )
    assert said["secrets"][1] == "missing: SKILLOPS_APP_KEY of skillops-app, SKILLOPS_API_KEY of skillops-model"
    assert said["secrets"][2].startswith("gh secret set SKILLOPS_APP_KEY --env skillops-app")
    assert not said["variables"][0]


def test_required_checks_have_to_come_from_the_app(desk: Desk) -> None:
    loose = {"strict": False, "contexts": list(wiring.CHECKS[1:])}
    rest = {"enforce_admins": None, "required_pull_request_reviews": None, "restrictions": None}
    status, told = desk.ask("PUT", "branches/main/protection", {"required_status_checks": loose, **rest})
    assert status == 200, told

    ok, found, _ = desk.said()["required checks"]

    assert not ok and found.startswith("not required on main: scope; required from anybody: manifest")


def test_a_missing_workflow_and_a_changed_one_are_named(desk: Desk) -> None:
    files: dict[str, bytes | None] = {".github/workflows/check.yml": None, ".github/workflows/report.yml": b"on: push\n"}
    desk.forge.commit("main", files, parent=desk.forge.head("main"), message="Change", author="ada")

    ok, found, _ = desk.said()["workflow files"]

    assert not ok and found == "missing: .github/workflows/check.yml; other than this version's: .github/workflows/report.yml"


def test_the_command_exits_as_a_fault_of_the_configuration(desk: Desk) -> None:
    done = skillops("doctor", "--github", "-C", desk.clone, SKILLOPS_GITHUB_API=desk.server.url, SKILLOPS_GITHUB_TOKEN=hub.token_of(hub.BOT))
    assert done.code == 5 and "required checks" in done.said and "Import .github/ruleset.json" in done.said


def test_a_key_that_github_refuses_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLOPS_GITHUB_TOKEN", "")
    (only,) = examine_github(desk.clone)
    assert not only.ok and "key" in only.found and "SKILLOPS_GITHUB_TOKEN" in only.fix


def test_what_the_app_lacks_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLOPS_GITHUB_APP_ID", "1001")
    monkeypatch.setenv("SKILLOPS_GITHUB_APP_KEY", desk.server.app_key)
    assert desk.said()["rights"] == (True, "the App has what it needs", desk.said()["rights"][2])

    monkeypatch.setattr("agent.github_doctor.PERMISSIONS", {"checks": "write", "administration": "write", "secrets": "read"})
    ok, found, fix = desk.said()["rights"]
    assert not ok and found.startswith("the App lacks administration: write") and "Permissions" in fix


@pytest.mark.parametrize("status", [403, 404])
def test_secrets_that_the_key_may_not_look_at_are_no_fault_of_the_repository(desk: Desk, status: int) -> None:
    assert desk.server.proxy is not None
    denied = (status, {}, b'{"message": "Resource not accessible by integration"}')
    desk.server.proxy.faults.plan.append(lambda verb, path: denied if "actions/secrets" in path else None)
    try:
        (told,) = [each for each in examine_github(desk.clone) if each.what == "secrets"]
    finally:
        desk.server.proxy.faults.plan.clear()

    assert told.found.startswith("the key may not look") and not told.needed


def test_labels_are_made_and_coloured_and_what_a_person_chose_is_left(desk: Desk) -> None:
    desk.forge.commit("skill/x", {"skills/x/skill.py": b"x = 1\n"}, parent=None, message="Add x", author="ada")
    issue = desk.ask("POST", "issues", {"title": "X", "body": "", "labels": []})[1]["number"]
    for name, told in {"hold": {"color": "ededed", "description": ""}, "done": {"color": "123456", "description": "Mine"}}.items():
        assert desk.ask("POST", "labels", {"name": name, **told})[0] == 201
    desk.ask("POST", f"issues/{issue}/labels", {"labels": ["hold"]})
    ok, found, fix = desk.said()["labels"]
    assert not ok and fix == "skillops doctor --github --fix"
    assert "capability (missing)" in found and "hold (without its colour)" in found and "done" not in found

    done = skillops("doctor", "--github", "--fix", "-C", desk.clone, SKILLOPS_GITHUB_API=desk.server.url, SKILLOPS_GITHUB_TOKEN=hub.token_of(hub.BOT))

    assert "mended: capability, hold, out-of-budget, overtaken, deploy-failed, stale, dashboard" in " ".join(done.said.split())
    labels = {label["name"]: (label["color"], label["description"]) for label in desk.ask("GET", "labels?per_page=100")[1]}
    assert labels["capability"] == ("1d76db", "A request: somebody asks for an ability") and labels["hold"][0] == "fbca04"
    assert labels["done"] == ("123456", "Mine")
    assert [label["name"] for label in desk.ask("GET", f"issues/{issue}")[1]["labels"]] == ["hold"]
    assert desk.said()["labels"][:2] == (True, "as .github/labels.json has them")


def test_a_file_of_labels_that_is_none_is_told(desk: Desk) -> None:
    desk.forge.commit("main", {".github/labels.json": b"[7]"}, parent=desk.forge.head("main"), message="Change", author="ada")
    ok, found, _ = desk.said()["labels"]
    assert not ok and "labels.json" in found


def test_fix_is_for_github() -> None:
    assert skillops("doctor", "--fix").code == 2

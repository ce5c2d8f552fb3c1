"""The workflow files, run from the files themselves against GitHub's API on loopback: from an issue to the answer in it.

What takes GitHub's place is told in `tests/workflow_runner.py`; each job has the rights and the secrets that its file gives it, and no others.
"""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.domain.registry import Registry
from agent.forges.github import GitHubForge
from agent.manifest_file import read_manifest
from agent.registry_file import render
from agent.starter.hosted import hosted_files
from tests import hub
from tests.acceptance.harness import a_draft, a_judgement, a_remark, an_assessment, witness_cases
from tests.acceptance.test_pipeline import EXTENDED_CODE, EXTENDED_TESTS
from tests.builders import an_entry
from tests.command import skillops, told
from tests.model_server import ModelServer, serving
from tests.subjects import skill_files
from tests.workflow_runner import Ran, Runner

pytestmark = [pytest.mark.github, pytest.mark.bubblewrap, pytest.mark.slow]
POLICY = b"apiVersion: skillops/v1\nautonomy: manual\n"
ROUTINE = b"mutants = 6\n"  # settings of these tests
SECRETS = {
    "skillops-model": {"SKILLOPS_API_KEY": "the-key-of-the-model"}, "skillops-app": {"SKILLOPS_APP_KEY": "the-key-of-the-app"},
    "skillops-deploy": {"SKILLOPS_DEPLOY_KEY": "the-key-of-the-host"},
}  # fmt: skip


class Desk(NamedTuple):
    """A repository on GitHub with the workflows in it."""

    runner: Runner
    server: hub.Hub
    forge: GitHubForge
    model: ModelServer
    host: Path

    def ask(self, verb: str, path: str, body: Any = None, user: str = hub.BOT) -> Any:
        return self.server.ask(verb, f"/repos/{self.forge.api.repository}/{path}", body, user)[1]

    def raise_issue(self, user: str = hub.ADA) -> dict[str, Any]:
        body = {"title": "Count words", "body": "How many words has a text? `one two` has 2.", "labels": ["capability"]}
        return dict(self.ask("POST", "issues", body, user))

    def opened(self, issue: dict[str, Any], association: str = "COLLABORATOR", sender: str = "") -> Ran:
        """What follows when an issue is raised or labelled."""
        told = {"action": "labeled", "issue": {**issue, "author_association": association}, "sender": {"login": sender or issue["user"]["login"]}}
        return self.runner.run("capability.yml", "issues", told)

    def pushed(self, number: int, *, lost: bool = False) -> tuple[Ran, Ran]:
        """What follows when a pull request is opened or pushed to: its checks, and their report. `lost`: what the checks left is gone."""
        pull = self.ask("GET", f"pulls/{number}")
        checked = self.runner.run("check.yml", "pull_request", {"action": "synchronize", "pull_request": pull})
        return checked, self.reported(pull["head"]["sha"], 0 if lost else checked.number)

    def reported(self, head: str, run: int) -> Ran:
        told = {"workflow_run": {"id": str(run), "head_sha": head, "event": "pull_request", "conclusion": "success"}}
        return self.runner.run("report.yml", "workflow_run", told)

    def queued(self, number: int, files: dict[str, bytes | None], base: str, run: int = 0) -> tuple[str, Ran]:
        """What follows when the merge queue puts a pull request's `files` upon `base`: its commit, and the report of that one's checks (of those
        of the `run`, where there is one)."""
        branch = f"gh-readonly-queue/main/pr-{number}-{base}"
        self.ask("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": base})
        head = self.forge.commit(branch, files, parent=base, message="Change", author="ada")
        group = {"head_sha": head, "head_ref": f"refs/heads/{branch}", "base_sha": base, "base_ref": "refs/heads/main"}
        if not run:
            checked = self.runner.run("check.yml", "merge_group", {"action": "checks_requested", "merge_group": group})
            assert checked.results == {"check": "skipped", "queue": "success"}, self.runner.told()
            run = checked.number
        told = {"id": str(run), "head_sha": head, "head_branch": branch, "event": "merge_group", "conclusion": "success"}
        return head, self.runner.run("report.yml", "workflow_run", {"workflow_run": told})

    def says(self, number: int, text: str, user: str, association: str = "NONE") -> Ran:
        comment = self.ask("POST", f"issues/{number}/comments", {"body": text}, user)
        issue = self.ask("GET", f"issues/{number}")
        told = {"action": "created", "issue": issue, "comment": {**comment, "author_association": association}, "sender": {"login": user}}
        return self.runner.run("command.yml", "issue_comment", told)

    def conclusions(self, head: str) -> dict[str, str]:
        runs = self.ask("GET", f"commits/{head}/check-runs?per_page=100")["check_runs"]
        return {run["name"]: run["conclusion"] for run in runs}


@pytest.fixture(scope="module")
def server() -> Iterator[hub.Hub]:
    with hub.running() as running:
        yield running


@pytest.fixture
def desk(server: hub.Hub, tmp_path: Path, command: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    forge = server.forge(request.node.name)
    root = tmp_path / "root"
    for path, data in hosted_files(forge.api.repository).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    files = {**hosted_files(forge.api.repository), "reviewers/policy.yaml": POLICY}
    files["skillops.toml"] += ROUTINE
    forge.commit("main", files, parent=None, message="A new skills repository", author="ada")
    with serving({
        "assess": [an_assessment()], "witness": [witness_cases()], "author": [a_draft(), a_draft(EXTENDED_CODE, EXTENDED_TESTS)],
        "review-correctness": [a_judgement("revise", [a_remark("well-known", 2)]), a_judgement()],
        "review-security": [a_judgement()], "review-fit": [a_judgement()],
    }) as model:  # fmt: skip
        variables = {
            "SKILLOPS_GITHUB_LOGIN": hub.BOT, "SKILLOPS_MODEL": "openai/scripted", "SKILLOPS_API_BASE": model.address,
            "SKILLOPS_DEPLOY_HOST": "skills@host", "SKILLOPS_DEPLOY_CLONE": str(tmp_path / "the host"), "SKILLOPS_APP_CLIENT_ID": "Iv1",
        }  # fmt: skip
        bin = _stand_ins(tmp_path, server, forge, command)
        runner = Runner(server, forge, root, tmp_path / "runs", variables, SECRETS, bin, command=command)
        yield Desk(runner, server, forge, model, tmp_path / "the host")


def _stand_ins(folder: Path, server: hub.Hub, forge: GitHubForge, command: Path) -> Path:
    """ssh to the host, which is this machine with settings of its own; and gh, which reads the hub and notes what it was asked to do."""
    env = {
        "SKILLOPS_FORGE": "github", "SKILLOPS_GITHUB_REPOSITORY": forge.api.repository, "SKILLOPS_GITHUB_API": server.url,
        "SKILLOPS_GITHUB_TOKEN": hub.token_of(hub.BOT), "PATH": f"{command}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    }  # fmt: skip
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
    bin = folder / "bin"
    bin.mkdir()
    script = '#!/bin/bash\n[ "$1" = -i ] && grep -q the-key-of-the-host "$2" || exit 255\nwhile [ "$1" != -- ]; do shift; done\n'
    (bin / "ssh").write_text(f'{script}[ "$2" = skills@host ] || exit 255\nexec env {settings} bash -c "$3"\n')
    (bin / "gh").write_text(
        f"""#!/bin/bash
echo "$*" >> {shlex.quote(str(folder / "gh-asked"))}
case "$*" in
  *.head.sha) curl --silent --header "Authorization: token $GH_TOKEN" {server.url}/"$2" | jq --raw-output .head.sha ;;
  *"/runs?head_sha="*) echo 901 ;;
  *"/pulls/"*) curl --silent --header "Authorization: token $GH_TOKEN" {server.url}/"$2" ;;
esac
"""
    )
    for program in ("ssh", "gh"):
        (bin / program).chmod(stat.S_IRWXU)
    return bin


def test_a_request_goes_through_the_files_from_the_issue_to_the_answer_in_it(desk: Desk) -> None:
    forge, issue = desk.forge, desk.raise_issue()

    assert desk.opened(issue).results == {"draft": "success", "propose": "success"}, desk.runner.told()
    (proposal,) = forge.proposals("open")
    number = proposal.number
    assert (proposal.request, proposal.skill, proposal.author) == (issue["number"], "word-count", "skillops-author")

    # Its checks pass, a reviewer's remark is reproduced, and the author mends what it showed: one push leads to the next.
    checked, reported = desk.pushed(number)
    assert checked.results == {"check": "success", "queue": "skipped"}, desk.runner.told()
    assert set(reported.results.values()) == {"success", "skipped"}, desk.runner.told()
    assert {name for name, result in reported.results.items() if result == "success"} >= {"review.enter", "review.revise.propose"}
    assert set(desk.conclusions(proposal.head).values()) == {"success"} and len(desk.conclusions(proposal.head)) == 8
    again = forge.proposal(number)
    assert again.head != proposal.head and forge.read(again.head, "skills/word-count/skill.py") == EXTENDED_CODE.encode()

    # The new head is checked and reviewed anew, and then waits for a person.
    checked, reported = desk.pushed(number)
    assert "failure" not in {*checked.results.values(), *reported.results.values()}, desk.runner.told()
    assert reported.results["review.enter"] == "success" and reported.results["review.revise"] == "skipped"
    assert [review.verdict for review in forge.reviews(number, again.head)] == ["approve"] * 3
    assert forge.proposal(number).state == "open"

    # Anybody may comment; who may not approve is told so.
    assert desk.says(number, "/approve", hub.MALLORY).results["heed"] == "success"
    assert forge.proposal(number).state == "open"
    assert any("mallory may not /approve" in comment.text for comment in forge.comments(number))
    assert desk.says(number, "Looks good.", hub.ADA).results["heed"] == "skipped"
    assert desk.says(number, "/approve", hub.ADA).results["heed"] == "success", desk.runner.told()
    assert forge.proposal(number).state == "merged"

    # What was merged is released, and the host told to serve it.
    _released_and_served(desk)
    registry = forge.read("main", "registry.yaml")
    assert registry and b"word-count" in registry
    closed = desk.ask("GET", f"issues/{issue['number']}")
    assert closed["state"] == "closed", forge.comments(issue["number"])[-1].text
    assert desk.model.keys == {"Bearer the-key-of-the-model"}


def test_what_a_person_pushed_to_main_is_released_and_served(desk: Desk) -> None:
    files = {f"skills/word-count/{path}": data for path, data in skill_files().items()}
    desk.forge.commit("main", files, parent=desk.forge.head("main"), message="A skill", author="ada")
    desk.runner.fetch()
    _released_and_served(desk)


def _released_and_served(desk: Desk) -> None:
    """What main holds is released, and a host that has cloned it serves it."""
    subprocess.run(["git", "clone", "--quiet", desk.runner.origin.as_uri(), desk.host], check=True)
    try:
        released = desk.runner.run("release.yml", "push", {"ref": "refs/heads/main"})
        assert released.results == {"build": "success", "image": "skipped", "release": "success", "deploy": "success", "deploy.deploy": "success"}, (
            desk.runner.told()
        )
    finally:
        _stop(desk)


def _stop(desk: Desk) -> None:
    """Stops what the host serves."""
    from agent.wiring import open_workplace

    place = open_workplace(desk.host, github_api=desk.server.url, github_token=hub.token_of(hub.BOT))
    place.parts.runtime.shutdown()  # type: ignore[attr-defined]


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def _pull(desk: Desk, files: dict[str, bytes | None], branch: str = "mallorys") -> dict[str, Any]:
    """A person's pull request, that changes these files."""
    head = desk.forge.commit(branch, files, parent=None, message="Change", author="mallory")
    pull = desk.ask("POST", "pulls", {"title": "Change", "body": "", "head": branch, "base": "main"}, hub.ADA)
    assert pull["head"]["sha"] == head
    return dict(pull)


SKILL = {"skills/word-count/skill.yaml": b"x: 1\n"}


def _journal(job: str, number: int, head: str, *lines: dict[str, Any]) -> str:
    return json.dumps({"job": job, "proposal": number, "head": head, "lines": lines})


def test_who_changes_what_judges_them_gets_no_verdict_whatever_their_run_left(desk: Desk) -> None:
    pull = _pull(desk, {**SKILL, ".github/workflows/check.yml": b"on: pull_request\n"})
    head, number = pull["head"]["sha"], pull["number"]
    passed = {"kind": "checked", "number": number, "result": {"name": "scope", "outcome": "passed", "head": head, "summary": "fine"}}
    _leave(desk, 900, _journal("check", number, head, passed))

    reported = desk.reported(head, 900)

    assert reported.results["report"] == "failure" and "waits for the machine" in desk.runner.told()
    told = desk.ask("GET", f"commits/{head}/check-runs?per_page=100")["check_runs"]
    assert {run["conclusion"] for run in told} == {"action_required"} and len(told) == 8
    assert all("outside skills/word-count/" in run["output"]["title"] for run in told)


@pytest.mark.parametrize("left", ["nothing", "no journal", "a review", "a draft", "another's"])
def test_checks_that_left_nothing_that_counts_could_not_be_told(desk: Desk, left: str) -> None:
    pull = _pull(desk, SKILL)
    head, number = pull["head"]["sha"], pull["number"]
    opinion = {"reviewer": "security", "head": head, "verdict": "approve", "kind": "model", "summary": "ok"}
    journals = {
        "a review": _journal("review", number, head, {"kind": "reviewed", "number": number, "review": opinion}),
        "a draft": _journal("draft", number, head, {"kind": "said", "number": number, "text": "Approved.", "author": "skillops"}),
        "another's": _journal("check", number + 1, head), "no journal": "[]",
    }  # fmt: skip
    if left in journals:
        _leave(desk, 901, journals[left])

    reported = desk.reported(head, 901)

    assert reported.results["report"] == "failure" and "waits for the machine" in desk.runner.told()
    assert set(desk.conclusions(head).values()) == {"action_required"} and len(desk.conclusions(head)) == 8
    assert desk.forge.reviews(number, head) == ()
    assert all("Approved." not in comment.text for comment in desk.forge.comments(number))


def test_what_could_not_be_told_is_checked_again_on_retry(desk: Desk) -> None:
    pull = _pull(desk, SKILL)
    desk.reported(pull["head"]["sha"], 901)

    heeded = desk.says(pull["number"], "/retry", hub.ADA)

    assert (heeded.results["heed"], heeded.results["check"]) == ("success", "success"), desk.runner.told()
    asked = (desk.runner.folder.parent / "gh-asked").read_text().splitlines()
    assert f"runs?head_sha={pull['head']['sha']}" in asked[1] and asked[2].endswith("actions/runs/901/rerun")


def test_a_pull_request_that_touches_no_skill_is_left_to_the_repositorys_own_ci(desk: Desk) -> None:
    pull = _pull(desk, {"README.md": b"# Ours\n"})

    checked, reported = desk.pushed(pull["number"])

    assert checked.results == {"check": "success", "queue": "skipped"}, desk.runner.told()
    assert reported.results == {"report": "success", "review": "skipped", "revise": "skipped"}, desk.runner.told()
    assert set(desk.conclusions(pull["head"]["sha"]).values()) == {"neutral"}


def test_a_pull_request_that_touches_two_skills_is_not_neutral(desk: Desk) -> None:
    pull = _pull(desk, {**SKILL, "skills/other/skill.yaml": b"x: 1\n"})

    desk.pushed(pull["number"])

    assert set(desk.conclusions(pull["head"]["sha"]).values()) == {"action_required"}


def test_what_the_merge_queue_made_is_checked_for_itself_upon_what_stands_before_it(desk: Desk) -> None:
    pull, other = _pull(desk, SKILL), _pull(desk, {"README.md": b"# Ours\n"}, "readme")
    before = desk.forge.commit("before", {"skills/before/skill.yaml": b"x: 1\n"}, parent=None, message="First in the queue", author="ada")

    head, reported = desk.queued(pull["number"], SKILL, before)

    assert reported.results == {"report": "success", "review": "skipped", "revise": "skipped"}, desk.runner.told()
    found = desk.conclusions(head)
    assert len(found) == 8 and found["scope"] == "success" and found["manifest"] == "failure"
    assert desk.conclusions(pull["head"]["sha"]) == {}  # which is another commit

    # What the queue makes of a change of what judges gets no verdict, whatever its run left; what touches no skill is let through.
    main = desk.forge.head("main") or ""
    _leave(desk, 902, _journal("check", pull["number"], head))
    forged, _ = desk.queued(pull["number"], {**SKILL, ".github/workflows/check.yml": b"on: push\n"}, main, 902)
    assert set(desk.conclusions(forged).values()) == {"action_required"} and len(desk.conclusions(forged)) == 8
    plain, reported = desk.queued(other["number"], {"README.md": b"# Ours\n"}, main, 903)
    assert reported.results["report"] == "success" and set(desk.conclusions(plain).values()) == {"neutral"}, desk.runner.told()


def test_of_a_strangers_issue_nothing_is_drafted_until_somebody_labels_it(desk: Desk) -> None:
    issue = desk.raise_issue(hub.MALLORY)

    assert desk.opened(issue, "NONE").results == {"draft": "skipped", "propose": "skipped"}
    assert desk.model.keys == set()


def test_the_nightly_run_proposes_newer_dependencies_once_and_keeps_one_dashboard(desk: Desk) -> None:
    """The index is the machine's own; the database of advisories is out of reach, and that is told and fails its job."""
    issue = desk.raise_issue()
    files = {f"skills/word-count/{path}": data for path, data in skill_files().items()}
    files["skills/word-count/skill.yaml"] += b'dependencies: ["iniconfig==1.0.0"]\n'
    files["skills/word-count/requirements.lock"] = f"iniconfig==1.0.0 --hash=sha256:{'a' * 64}\n".encode()
    settings = desk.forge.read("main", "skillops.toml") or b""
    files["skillops.toml"] = settings + b'advisories = "http://127.0.0.1:1"\n'
    desk.forge.commit("main", files, parent=desk.forge.head("main"), message="A skill", author="ada")
    _entered(desk)
    subprocess.run(["git", "clone", "--quiet", desk.runner.origin.as_uri(), desk.host], check=True)
    ran = desk.runner.run("nightly.yml", "schedule", {"schedule": "17 3 * * *"})
    _again(desk, ran.number)

    # The look at the set-up fails, too, as this repository requires no checks and has no secrets.
    assert {name: ran.results[name] for name in ("look", "drift", "keep")} == {"look": "failure", "drift": "success", "keep": "failure"}
    assert "required checks: not required on main" in "".join(desk.runner.summaries)
    (board,) = desk.ask("GET", "issues?labels=dashboard&state=open")
    assert f"- #{issue['number']}: assessing is next" in board["body"]
    assert "Advisories: The database of advisories is out of reach." in board["body"]
    (proposal,) = desk.forge.proposals("open")
    assert (proposal.kind, proposal.title) == ("update", "Raise the dependencies of word-count")
    assert f"- word-count: iniconfig==1.0.0 → {_pin(desk, proposal.head)}" in board["body"]
    assert _pin(desk, proposal.head).encode() in (desk.forge.read(proposal.head, "skills/word-count/requirements.lock") or b"")


def _again(desk: Desk, run: int) -> None:
    """The same night once more: what is open is left as it is."""
    left = desk.runner.folder / "artifacts" / str(run) / "nightly/nightly.json"
    env = {"SKILLOPS_GITHUB_API": desk.server.url, "SKILLOPS_GITHUB_TOKEN": hub.token_of(hub.BOT)}
    told(skillops("actions", "enter", "--from", left, "--job", "nightly", "-C", desk.host, "--json", **env), 0)


def _pin(desk: Desk, head: str) -> str:
    """What the skill depends on there."""
    (pin,) = read_manifest(desk.forge.read(head, "skills/word-count/skill.yaml") or b"", "skill.yaml").dependencies
    assert pin > "iniconfig==1.0.0"
    return pin


def _entered(desk: Desk) -> None:
    """Enters the skill in the registry, as a release would."""
    main = desk.forge.head("main") or ""
    tree = desk.forge.object_id(main, "skills/word-count") or ""
    entry = an_entry(commit=main, tree=tree, origin="bundled", proposal=None, approvals=())
    text = render(Registry(revision=1, skills=(entry,))).encode()
    desk.forge.commit("main", {"registry.yaml": text}, parent=main, message="Release", author="ada")
    desk.runner.fetch()


def _leave(desk: Desk, run: int, text: str) -> None:
    """What somebody's run left as the artifact of its checks."""
    place = desk.runner.folder / "artifacts" / str(run) / "check"
    place.mkdir(parents=True)
    (place / "check.json").write_text(text)

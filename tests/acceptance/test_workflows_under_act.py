"""The same files under act: an issue becomes a merged pull request and an entry of the registry.

act takes every secret for every job; that each job has its own alone is shown by `test_workflow_story.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hub
from tests.acceptance.harness import a_draft, a_judgement, an_assessment, witness_cases
from tests.acceptance.test_workflow_story import POLICY, ROUTINE, hosted_files
from tests.act import Act
from tests.model_server import serving
from tests.workflow_runner import Runner

pytestmark = [pytest.mark.github, pytest.mark.go_tools, pytest.mark.bubblewrap, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[hub.Hub]:
    with hub.running() as running:
        yield running


def test_act_takes_an_issue_to_a_release(server: hub.Hub, tmp_path: Path, command: Path) -> None:
    forge = server.forge("act")
    repository = forge.api.repository
    files = {**hosted_files(repository), "reviewers/policy.yaml": POLICY}
    files["skillops.toml"] += ROUTINE
    forge.commit("main", files, parent=None, message="A new skills repository", author="ada")
    said = {"assess": [an_assessment()], "witness": [witness_cases()], "author": [a_draft()]}
    judged = {f"review-{name}": [a_judgement()] for name in ("correctness", "security", "fit")}
    with serving({**said, **judged}) as model:
        variables = {
            "SKILLOPS_GITHUB_LOGIN": hub.BOT,
            "SKILLOPS_MODEL": "openai/scripted",
            "SKILLOPS_API_BASE": model.address,
            "SKILLOPS_VERSION": "0.1.0",
        }
        secrets = {"SKILLOPS_API_KEY": "the-key-of-the-model", "SKILLOPS_APP_KEY": "the-key-of-the-app"}
        mirror = Runner(server, forge, tmp_path, tmp_path / "mirror", {}, {})
        mirror.fetch()
        root = tmp_path / "root"
        subprocess.run(["git", "clone", "--quiet", mirror.origin.as_uri(), root], check=True)
        act = Act(server, repository, root, mirror.origin, tmp_path / "act", variables, secrets, command)

        def run(workflow: str, event_name: str, event: dict[str, object]) -> int:
            mirror.fetch()
            done = act.run(workflow, event_name, event)
            assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
            return act.runs

        def ask(path: str, body: object = None, user: str = hub.BOT) -> dict[str, object]:
            return dict(server.ask("POST" if body else "GET", f"/repos/{repository}/{path}", body, user)[1])

        issue = ask("issues", {"title": "Count words", "body": "How many words? `one two` has 2.", "labels": ["capability"]}, hub.ADA)
        raised = {"action": "labeled", "issue": {**issue, "author_association": "MEMBER"}, "sender": {"login": hub.ADA}}
        run("capability.yml", "issues", raised)
        (proposal,) = forge.proposals("open")

        checked = run("check.yml", "pull_request", {"action": "opened", "number": proposal.number, "pull_request": ask(f"pulls/{proposal.number}")})
        run("report.yml", "workflow_run", {"workflow_run": {"id": str(checked), "head_sha": proposal.head, "event": "pull_request"}})
        assert len(forge.checks(proposal.number, proposal.head).results) == 8
        assert [review.verdict for review in forge.reviews(proposal.number, proposal.head)] == ["approve"] * 3

        comment = ask(f"issues/{proposal.number}/comments", {"body": "/approve"}, hub.ADA)
        run("command.yml", "issue_comment", {"action": "created", "issue": ask(f"issues/{proposal.number}"), "comment": comment})
        assert forge.proposal(proposal.number).state == "merged"

        run("release.yml", "push", {"ref": "refs/heads/main"})
        registry = forge.read("main", "registry.yaml")
        assert registry and b"word-count" in registry

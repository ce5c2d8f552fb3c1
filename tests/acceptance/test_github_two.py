"""Two controllers on one repository at once, each a process of its own: one proposal, one merge, one release, and nothing said twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agent.branch_ledger import BranchLedger
from agent.registry_file import revision_of
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import a_draft, a_judgement, an_assessment, witness_cases
from tests.acceptance.test_github_story import open_home
from tests.model_server import serving

pytestmark = [pytest.mark.github, pytest.mark.bubblewrap, pytest.mark.slow]
SAID = {
    "assess": [an_assessment()], "witness": [witness_cases()], "author": [a_draft()],
    **{f"review-{name}": [a_judgement()] for name in ("correctness", "security", "fit")},
}  # fmt: skip


def test_two_controllers_at_once_do_everything_once(tmp_path: Path) -> None:
    with hub.running() as server, serving(SAID) as model:
        forge = server.forge("two")
        repository = forge.api.repository
        forge.commit("main", starting_files(), parent=None, message="A new skills repository", author="ada")
        begun, revision = len(forge.history("registry.yaml")), revision_of((forge.read("main", "registry.yaml") or b"").decode())
        body = {"title": "Count words", "body": "How many words has a text? `one two` has 2.", "labels": ["capability"]}
        issue = server.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]
        homes = [open_home(tmp_path / name, server, repository) for name in ("one", "two")]
        environment = {
            **os.environ, "SKILLOPS_USER": "ada", "SKILLOPS_MUTANTS": "2", "SKILLOPS_MODEL": "openai/scripted", "SKILLOPS_API_BASE": model.address,
            "SKILLOPS_API_KEY": "a-key", "SKILLOPS_FORGE": "github", "SKILLOPS_GITHUB_REPOSITORY": repository,
            "SKILLOPS_GITHUB_API": server.url, "SKILLOPS_GITHUB_TOKEN": hub.token_of(hub.BOT),
        }  # fmt: skip
        command = [sys.executable, "-m", "agent.cli", "run", "--json", "-C"]
        try:
            runs = [
                subprocess.Popen([*command, str(home.path)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for home in homes
            ]  # fmt: skip
            told = [run.communicate(timeout=300) for run in runs]
            assert all(run.returncode in (0, 4) for run in runs), told  # whoever lost a race may have to look again
            last = [home.place.pipeline.run() for home in homes]
        finally:
            for home in homes:
                home.close()

        assert [outcome.troubled for outcome in last] == [[], []] and last[1].moved == [], told
        issues = server.ask("GET", f"/repos/{repository}/issues?state=all&per_page=100")[1]
        proposals = forge.proposals("all")
        assert {each["number"] for each in issues if "pull_request" not in each} == {issue}
        assert [(each.state, each.request) for each in proposals] == [("merged", issue)]
        assert len(forge.history("registry.yaml")) == begun + 1 and len(forge.history("skills/word-count")) == 1
        assert revision_of((forge.read("main", "registry.yaml") or b"").decode()) == revision + 1
        assert forge.request(issue).closed_as == "done"
        for number in (issue, proposals[0].number):
            said = Counter(comment.marker for comment in forge.comments(number))
            assert said and max(said.values()) == 1, said
        ledger = BranchLedger(forge)
        keys = Counter(line.event.key for line in ledger.entries() if line.event.key)
        assert ledger.tampered() is None and keys and max(keys.values()) == 1

"""Two controllers on one repository at once: one proposal, one merge, one release, and nothing said twice."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import RememberingRuntime
from tests.acceptance.test_github_story import open_home

pytestmark = [pytest.mark.github, pytest.mark.slow]


def test_two_controllers_at_once_do_everything_once(tmp_path: Path) -> None:
    with hub.running() as server:
        forge = server.forge("two")
        repository = forge.api.repository
        forge.commit("main", starting_files(), parent=None, message="A new skills repository", author="ada")
        begun = len(forge.history("registry.yaml"))
        body = {"title": "Count words", "body": "How many words has a text? `one two` has 2.", "labels": ["capability"]}
        issue = server.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]
        runtime = RememberingRuntime()
        homes = [open_home(tmp_path / name, server, repository).bare(runtime) for name in ("one", "two")]

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda home: home.place.pipeline.run(), homes))
        last = [home.place.pipeline.run() for home in homes]  # whoever lost a race looks again

        assert [outcome.troubled for outcome in last] == [[], []] and last[1].moved == []
        proposals = forge.proposals("all")
        assert [(each.state, each.request) for each in proposals] == [("merged", issue)]
        assert len(forge.history("registry.yaml")) == begun + 1 and len(forge.history("skills/word-count")) == 1
        assert forge.request(issue).closed_as == "done"
        for number in (issue, proposals[0].number):
            said = Counter(comment.marker for comment in forge.comments(number))
            assert said and max(said.values()) == 1, said

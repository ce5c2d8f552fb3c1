"""On GitHub: a secret that somebody posts in an issue goes no further, and whoever asked takes it back with /withdraw."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import answers
from tests.acceptance.test_github_story import open_home

pytestmark = [pytest.mark.github, pytest.mark.slow]
KEY = "ghp_" + "A1b2C3d4E5f6G7h8I9j0" + "K1l2M3n4O5p6Q7r8"
VAGUE = {"verdict": "vague", "reason": "unclear", "question": "Do hyphens part words?"}


def test_a_posted_secret_is_told_of_once_and_the_issue_is_taken_back_by_who_opened_it(tmp_path: Path) -> None:
    with hub.running() as server:
        forge = server.forge("posted")
        repository = forge.api.repository
        forge.commit("main", starting_files(), parent=None, message="A new skills repository", author="ada")
        home = open_home(tmp_path / "clone", server, repository, said=answers(assess=lambda question: VAGUE)).bare()
        issue = {"title": f"Count words {KEY}", "body": f"With {KEY}, how many words has a text?", "labels": ["capability"]}
        number = server.ask("POST", f"/repos/{repository}/issues", issue, hub.ADA)[1]["number"]

        def say(person: str, text: str) -> None:
            server.ask("POST", f"/repos/{repository}/issues/{number}/comments", {"body": text}, person)

        assert home.run().troubled == []
        say(hub.ADA, f"As {KEY} has it.")
        say(hub.MALLORY, f"/withdraw {KEY}")
        assert home.run().troubled == [] and home.forge.request(number).state == "open"
        said = server.ask("GET", f"/repos/{repository}/issues/{number}/comments")[1]
        ours = [each["body"] for each in said if each["user"]["login"] == hub.BOT]
        warned = [text.partition(" ")[0] for text in ours if "Revoke it" in text]
        assert warned == [f"@{hub.ADA}", f"@{hub.MALLORY}"] and not [text for text in ours if KEY in text]
        assert any("mallory may not take" in text for text in ours)
        prompts = repr([question.messages for question in home.model.asked])
        assert "[secret]" in prompts and KEY not in prompts
        assert KEY not in repr(home.parts.ledger.entries()) and not [
            path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
        ]

        say(hub.ADA, "/withdraw we found another way")
        assert home.run().troubled == []
        taken = home.forge.request(number)
        assert (taken.state, taken.closed_as) == ("closed", "withdrawn")
        assert [(event.actor, event.note) for event in home.ledger("withdrawn")] == [(hub.ADA, "we found another way")]
        assert home.run().moved == []
        home.close()

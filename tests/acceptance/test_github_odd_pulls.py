"""A person's pull request that turns out odd goes through the whole pipeline: each time it is told what there is to do, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.domain.check import Outcome
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import Home, answers
from tests.acceptance.test_github_story import open_home

pytestmark = [pytest.mark.github, pytest.mark.slow]
CALLS = 120  # of the API, to look at a pull request of 3,000 files and to tell what is wrong with it


class Desk(NamedTuple):
    home: Home
    server: hub.Hub
    number: int

    def ask(self, verb: str, path: str, body: Any = None) -> Any:
        status, told = self.server.ask(verb, f"/repos/{self.home.forge.api.repository}/{path}", body, hub.ADA)  # type: ignore[attr-defined]
        assert status < 300, told
        return told

    def push(self, files: dict[str, bytes | None]) -> str:
        """By force: the branch holds these on top of main, and nothing of what was there."""
        forge = self.home.forge
        branch = f"made-{len(files)}-{forge.head('mine') or ''}"[:60]
        head = forge.commit(branch, files, parent=None, message="Mine", author=hub.ADA)
        if forge.head("mine") is not None:
            self.ask("PATCH", "git/refs/heads/mine", {"sha": head, "force": True})
        else:
            self.ask("POST", "git/refs", {"ref": "refs/heads/mine", "sha": head})
        return head


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with hub.running() as server:
        forge = server.forge("odd")
        policy = b"apiVersion: skillops/v1\nautonomy: manual\n"
        forge.commit("main", {**starting_files(), "reviewers/policy.yaml": policy}, parent=None, message="A new skills repository", author="ada")
        desk = Desk(open_home(tmp_path / "clone", server, forge.api.repository, said=answers()).bare(), server, 0)
        data: dict[str, bytes | None] = {f"skills/word-count/data/{number}.txt": b"x\n" for number in range(3000)}
        desk.push({**data, **skill(desk.home)})
        pull = desk.ask("POST", "pulls", {"title": "Mine", "head": "mine", "base": "main", "body": "Mine."})
        yield desk._replace(number=pull["number"])


def skill(home: Home, code: bytes = b"") -> dict[str, bytes | None]:
    files = {f"skills/word-count/{path}": data for path, data in home.folder_by_hand().items()}
    return {**files, "skills/word-count/skill.py": files["skills/word-count/skill.py"] + code}


def test_too_large_then_pushed_by_force_closed_opened_again_and_its_branch_gone(desk: Desk) -> None:
    home, forge, number = desk.home, desk.home.forge, desk.number
    before = forge.api.calls.total()  # type: ignore[attr-defined]

    outcome = home.run()

    told = home.said_on(number)
    assert outcome.troubled == [] and outcome.exit_code == 3 and forge.api.calls.total() - before < CALLS  # type: ignore[attr-defined]
    assert "It brings 3,004 files of word-count, and a skill has at most 200: none was looked at." in told
    assert {result.outcome for result in forge.checks(number, forge.proposal(number).head).results} == {Outcome.FAILED}

    first = desk.push(skill(home))  # small now
    assert home.run().troubled == [] and forge.checks(number, first).outcome is Outcome.PASSED
    asked = len(home.model.of("review-fit"))
    second = desk.push(skill(home, b"\n# Anew.\n"))  # by force, under review
    home.says("approve", number, person="bob")
    desk.push(skill(home, b"\n# Once more.\n"))
    outcome = home.run()
    assert outcome.troubled == [] and forge.proposal(number).state == "open", "an approval of another commit merges nothing"
    assert (len(home.model.of("review-fit")), forge.reviews(number, second)[0].reviewer) == (asked + 1, "bob")

    desk.ask("PATCH", f"pulls/{number}", {"state": "closed"})
    assert home.run().moved == []
    desk.ask("PATCH", f"pulls/{number}", {"state": "open"})
    assert home.run().moved == [] and len(home.model.of("review-fit")) == asked + 1, "its verdicts stand"

    last = forge.proposal(number).head
    desk.ask("DELETE", "git/refs/heads/mine")
    outcome = home.run()
    assert outcome.troubled == [] and (forge.proposal(number).head, outcome.exit_code) == (last, 3)

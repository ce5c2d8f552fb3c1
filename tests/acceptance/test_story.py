"""The README's story, heading by heading, told by the recorded session on a throw-away repository and looked at from outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent import wiring
from agent.demo import RECORDING, TASKS, tell_story
from agent.domain.skill import WITNESS_PATH
from agent.registry_file import parse
from agent.screen import Quiet
from agent.situation import Work, look
from agent.story import story
from agent.workplace import Workplace

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]


class Told(NamedTuple):
    document: dict[str, Any]
    place: Workplace

    @property
    def name(self) -> str:
        return str(self.document["gap"]["contract"]["name"])

    def events(self, what: str, request: int = 1) -> list[Any]:
        return [entry.event for entry in story(request, self.place.parts.forge, self.place.parts.ledger).entries if entry.event.what == what]

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", "-C", self.place.checkout.origin, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("story") / "skills"
    document = tell_story(Quiet(), folder, live=False, record=None, rekey=None)
    place = wiring.open_workplace(folder, user="you")
    place.parts.sync()
    yield Told(document, place)
    place.parts.runtime.shutdown()


def test_a_person_asks_for_something_that_no_skill_can_do(told: Told) -> None:
    request = told.document["request"]
    assert request["number"] == 1
    assert request["source"] == "chat"
    assert request["requester"] == "you"
    assert told.events("raised")


def test_the_gap_is_assessed_and_its_contract_frozen(told: Told) -> None:
    gap = told.document["gap"]
    assert gap["verdict"] == "new"
    assert {"name", "inputs", "outputs", "examples", "acceptance"} <= gap["contract"].keys()
    stages = [entry.event.stage for entry in told.place.parts.ledger.entries(request=1)]
    assert stages.index("assessing") < stages.index("proposing")


def test_a_witness_writes_cases_that_the_author_never_sees(told: Told) -> None:
    path = f"skills/{told.name}/{WITNESS_PATH}"
    branch = told.document["proposal"]["branch"]
    first = told.git("log", "--reverse", "--format=%an", branch, "--", path).split()[0]
    assert first == "skillops-witness"
    events = [entry.event.what for entry in told.place.parts.ledger.entries(request=1)]
    assert events.index("witnessed") < events.index("attempt")
    recorded = json.loads(Path(RECORDING).read_text())["exchanges"]
    shown = json.dumps([exchange["variables"] for exchange in recorded if exchange["purpose"] != "witness"])
    witness = next(exchange for exchange in recorded if exchange["purpose"] == "witness")
    telling = [case["name"] for case in json.loads(witness["text"])["cases"] if len(case["name"].split()) > 3]
    assert telling
    assert [name for name in telling if name in shown] == []


def test_the_author_drafts_tries_in_the_sandbox_and_repairs(told: Told) -> None:
    attempts = told.events("attempt")
    assert [attempt.outcome for attempt in attempts[:2]] == ["failed", "passed"]
    assert attempts[0].data["problems"]
    assert {problem["source"] for problem in attempts[0].data["problems"]} & {"tests", "contract"}


def test_eight_checks_judge_the_proposal_side_by_side(told: Told) -> None:
    checks = told.document["checks"]
    assert [check["name"] for check in checks] == ["scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract"]
    assert {check["outcome"] for check in checks} == {"passed"}


def test_three_reviewers_read_it_and_one_asks_for_a_change(told: Told) -> None:
    reviewed = told.events("reviewed")
    assert {event.actor for event in reviewed} == {"correctness", "security", "fit"}
    assert [event for event in reviewed if event.outcome == "revise"]
    assert len({event.commit for event in reviewed}) == 2
    assert {review["verdict"] for review in told.document["reviews"]} == {"approve"}


def test_policy_decides(told: Told) -> None:
    assert [decision["action"] for decision in told.document["decisions"]] == ["revise", "merge"]
    assert told.document["decision"]["risk"] == "low"


def test_it_is_merged_released_and_deployed(told: Told) -> None:
    proposal = told.place.parts.forge.proposal(told.document["proposal"]["number"])
    assert proposal.merged_commit
    assert told.document["decision"]["head"] == proposal.head
    revisions = [
        parse(told.git("show", f"{commit}:registry.yaml")).revision for commit in told.git("log", "--format=%H", "--", "registry.yaml").split()
    ]
    assert revisions == [2, 1, 0]
    assert told.events("deployed")


def test_the_agent_finishes_the_task_with_a_receipt(told: Told) -> None:
    first, second, _ = told.document["turns"]
    assert "5415" in first["answer"].replace(",", "").replace(" ", "")
    receipt = told.document["receipt"]
    assert receipt["skill"] == told.name
    assert (receipt["version"], receipt["digest"]) == (told.document["release"]["version"], told.document["release"]["digest"])
    assert receipt["proposal"] == told.document["proposal"]["number"]
    assert set(receipt["approvers"]) == {"correctness", "security", "fit"}
    assert "2710" in second["answer"].replace(",", "").replace(" ", "")
    assert second["receipts"][0]["version"] == "1.0.0"


def test_a_question_near_it_extends_the_skill_instead_of_making_a_twin(told: Told) -> None:
    third = told.document["turns"][2]
    assert "7500" in third["answer"].replace(",", "").replace(" ", "")
    assert third["receipts"][0]["version"] == "1.1.0"
    assert told.document["skills"] == [{"name": told.name, "version": "1.1.0"}]


def test_everything_can_be_told_again_and_taken_back(told: Told) -> None:
    told_again = story(1, told.place.parts.forge, told.place.parts.ledger)
    assert told_again.tampered is None
    assert {"assessing", "proposing", "checking", "reviewing", "deciding", "releasing", "deploying"} <= {
        entry.event.stage for entry in told_again.entries
    }
    assert look(told.place.parts, Work(request=1)).deployed == "yes"
    assert len(TASKS) == len(told.document["turns"])

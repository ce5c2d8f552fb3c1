"""What is seen when looking: read off the forge, the registry and the runtime, and never kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import messages
from agent.domain.decision import Action
from agent.domain.progress import State, state_of
from agent.domain.proposal import AGENT, AUTHOR, DEPLOY_FAILED, DONE, HOLD, OVERTAKEN, ProposalDraft
from agent.domain.request import Comment
from agent.errors import InvalidFile
from agent.situation import Work, assessment, look, open_work
from tests.acceptance.harness import CODE, Home
from tests.builders import a_gap, a_request


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.founded(tmp_path / "skills").bare()


def a_comment(number: int, author: str, text: str) -> Comment:
    return Comment(id=number, number=1, author=author, text=text)


def gap_comment(number: int, **traits: object) -> Comment:
    said = a_comment(number, AGENT, messages.gap_comment(a_gap(**traits), a_request()))
    return said.model_copy(update={"marker": f"{messages.GAP}-0"})


VAGUE = {"verdict": "vague", "question": "In which unit?", "contract": None}


def test_a_piece_of_work_is_named_by_its_number() -> None:
    assert [str(work) for work in (Work(request=3), Work(proposal=4), Work(request=3, proposal=4))] == ["#3", "#4", "#3"]


# ---- the assessment ------------------------------------------------------------------------------------------------


def test_the_newest_assessment_counts() -> None:
    gap, answered = assessment([gap_comment(1, **VAGUE), a_comment(2, "ada", "In metres."), gap_comment(3)])
    assert (gap and gap.verdict, answered) == ("new", False)


def test_what_anybody_but_us_says_after_it_is_an_answer() -> None:
    said = [gap_comment(1, **VAGUE), a_comment(2, AUTHOR, "An aside.")]
    assert assessment(said)[1] is False
    assert assessment([*said, a_comment(3, "ada", "In metres.")])[1] is True


def test_an_assessment_that_somebody_else_wrote_is_none() -> None:
    forged = gap_comment(1).model_copy(update={"author": "mallory"})
    unmarked = gap_comment(1).model_copy(update={"marker": None})
    assert (assessment([forged]), assessment([unmarked])) == ((None, True), (None, False))


# ---- open work -----------------------------------------------------------------------------------------------------


def test_open_work_is_requests_and_proposals_that_nobody_requested_the_oldest_first(home: Home) -> None:
    first = home.request()
    lone = home.propose_by_hand("eve", name="text-count")
    second = home.request("Another", "Something else.")
    home.run(first)

    assert open_work(home.parts) == (Work(proposal=lone.number), Work(request=second))


def test_what_was_merged_without_a_request_is_open_work_until_it_is_done(home: Home) -> None:
    lone = home.propose_by_hand("eve")
    home.forge.merge(lone.number, expected_head=lone.head, message="Merge", author="bob")
    assert open_work(home.parts) == (Work(proposal=lone.number),)

    home.forge.label(lone.number, add=[DONE])

    assert open_work(home.parts) == ()


# ---- one piece of work ---------------------------------------------------------------------------------------------


def test_the_proposal_of_a_request_is_the_newest_that_was_not_closed(home: Home) -> None:
    number = home.request()
    opened = []
    for name in ("one", "two", "three"):
        home.commit({"skills/word-count/skill.py": name.encode()}, f"branch-{name}")
        draft = ProposalDraft(branch=f"branch-{name}", skill="word-count", kind="new", title=name, body="", author=AUTHOR, request=number)
        opened.append(home.forge.open_proposal(draft).number)
    home.forge.close_proposal(opened[2])

    assert _seen(home, number) == opened[1]
    for each in opened:
        home.forge.close_proposal(each)
    assert _seen(home, number) == opened[2]
    home.forge.label(opened[2], add=[OVERTAKEN])
    assert _seen(home, number) == opened[1], "one that was overtaken is none any more"


def _seen(home: Home, request: int) -> int | None:
    proposal = look(home.parts, Work(request=request)).proposal
    return proposal.number if proposal else None


def test_a_revert_is_never_the_proposal_of_a_request(home: Home) -> None:
    number = home.request()
    home.commit({"skills/word-count/skill.py": b"x = 1\n"}, "revert")
    home.forge.open_proposal(ProposalDraft(branch="revert", skill="word-count", kind="revert", title="T", body="", author="skillops-deployer"))
    assert look(home.parts, Work(request=number)).proposal is None


def test_there_is_no_decision_before_the_verdicts_are_in_but_for_what_people_say(home: Home) -> None:
    lone = home.propose_by_hand("eve")
    assert look(home.parts, Work(proposal=lone.number)).decision is None

    home.forge.label(lone.number, add=[HOLD])
    decision = look(home.parts, Work(proposal=lone.number)).decision
    assert decision is not None
    assert (decision.action, decision.rule) == (Action.WAIT, "on-hold")

    home.says("reject", lone.number, "we buy this")
    seen = look(home.parts, Work(proposal=lone.number))
    assert state_of(seen) is State.DECLINED


def test_what_asks_for_more_than_policy_allows_goes_back_before_anything_is_spent_on_it(home: Home) -> None:
    home.write_policy(limits={"memory": "128Mi", "hosts": []})
    lone = home.propose_by_hand("eve")
    decision = look(home.parts, Work(proposal=lone.number)).decision
    assert decision is not None
    assert (decision.rule, decision.waiting_for) == ("beyond-limits", "author")
    assert "resources.memory is 256Mi, and at most 128Mi is allowed" in decision.why

    home.write_policy(limits={"memory": "256Mi"})
    assert look(home.parts, Work(proposal=lone.number)).decision is None


def test_a_proposal_whose_skill_changed_on_main_was_overtaken_and_one_beside_it_was_not(home: Home) -> None:
    lone = home.propose_by_hand("eve")
    home.commit({f"skills/text-count/{path}": data for path, data in home.folder_by_hand("text-count").items()})
    assert look(home.parts, Work(proposal=lone.number)).decision is None

    home.commit({f"skills/word-count/{path}": data for path, data in home.folder_by_hand(version="0.9.0").items()})

    decision = look(home.parts, Work(proposal=lone.number)).decision
    assert decision is not None
    assert (decision.rule, decision.why.split(".")[0]) == ("overtaken", "word-count is at 0")


def test_a_skill_that_is_broken_on_main_does_not_hide_that_it_overtook(home: Home) -> None:
    lone = home.propose_by_hand("eve")
    home.commit({"skills/word-count/skill.yaml": b"name: [\n"})
    decision = look(home.parts, Work(proposal=lone.number)).decision
    assert decision is not None
    assert decision.why.startswith("word-count was changed on main since this proposal was begun.")


def test_a_contract_is_seen_until_the_registry_overtakes_it(home: Home) -> None:
    number = home.request()
    home.run(number, once=True)
    assert look(home.parts, Work(request=number)).gap is not None

    home.commit({f"skills/word-count/{path}": data for path, data in home.folder_by_hand().items()})
    home.place.pipeline._steps.enter()

    seen = look(home.parts, Work(request=number))
    assert (seen.gap, state_of(seen)) == (None, State.REQUESTED)


# ---- after the merge -----------------------------------------------------------------------------------------------


def test_a_merged_proposal_is_released_then_deployed(home: Home) -> None:
    lone = home.propose_by_hand("eve")
    home.forge.merge(lone.number, expected_head=lone.head, message="Merge", author="bob")
    work = Work(proposal=lone.number)
    assert state_of(look(home.parts, work)) is State.MERGED

    home.run(once=True)  # releases what main holds, and deploys
    assert state_of(look(home.parts, work)) is State.DEPLOYED
    home.runtime.running.clear()
    assert state_of(look(home.parts, work)) is State.RELEASED
    home.forge.label(lone.number, add=[DEPLOY_FAILED])
    assert state_of(look(home.parts, work)) is State.UNDEPLOYABLE


def test_a_later_release_of_the_same_skill_counts_for_an_earlier_merge(home: Home) -> None:
    first = home.propose_by_hand("eve")
    home.run()
    home.propose_by_hand("eve", CODE.replace("How many", "The number of"), version="1.1.0")
    home.run()
    seen = look(home.parts, Work(proposal=first.number))
    assert (seen.released, seen.deployed) == (True, "yes")


def test_an_unknown_reviewer_in_the_policy_is_told_with_the_file(home: Home) -> None:
    home.write_policy(reviewers=["taste"])
    lone = home.propose_by_hand("eve")
    with pytest.raises(InvalidFile, match="there is no reviewer 'taste'"):
        look(home.parts, Work(proposal=lone.number))

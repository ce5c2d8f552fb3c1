"""The reconciler: what it does with one piece of work after the other, with checks that always pass and a runtime that only remembers."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import people
from agent.domain.check import CheckResult, Subject
from agent.domain.event import Event
from agent.domain.progress import Stage, State
from agent.domain.proposal import AUTHOR, HOLD, OVERTAKEN
from agent.errors import CouldNotTell, HeadMoved, InQueue, ModelUnavailable, Refused, UsageError
from agent.halting import pause
from agent.pipeline import MOVES, Outcome
from agent.ports import Workbench
from agent.situation import Work
from agent.stages.proposing import propose_rollback
from tests.acceptance.harness import CODE, Home, PassingCheck, a_contract, a_draft, an_assessment, answers, witness_cases

VAGUE = {"verdict": "vague", "reason": "it could mean two things", "question": "Do hyphens part words?"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.founded(tmp_path / "skills").bare()


def a_home(folder: Path, **said: Any) -> Home:
    return Home.founded(folder / "skills", answers(**said)).bare()


def stages(outcome: Outcome) -> list[Stage]:
    return [step.stage for _, step in outcome.moved]


def on_event(home: Home, what: str, act: Callable[[], object]) -> None:
    """Has something happen once, at the moment at which an event is told."""
    told: list[Event] = []

    def tell(event: Event) -> None:
        if event.what == what and not told:
            told.append(event)
            act()

    home.change(tell=tell)


# ---- requests that need no skill -----------------------------------------------------------------------------------


def test_a_request_that_a_skill_covers_is_closed_with_the_call(tmp_path: Path) -> None:
    covered = {"verdict": "covered", "reason": "it counts words", "skill": "word-count", "call": {"text": "a b"}}
    home = a_home(tmp_path, assess=[an_assessment(), covered])
    home.request()
    home.run()
    number = home.request("Length of a text", "How long is a text?")

    outcome = home.run()

    assert stages(outcome) == [Stage.ASSESS]
    assert home.forge.request(number).closed_as == "covered"
    assert 'skillops invoke word-count --input \'{"text": "a b"}\'' in home.said_on(number)


def test_a_request_that_is_refused_is_closed_with_the_reason(tmp_path: Path) -> None:
    home = a_home(tmp_path, assess=[{"verdict": "refused", "reason": "nobody may read that"}])
    number = home.request()

    assert home.run().exit_code == 0

    assert home.forge.request(number).closed_as == "refused"
    assert "nobody may read that" in home.said_on(number)


def test_a_vague_request_waits_for_its_requester_and_goes_on_with_the_reply(tmp_path: Path) -> None:
    home = a_home(tmp_path, assess=[VAGUE, an_assessment()])
    number = home.request()

    outcome = home.run()

    assert (outcome.exit_code, [step.waiting_for for _, step in outcome.waiting]) == (3, ["requester"])
    assert "@ada One question before this can be built: Do hyphens part words?" in home.said_on(number)
    assert (home.run().exit_code, len(home.model.of("assess"))) == (3, 1), "it is asked once"

    home.forge.say(number, "No, they do not.", author="ada")
    assert home.run().exit_code == 0
    assert home.model.of("assess")[1].variables["said"][-1] == {"by": "requester", "text": "No, they do not."}
    assert home.forge.request(number).closed_as == "done"


def test_an_assessment_that_was_cut_short_before_it_closed_the_request_is_not_paid_for_twice(tmp_path: Path) -> None:
    home = a_home(tmp_path, assess=[{"verdict": "refused", "reason": "nobody may read that"}])
    number = home.request()
    close_request = home.forge.close_request
    home.forge.close_request = _broken  # type: ignore[method-assign]
    home.run()
    home.forge.close_request = close_request  # type: ignore[method-assign]

    assert home.run().exit_code == 0

    assert (home.forge.request(number).closed_as, len(home.model.of("assess"))) == ("refused", 1)


# ---- what people say -----------------------------------------------------------------------------------------------


def test_a_manual_policy_waits_for_a_person_and_says_which_command(home: Home) -> None:
    home.write_policy(autonomy="manual")
    home.request()

    outcome = home.run()

    assert outcome.exit_code == 3
    number = home.proposal().number
    assert f"skillops approve {number}" in outcome.waiting[0][1].why
    assert f"skillops approve {number}" in home.said_on(number)

    home.says("approve", number)
    assert home.run().exit_code == 0
    assert home.registry().skills[0].approvals == ("bob", "correctness", "fit", "security")


def test_a_merge_that_waits_in_the_forges_queue_waits_for_a_machine_and_goes_on_after_it(home: Home) -> None:
    number, merge = home.request(), home.forge.merge

    def queued(*given: object, **named: object) -> str:
        raise InQueue("Proposal #2 waits in the merge queue.", why="It is number 1 there.")

    home.forge.merge = queued  # type: ignore[method-assign, assignment]
    outcome = home.run()

    assert (outcome.exit_code, outcome.troubled) == (4, [])
    assert [(step.state, step.waiting_for, step.why) for _, step in outcome.waiting] == [
        (State.APPROVED, "machine", "Proposal #2 waits in the merge queue. It is number 1 there.")
    ]
    home.forge.merge = merge  # type: ignore[method-assign]
    assert home.run().exit_code == 0 and home.forge.request(number).closed_as == "done"


def test_a_proposal_on_hold_stays_where_it_is_until_retry(home: Home) -> None:
    home.write_policy(autonomy="manual")
    home.request()
    home.run()
    number = home.proposal().number
    home.says("approve", number)
    home.forge.label(number, add=[HOLD])

    assert [step.why for _, step in home.run().waiting] == [f"It is on hold; `skillops retry {number}` lets it go on."]

    home.retry(number)
    assert home.run().exit_code == 0
    assert home.proposal().state == "merged"


def test_a_rejected_proposal_is_closed_and_its_request_with_it(home: Home) -> None:
    home.write_policy(autonomy="manual")
    number = home.request()
    home.run()

    home.says("reject", home.proposal().number, "we buy this")

    assert stages(home.run()) == [Stage.CLOSE]
    assert (home.proposal().state, home.forge.request(number).closed_as) == ("closed", "refused")
    assert "we buy this" in home.said_on(number)


def test_the_reason_of_a_rejection_survives_a_run_that_is_cut_short(home: Home) -> None:
    home.write_policy(autonomy="manual")
    number = home.request()
    home.run()
    home.says("reject", home.proposal().number, "we buy this")
    close_request = home.forge.close_request
    home.forge.close_request = _broken  # type: ignore[method-assign]
    home.run()
    home.forge.close_request = close_request  # type: ignore[method-assign]

    home.run()

    assert home.forge.request(number).closed_as == "refused"
    assert "we buy this" in home.said_on(number)


def test_a_person_who_asks_for_a_change_sends_the_author_back(tmp_path: Path) -> None:
    home = a_home(tmp_path, author=[a_draft(), a_draft(CODE.replace("How many", "The number of"))])
    home.write_policy(autonomy="manual")
    home.request()
    home.run()

    home.says("revise", home.proposal().number, "say it in other words")

    assert home.run().exit_code == 3, "the new head waits for an approval of its own"
    assert home.model.of("author")[1].variables["mend"] == [{"source": "review by bob", "message": "say it in other words"}]


# ---- two pieces of work that meet ----------------------------------------------------------------------------------


def test_the_older_request_is_finished_before_the_next_is_assessed(tmp_path: Path) -> None:
    covered = {"verdict": "covered", "reason": "it counts words", "skill": "word-count", "call": {"text": "a b"}}
    home = a_home(tmp_path, assess=[an_assessment(), covered])
    first, second = home.request(), home.request("Length", "How long is a text?")

    assert home.run().exit_code == 0

    assert [home.forge.request(number).closed_as for number in (first, second)] == ["done", "covered"]
    assert len(home.registry().skills) == 1


def test_of_two_proposals_for_a_skill_the_second_begins_anew_from_what_the_first_brought(tmp_path: Path) -> None:
    extend = an_assessment(verdict="extend", skill="word-count", contract=a_contract(description="Count words, and say it well."))
    home = a_home(
        tmp_path, assess=[an_assessment(), an_assessment(), extend],
        witness=[witness_cases(), witness_cases(), {"cases": [_a_case("x y z w", 4)]}],
        author=[a_draft(), a_draft(), a_draft(CODE.replace("How many", "The number of"))],
    )  # fmt: skip
    home.write_policy(autonomy="manual")
    first, second = home.request(), home.request("Count words again", "The same, but nobody saw it.")
    home.run()
    one, two = home.forge.proposals("open")
    home.says("approve", one.number)
    home.says("approve", two.number)

    outcome = home.run()

    assert [home.forge.proposal(each.number).state for each in (one, two)] == ["merged", "closed"]
    assert home.forge.proposal(two.number).labels == (OVERTAKEN,)
    assert f"#{two.number} was not merged: word-count is at 1.0.0 on main since" in home.said_on(second)
    anew = home.proposal()
    assert (anew.request, anew.kind, anew.state, outcome.exit_code) == (second, "extend", "open", 3)
    home.says("approve", anew.number)
    assert home.run().exit_code == 0
    assert [home.forge.request(number).closed_as for number in (first, second)] == ["done", "done"]
    assert [(entry.version, entry.proposal) for entry in home.registry().skills] == [("1.1.0", anew.number)]
    assert home.registry().revision == 2


def test_a_persons_proposal_that_was_overtaken_is_told_so_and_merges_once_it_is_rebased(home: Home) -> None:
    home.write_policy(autonomy="manual")
    early = home.propose_by_hand("eve")
    home.run()
    home.says("approve", early.number)
    late = home.propose_by_hand("dan", CODE.replace("How many", "The number of"), version="1.2.0")
    home.run()
    home.says("approve", late.number)

    outcome = home.run()

    assert home.registry().skills[0].version == "1.0.0"
    assert [(step.waiting_for, step.why) for _, step in outcome.waiting] == [
        ("author", "word-count is at 1.0.0 on main since this proposal was begun. Rebase the branch on main, raise the version above that, and push.")
    ]  # fmt: skip
    home.rebase(late.branch)
    home.run()
    home.says("approve", late.number)
    assert home.run().exit_code == 0
    assert home.registry().skills[0].version == "1.2.0"


def test_a_rollback_that_was_overtaken_is_closed(home: Home) -> None:
    home.request()
    home.run()
    files = home.forge.files("main", "skills/word-count")
    home.commit({"skills/word-count/skill.yaml": files["skill.yaml"].replace(b"1.0.0", b"1.0.1")})
    home.run()
    rollback = propose_rollback("word-count", "1.0.0", files, "ada", home.forge)
    home.commit({"skills/word-count/skill.yaml": files["skill.yaml"].replace(b"1.0.0", b"1.3.0")})

    assert home.run().exit_code == 0

    assert home.proposal(rollback.number).state == "closed"
    assert "Propose it again if it is still wanted." in home.said_on(rollback.number)


def test_a_contract_that_main_overtook_before_anything_was_proposed_is_frozen_anew(tmp_path: Path) -> None:
    other = an_assessment("text-length", contract=a_contract("text-length"))
    home = a_home(tmp_path, assess=[an_assessment(), other])
    number = home.request()
    home.run(once=True)
    assert home.said_on(number)
    home.commit({f"skills/word-count/{path}": data for path, data in home.folder_by_hand().items()})

    assert home.run().exit_code == 0

    assert [entry.name for entry in home.registry().skills] == ["text-length", "word-count"]
    assert len(home.model.of("assess")) == 2


# ---- a world that moves --------------------------------------------------------------------------------------------


def test_a_head_that_moves_between_review_and_merge_is_judged_anew(home: Home) -> None:
    number = home.request()
    pushed: list[str] = []

    def push() -> None:
        proposal = home.proposal()
        changed = {"skills/word-count/skill.py": CODE.replace("How many", "The number of").encode()}
        pushed.append(home.commit(changed, proposal.branch))

    on_event(home, "decided", push)

    outcome = home.run()

    assert outcome.exit_code == 0
    assert stages(outcome).count(Stage.REVIEW) == 2
    merged = home.proposal()
    assert (merged.state, merged.head) == ("merged", pushed[0])
    assert len(home.forge.reviews(merged.number, merged.head)) == 3
    assert home.forge.request(number).closed_as == "done"


def test_an_approval_of_the_head_before_does_not_count(home: Home) -> None:
    home.write_policy(autonomy="manual")
    home.request()
    home.run()
    proposal = home.proposal()
    home.says("approve", proposal.number)
    home.commit({"skills/word-count/skill.py": CODE.replace("How many", "The number of").encode()}, proposal.branch)

    assert home.run().exit_code == 3

    assert home.proposal().state == "open"


def test_a_branch_that_never_holds_still_is_left_alone_after_a_while(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.request()
    tries: list[int] = []

    def merge(*_: Any, **__: Any) -> str:
        tries.append(1)
        raise HeadMoved("It moved.")

    monkeypatch.setattr(home.forge, "merge", merge)

    outcome = home.run()

    assert (len(tries), outcome.exit_code) == (MOVES + 1, 4)


def test_main_that_moves_while_a_release_is_written_is_read_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.request()
    commit, raced = home.forge.commit, []

    def racing(branch: str, files: Any, **how: Any) -> str:
        if "registry.yaml" in files and not raced:
            raced.append(commit("main", {"NOTES.md": b"by hand\n"}, parent=home.forge.head("main"), message="By hand", author="bob"))
        return commit(branch, files, **how)

    monkeypatch.setattr(home.forge, "commit", racing)

    assert home.run().exit_code == 0

    assert home.registry().revision == 1
    assert home.forge.read("main", "NOTES.md") == b"by hand\n"


def test_a_release_that_was_cancelled_is_healed_by_the_next_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    number = home.request()
    with monkeypatch.context() as patch:
        patch.setattr(home.parts.builder, "build", _broken)
        assert home.run().exit_code == 4
    assert (home.proposal().state, home.registry().revision) == ("merged", 0)

    assert home.run().exit_code == 0

    assert (home.registry().revision, home.forge.request(number).closed_as) == (1, "done")


def test_several_skills_are_released_in_one_commit(home: Home) -> None:
    for name in ("one-count", "two-count"):
        home.commit({f"skills/{name}/{path}": data for path, data in home.folder_by_hand(name).items()})
    before = int(home.git("rev-list", "--count", "main"))

    assert home.run().exit_code == 0

    assert [entry.name for entry in home.registry().skills] == ["one-count", "two-count"]
    assert home.registry().revision == 1
    assert int(home.git("rev-list", "--count", "main")) == before + 1
    assert home.git("log", "-1", "--format=%s", "main").strip() == "Release one-count 1.0.0, two-count 1.0.0 (registry revision 1)"


# ---- what is deployed ----------------------------------------------------------------------------------------------


def test_a_proposal_that_nobody_requested_is_deployed_and_then_done(home: Home) -> None:
    proposal = home.propose_by_hand("eve")

    outcome = home.run()

    assert stages(outcome)[-3:] == [Stage.RELEASE, Stage.DEPLOY, Stage.REPORT]
    assert [service.skill for service in home.parts.runtime.services()] == ["word-count"]
    assert home.proposal(proposal.number).labels == ("done",)
    assert f"1.0.0 is deployed by #{proposal.number}" in home.said_on(proposal.number)


def test_a_revert_that_does_not_become_healthy_either_is_left_to_a_person(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.request()
    home.run()
    home.propose_by_hand("eve", CODE.replace("How many", "The number of"), version="1.1.0")
    monkeypatch.setattr(home.parts.runtime, "deploy", _refused)

    outcome = home.run()

    revert = home.proposal()
    assert (revert.kind, revert.state, set(revert.labels)) == ("revert", "merged", {"deploy-failed", "done"})
    assert "did not become healthy" in home.said_on(revert.number)
    assert [service.version for service in home.parts.runtime.services()] == ["1.0.0"], "the old one serves on"
    assert len(home.forge.proposals("all")) == 3
    assert outcome.exit_code == 0
    assert home.run().moved == []


def test_what_could_not_be_deployed_is_not_tried_again_by_every_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.request()
    home.run()
    home.propose_by_hand("eve", CODE.replace("How many", "The number of"), version="1.1.0")
    monkeypatch.setattr(home.parts.runtime, "deploy", _refused)
    home.run()
    tries: list[int] = []
    monkeypatch.setattr(home.parts.runtime, "deploy", lambda deployment: tries.append(1))

    assert home.run().exit_code == 0

    assert tries == []


def test_a_skill_that_drifted_is_redeployed_and_one_that_is_gone_is_removed(home: Home) -> None:
    home.request()
    home.run()
    home.runtime.running["word-count"] = home.runtime.running["word-count"].model_copy(update={"digest": "sha256:" + "0" * 64})
    home.runtime.running["gone"] = home.runtime.running["word-count"].model_copy(update={"skill": "gone"})

    assert home.run().exit_code == 0

    assert [(service.skill, service.digest) for service in home.runtime.services()] == [("word-count", home.registry().skills[0].digest)]


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_fault_of_our_own_troubles_one_piece_of_work_and_the_others_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = home.request()
    check = home.forge.post_check

    def post_check(number: int, result: Any) -> None:
        if home.forge.proposal(number).request == first:
            raise ZeroDivisionError("division by zero")
        check(number, result)

    monkeypatch.setattr(home.forge, "post_check", post_check)
    second = home.propose_by_hand("eve", name="text-count")

    with caplog.at_level(logging.ERROR, logger="agent.pipeline"):
        outcome = home.run()

    assert [(work, error.what) for work, error in outcome.troubled] == [
        (Work(request=first), "Something unexpected happened: ZeroDivisionError: division by zero"),
    ]  # fmt: skip
    assert outcome.exit_code == 4
    assert "Traceback" in caplog.text
    assert [event.request for event in home.ledger("stumbled")] == [first]
    assert home.proposal(second.number).state == "merged"


def test_an_answer_that_could_not_be_used_is_paid_for_in_the_trail(tmp_path: Path) -> None:
    unavailable = ModelUnavailable("The model hung up.")
    unavailable.tokens, unavailable.cost = 70, 0.7
    home = a_home(tmp_path, witness=[unavailable])
    number = home.request()

    outcome = home.run()

    assert (outcome.exit_code, outcome.troubled[0][0]) == (4, Work(request=number))
    stumbled = home.ledger("stumbled")[0]
    assert (stumbled.tokens, stumbled.cost, stumbled.data) == (70, 0.7, {"code": "model-unavailable"})
    assert home.parts.ledger.spent(number).tokens == 10 + 70, "the assessment's and the witness's"


def test_what_stands_still_is_tried_all_the_while_and_entered_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(number: int) -> None:
        raise CouldNotTell("The forge is away.")

    number = home.request()
    monkeypatch.setattr(home.forge, "request", away)

    outcomes = [home.run() for _ in range(3)]

    assert [work for outcome in outcomes for work, _ in outcome.troubled] == [Work(request=number)] * 3
    assert [event.note for event in home.ledger("stumbled")] == ["The forge is away."]


def test_a_check_that_could_not_tell_waits_for_the_machine_and_is_looked_at_again_after_retry(home: Home) -> None:
    def cannot(subject: Subject, bench: Workbench) -> CheckResult:
        raise CouldNotTell("bubblewrap is missing.", next_step="apt-get install bubblewrap")

    passing, broken = home.parts.checks, PassingCheck("tests")
    broken.run = cannot  # type: ignore[method-assign]
    home.change(checks=tuple(broken if check.name == "tests" else check for check in passing))
    home.request()

    outcome = home.run()

    assert (outcome.exit_code, [step.waiting_for for _, step in outcome.waiting]) == (4, ["machine"])
    assert "bubblewrap is missing." in outcome.waiting[0][1].why
    home.says("approve", home.proposal().number)
    assert home.run().exit_code == 4, "no approval stands for a check"

    home.change(checks=passing)
    home.retry(home.proposal().number)
    assert home.run().exit_code == 0


def test_what_is_in_trouble_is_left_alone_for_the_rest_of_the_run(tmp_path: Path) -> None:
    home = a_home(tmp_path, assess=[CouldNotTell("Nobody knows."), CouldNotTell("Nobody knows.")])
    home.request()
    home.propose_by_hand("eve")

    outcome = home.run()

    assert (len(outcome.troubled), len(home.model.of("assess"))) == (1, 1)
    assert home.proposal().state == "merged"


def test_only_one_piece_of_work_is_moved_where_one_is_named(home: Home) -> None:
    first, second = home.request(), home.request("Another", "Something else altogether.")

    home.run(second)

    assert (home.forge.request(first).state, home.forge.request(second).state) == ("open", "closed")


def test_once_does_one_step_of_each(home: Home) -> None:
    home.request()
    home.propose_by_hand("eve")

    assert stages(home.run(once=True)) == [Stage.ASSESS, Stage.CHECK]


# ---- the trail -----------------------------------------------------------------------------------------------------


def test_the_trail_has_one_line_for_each_thing_that_was_done(home: Home) -> None:
    number = home.request()
    home.run()
    home.run()

    events = [entry.event for entry in home.parts.ledger.entries()]
    words = [event.what for event in events]
    assert words[:4] == ["assessed", "witnessed", "attempt", "proposed"]
    assert words[-4:] == ["decided", "merged", "released", "deployed"]
    assert words.count("checked") == len(home.parts.checks)
    assert words.count("reviewed") == 3
    assert {event.request for event in events} <= {number, None}
    assert next(event for event in events if event.what == "proposed").actor == AUTHOR


def test_what_a_kill_kept_from_the_trail_is_recorded_by_the_next_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.request()
    record, lost = home.parts.ledger.record, {"proposed", "merged", "released", "deployed"}

    def recording(event: Event) -> Any:
        if event.what in lost:
            raise KeyboardInterrupt
        return record(event)

    monkeypatch.setattr(home.parts.ledger, "record", recording)
    for what in ("proposed", "merged", "released", "deployed"):
        with pytest.raises(KeyboardInterrupt):
            home.run()
        lost.remove(what)

    home.run()

    words = [entry.event.what for entry in home.parts.ledger.entries()]
    assert [words.count(what) for what in ("proposed", "merged", "released", "deployed")] == [1, 1, 1, 1]


def test_two_runs_on_one_repository_take_turns_and_do_nothing_twice(tmp_path: Path) -> None:
    home = Home.founded(tmp_path / "skills").bare()
    for number in range(2):
        home.request(f"Count words {number}", f"How many words has text number {number}?")
    spawn = multiprocessing.get_context("forkserver")
    runs = [spawn.Process(target=_run_slowly, args=(home.path, name)) for name in ("one-count", "two-count")]
    for run in runs:
        run.start()
    for run in runs:
        run.join()

    assert [run.exitcode for run in runs] == [0, 0]
    assert {request.closed_as for request in home.forge.requests("all")} == {"done"}
    words = [entry.event.what for entry in home.parts.ledger.entries()]
    assert [words.count(what) for what in ("assessed", "proposed", "merged", "deployed")] == [2, 2, 2, 2]
    assert home.registry().revision == 2


# ---- what the tests above use --------------------------------------------------------------------------------------


def _run_slowly(path: Path, name: str) -> None:
    """A run of another process, whose model takes its time."""

    def assessed(question: Any) -> dict[str, Any]:
        time.sleep(0.3)
        return an_assessment(name, contract=a_contract(name if question.variables["skills"] else f"{name}-first"))

    Home(path, answers(assess=assessed)).bare().run()


def _a_case(text: str, words: int) -> dict[str, Any]:
    return {"name": f"counts {text}", "clause": 0, "inputs": {"text": text}, "expect": {"outputs": {"words": words}}}


def _broken(*_: Any, **__: Any) -> Any:
    raise CouldNotTell("The disk is full.")


def _refused(*_: Any, **__: Any) -> Any:
    raise Refused("It did not become healthy.")


def test_work_that_goes_round_in_a_circle_is_stopped_and_said_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.request()
    monkeypatch.setattr("agent.pipeline.CIRCLE", 5)
    monkeypatch.setattr(type(home.forge), "say", lambda *args, **kwargs: None)  # nothing that is written down can be read back

    outcome = home.place.pipeline.run()

    assert len(outcome.moved) == 5
    assert [(str(work), type(error)) for work, error in outcome.troubled] == [("#1", CouldNotTell)]


# ---- stopped by a person ---------------------------------------------------------------------------------------------


def test_a_person_who_stops_a_proposal_breaks_off_the_reviewers_that_are_asked(tmp_path: Path) -> None:
    """The calls of the model end with nothing said; what one of them had taken is counted."""

    def hang(question: Any) -> Any:
        if not home.forge.proposal(2).labels:
            people.hold(home.parts, 2, "bob", "not now")
        pause(60)
        raise AssertionError("nobody broke it off")

    home = a_home(tmp_path, review_security=lambda question: hang(question) if "problem" in question.variables else "no judgement")
    home.request()

    outcome = home.run()

    assert [step.why for _, step in outcome.waiting] == ["It is on hold; `skillops retry 2` lets it go on."] and outcome.troubled == []
    assert "security" not in {review.reviewer for review in home.forge.reviews(2, home.proposal(2).head)}
    (stopped,) = home.ledger("stopped")
    assert (stopped.actor, stopped.request, stopped.tokens) == ("bob", 1, 10)
    home.retry(2)
    home.model._answers["review-security"] = lambda question: {"verdict": "approve", "summary": "It is fine.", "remarks": []}
    assert home.run().exit_code == 0 and home.proposal(2).state == "merged"


def test_a_request_that_is_withdrawn_stops_its_author_and_is_closed(tmp_path: Path) -> None:
    def hang(question: Any) -> Any:
        people.withdraw(home.parts, 1, "ada", "I found another way.")
        pause(60)
        raise AssertionError("nobody broke it off")

    home = a_home(tmp_path, author=hang)
    number = home.request()

    home.run()

    assert home.forge.request(number).closed_as == "withdrawn"
    assert [event.actor for event in (*home.ledger("withdrawn"), *home.ledger("stopped"))] == ["ada", "ada"]
    assert home.ledger("attempt") == [] and home.run().moved == []
    with pytest.raises(UsageError, match="taken back already"):
        people.withdraw(home.parts, number, "ada", "")

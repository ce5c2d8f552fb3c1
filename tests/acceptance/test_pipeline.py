"""From a request to a skill that answers, with everything real but the model's words."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.progress import Stage
from agent.domain.proposal import OUT_OF_BUDGET
from agent.domain.release import Service
from agent.domain.skill import WITNESS_PATH
from agent.errors import ModelUnavailable, Refused
from agent.manifest_file import read_manifest
from agent.pipeline import Outcome
from agent.ports import Deployment
from agent.stages.proposing import propose_retire, propose_rollback
from tests.acceptance.conftest import Founding
from tests.acceptance.harness import (
    CLAUSES,
    CODE,
    TESTS,
    WRONG_CODE,
    WRONG_TESTS,
    Home,
    a_contract,
    a_draft,
    a_judgement,
    a_remark,
    an_assessment,
    answers,
    witness_cases,
)

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]


def stages(outcome: Outcome) -> list[Stage]:
    return [step.stage for _, step in outcome.moved]


def refuse_to_deploy(home: Home, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """As where a skill passes its checks and does not become healthy where it is to serve."""
    deploy = home.parts.runtime.deploy

    def refusing(deployment: Any) -> Any:
        if deployment.version == version:
            raise Refused("It did not become healthy.", why="It stopped with status 1.")
        return deploy(deployment)

    monkeypatch.setattr(home.parts.runtime, "deploy", refusing)


LONGER = a_contract(description="Count the words of a text, hyphens too. Use when somebody asks how long a text is.")
EXTENDED_CODE = CODE.replace(".split()", '.replace("-", " ").split()')
EXTENDED_TESTS = TESTS + '\n\ndef test_hyphens_part_words():\n    assert execute({"text": "a-b"}, {}) == {"words": 2}\n'


def an_extension(**traits: Any) -> dict[str, Any]:
    return an_assessment(verdict="extend", skill="word-count", reason="hyphens part words too", contract=LONGER, **traits)


def one_more_case() -> dict[str, Any]:
    case = {"name": "a hyphen parts words", "clause": 0, "inputs": {"text": "well-known"}, "expect": {"outputs": {"words": 2}}}
    return {"cases": [case]}


def grown(founded: Founding, **said: Any) -> Home:
    """A repository whose word-count is at 1.1.0, after a second request."""
    model = answers(
        assess=[an_assessment(), an_extension()], witness=[witness_cases(), one_more_case()],
        author=[a_draft(), a_draft(EXTENDED_CODE, EXTENDED_TESTS)], **said,
    )  # fmt: skip
    home = founded(model)
    home.request()
    home.run()
    home.request("Count hyphens", "well-known has 2 words")
    assert home.run().exit_code == 0
    return home


# ---- from a request to a skill -------------------------------------------------------------------------------------


def test_a_request_becomes_a_deployed_skill_that_answers(founded: Founding) -> None:
    home = founded()
    number = home.request()

    outcome = home.run()

    assert stages(outcome) == [
        Stage.ASSESS, Stage.PROPOSE, Stage.CHECK, Stage.REVIEW, Stage.MERGE, Stage.RELEASE, Stage.DEPLOY, Stage.REPORT,
    ]  # fmt: skip
    assert (outcome.exit_code, home.forge.request(number).closed_as) == (0, "done")
    entry = home.registry().skills[0]
    assert (home.registry().revision, entry.name, entry.version) == (1, "word-count", "1.0.0")
    assert (entry.proposal, entry.approvals, entry.origin) == (home.proposal().number, ("correctness", "fit", "security"), "proposal")
    assert home.call("to be or not") == {"words": 4}
    assert {result.outcome for result in home.forge.checks(entry.proposal or 0, home.proposal().head).results} == {"passed"}
    assert home.parts.ledger.tampered() is None


def test_a_second_run_finds_nothing_to_do(founded: Founding) -> None:
    home = founded()
    home.request()
    home.run()
    lines, main = len(home.parts.ledger.entries()), home.forge.head("main")

    outcome = home.reopened({}).run()

    assert (outcome.moved, outcome.waiting, outcome.troubled) == ([], [], [])
    assert (len(home.parts.ledger.entries()), home.forge.head("main")) == (lines, main)


def test_a_second_request_extends_the_skill(founded: Founding) -> None:
    home = grown(founded)
    assert [(entry.version, entry.proposal) for entry in home.registry().skills] == [("1.1.0", 4)]
    assert home.registry().revision == 2
    assert home.call("well-known fact") == {"words": 3}
    assert [service.version for service in home.parts.runtime.services()] == ["1.1.0"]


# ---- what the checks and the reviewers find ------------------------------------------------------------------------


def test_a_check_that_fails_sends_the_author_back_who_learns_the_clause_and_never_the_case(founded: Founding) -> None:
    home = founded(answers(author=[a_draft(WRONG_CODE, WRONG_TESTS), a_draft()]))
    home.request()

    outcome = home.run()

    assert stages(outcome)[:4] == [Stage.ASSESS, Stage.PROPOSE, Stage.CHECK, Stage.PROPOSE]
    assert outcome.exit_code == 0
    assert [event.outcome for event in home.ledger("decided")] == ["revise", "merge"]
    told = home.model.of("author")[1].variables["mend"]
    assert {f"the skill does not do what the request asks: {clause}" for clause in CLAUSES} <= {problem["message"] for problem in told}
    asked = "\n".join(message.content for question in home.model.asked if question.purpose != "witness" for message in question.messages)
    assert "witness case" not in asked
    assert not any("a\\tb" in str(question.variables) for question in home.model.asked if question.purpose != "witness")
    assert home.call("a\tb") == {"words": 2}


def test_a_remark_whose_call_fails_sends_the_author_back(founded: Founding) -> None:
    hyphens = {"Count words, hyphens part them too.": a_remark("well-known", 2)}
    home = founded(answers(
        author=[a_draft(), a_draft(EXTENDED_CODE, EXTENDED_TESTS)],
        review_correctness=[a_judgement("revise", list(hyphens.values())), a_judgement()],
    ))  # fmt: skip
    home.request()

    outcome = home.run()

    assert outcome.exit_code == 0
    assert [event.data["rule"] for event in home.ledger("decided")] == ["remark-blocks", "all-agree"]
    assert home.model.of("author")[1].variables["mend"][0]["source"] == "review by correctness"
    assert home.call("well-known") == {"words": 2}


def test_a_remark_whose_call_does_not_fail_is_a_comment_and_blocks_nothing(founded: Founding) -> None:
    home = founded(answers(review_fit=[a_judgement("revise", [a_remark("one two three", 3)])]))
    home.request()

    outcome = home.run()

    assert (outcome.exit_code, len(home.model.of("author"))) == (0, 1)
    fit = next(review for review in home.forge.reviews(home.proposal().number, home.proposal().head) if review.reviewer == "fit")
    assert (fit.verdict, fit.remarks[0].reproduced) == ("approve", False)
    assert home.proposal().state == "merged"


# ---- budgets and people --------------------------------------------------------------------------------------------


def test_out_of_budget_the_work_is_a_draft_that_says_what_fails_and_retry_takes_it_up_again(founded: Founding) -> None:
    failing = a_draft(CODE.replace("len(", "1 + len("))
    home = founded(answers(author=[failing, failing, a_draft()]))
    home.write_policy(budget={"attempts": 2})
    home.request()

    outcome = home.run()

    draft = home.proposal()
    assert outcome.exit_code == 3
    assert (draft.draft, draft.labels) == (True, (OUT_OF_BUDGET,))
    assert "attempts: 2 of 2" in draft.body
    assert "test_skill.py" in draft.body
    assert home.run().exit_code == 3, "nothing but a person moves it"

    home.retry(draft.number)
    assert home.run().exit_code == 0
    merged = home.proposal()
    assert (merged.number, merged.state, merged.draft, merged.labels) == (draft.number, "merged", False, ())
    assert home.call("a b") == {"words": 2}


def test_a_rejected_draft_closes_its_request_with_the_reason(founded: Founding) -> None:
    home = founded(answers(author=[a_draft("def execute(:\n")]))
    home.write_policy(budget={"attempts": 1})
    number = home.request()
    home.run()

    home.says("reject", home.proposal().number, "we buy this")

    assert home.run().exit_code == 0
    assert (home.proposal().state, home.forge.request(number).closed_as) == ("closed", "refused")
    assert "we buy this" in home.said_on(number)


def test_without_a_model_a_persons_skill_waits_for_a_person_and_an_approval_merges_it(founded: Founding) -> None:
    home = founded({})
    proposal = home.propose_by_hand("eve")

    outcome = home.run()

    assert outcome.exit_code == 3
    assert "could not tell" in outcome.waiting[0][1].why
    assert {result.outcome for result in home.forge.checks(proposal.number, proposal.head).results} == {"passed"}

    home.says("approve", proposal.number)
    assert home.run().exit_code == 0
    entry = home.registry().skills[0]
    assert (entry.version, entry.approvals) == ("1.0.0", ("bob",))
    assert home.call("a b") == {"words": 2}
    assert home.run().moved == [], "it is done, though nobody requested it"


def test_a_failed_check_is_never_merged_whoever_approves(founded: Founding) -> None:
    home = founded()
    proposal = home.propose_by_hand("eve", CODE.replace("inputs[", "eval('1') and inputs["))
    assert home.run().exit_code == 3

    home.says("approve", proposal.number)

    outcome = home.run()
    assert outcome.exit_code == 3
    assert "failed" in outcome.waiting[0][1].why
    assert home.proposal().state == "open"


def test_a_reviewer_that_could_not_tell_is_asked_anew_after_retry_in_the_same_process_too(founded: Founding) -> None:
    home = founded(answers(review_fit=[ModelUnavailable("The model is down."), a_judgement("revise", [a_remark("a b", 2)])]))
    home.request()
    assert home.run().exit_code == 3

    home.retry(home.proposal().number)

    assert home.run().exit_code == 0
    fit = next(review for review in home.forge.reviews(home.proposal().number, home.proposal().head) if review.reviewer == "fit")
    assert fit.remarks[0].reproduced is False, "it was tried on a skill that was started anew"


# ---- going back ----------------------------------------------------------------------------------------------------


def test_what_does_not_become_healthy_is_taken_back_and_the_old_version_serves_on(founded: Founding, monkeypatch: pytest.MonkeyPatch) -> None:
    home = founded(answers(
        assess=[an_assessment(), an_extension()], witness=[witness_cases(), one_more_case()],
        author=[a_draft(), a_draft(EXTENDED_CODE, EXTENDED_TESTS)],
    ))  # fmt: skip
    home.request()
    home.run()
    refuse_to_deploy(home, monkeypatch, "1.1.0")
    number = home.request("Count hyphens", "well-known has 2 words")

    outcome = home.run()

    failed, revert = home.proposal(4), home.proposal()
    assert outcome.exit_code == 0
    assert (failed.state, failed.labels) == ("merged", ("deploy-failed",))
    assert (revert.kind, revert.state, revert.labels) == ("revert", "merged", ("done",))
    assert home.forge.request(number).closed_as == "refused"
    assert "It stopped with status 1." in home.said_on(number)
    assert f"#{revert.number} takes it back" in home.said_on(number)
    assert [(entry.version, entry.proposal) for entry in home.registry().skills] == [("1.1.1", revert.number)]
    assert home.call("well-known") == {"words": 1}
    assert len(home.ledger("deploy_failed")) == 1
    assert "reused from #2" in {result.summary for result in home.forge.checks(revert.number, revert.head).results}


def test_a_release_that_waits_for_a_secret_is_no_fault_of_the_version(founded: Founding, monkeypatch: pytest.MonkeyPatch) -> None:
    home = founded()
    deploy, vault = home.parts.runtime.deploy, home.parts.vault

    def deploy_with_secret(deployment: Deployment) -> Service:
        vault.values(deployment.skill, ["API_KEY"])
        return deploy(deployment)

    monkeypatch.setattr(home.parts.runtime, "deploy", deploy_with_secret)
    number = home.request()

    outcome = home.run()

    assert outcome.exit_code == 3
    assert [(step.state, step.waiting_for) for _, step in outcome.waiting] == [("released", "person")]
    assert "skillops secret set API_KEY" in outcome.waiting[0][1].why
    assert "`skillops secret set API_KEY`" in home.said_on(number)
    assert home.ledger("deploy_failed") == [] and home.proposal().labels == ()
    assert home.forge.request(number).state == "open"

    vault.set("API_KEY", "correct horse", "ada")
    assert home.run().exit_code == 0
    assert home.forge.request(number).closed_as == "done"
    assert [proposal.kind for proposal in home.forge.proposals("all")] == ["new"]


def test_a_first_version_that_does_not_become_healthy_is_retired(founded: Founding, monkeypatch: pytest.MonkeyPatch) -> None:
    home = founded()
    refuse_to_deploy(home, monkeypatch, "1.0.0")
    number = home.request()

    outcome = home.run()

    assert outcome.exit_code == 0
    assert home.forge.request(number).closed_as == "refused"
    assert [(entry.version, entry.status) for entry in home.registry().skills] == [("1.0.1", "retired")]
    assert list(home.parts.runtime.services()) == []


def test_a_rollback_passes_the_gates_with_the_verdicts_of_the_tree_that_it_restores(founded: Founding) -> None:
    home = grown(founded)
    asked = len(home.model.asked)
    files = home.forge.files(home.proposal(2).merged_commit or "", "skills/word-count")

    rollback = propose_rollback("word-count", "1.0.0", files, "ada", home.forge)
    outcome = home.run()

    assert outcome.exit_code == 0
    merged = home.proposal(rollback.number)
    told = {result.name: (result.outcome, result.summary) for result in home.forge.checks(merged.number, merged.head).results}
    assert {name for name, (_, summary) in told.items() if summary == "reused from #2"} == {
        "style", "security", "secrets", "dependencies", "tests", "contract",
    }  # fmt: skip
    assert {result for result, _ in told.values()} == {"passed"}
    assert {review.summary for review in home.forge.reviews(merged.number, merged.head)} == {"reused from #2"}
    assert (merged.state, len(home.model.asked)) == ("merged", asked)
    assert [(entry.version, entry.proposal) for entry in home.registry().skills] == [("1.1.1", merged.number)]
    assert home.call("well-known") == {"words": 1}
    assert home.forge.read("main", f"skills/word-count/{WITNESS_PATH}") == files[WITNESS_PATH]


def test_a_rollback_that_was_changed_by_hand_is_judged_anew(founded: Founding) -> None:
    home = grown(founded)
    files = home.forge.files(home.proposal(2).merged_commit or "", "skills/word-count")
    rollback = propose_rollback("word-count", "1.0.0", files, "ada", home.forge)
    home.commit({"skills/word-count/skill.py": CODE.replace("How many", "The number of").encode()}, rollback.branch)

    home.run()

    changed = home.proposal(rollback.number)
    assert not any("reused" in result.summary for result in home.forge.checks(changed.number, changed.head).results)
    scope = next(result for result in home.forge.checks(changed.number, changed.head).results if result.name == "scope")
    assert (scope.outcome, changed.state) == ("failed", "open"), "it brings other cases than main holds, to other code than they were written for"


def test_a_rollback_to_a_version_without_witness_cases_passes(founded: Founding) -> None:
    home = founded({})
    first = home.propose_by_hand("eve")
    home.run()
    home.says("approve", first.number)
    home.run()
    home = home.reopened(answers(assess=[an_extension()], author=[a_draft(EXTENDED_CODE, EXTENDED_TESTS)]))
    home.request("Count hyphens", "well-known has 2 words")
    assert home.run().exit_code == 0
    files = home.forge.files(home.proposal(first.number).merged_commit or "", "skills/word-count")
    assert WITNESS_PATH not in files

    rollback = propose_rollback("word-count", "1.0.0", files, "ada", home.forge)
    outcome = home.run()

    report = home.forge.checks(rollback.number, home.proposal(rollback.number).head)
    assert (outcome.exit_code, {result.outcome for result in report.results}) == (0, {"passed"})
    assert home.registry().skills[0].version == "1.1.1"


def test_a_retired_skill_leaves_the_runtime_and_keeps_its_history(founded: Founding) -> None:
    home = founded()
    home.request()
    home.run()

    retire = propose_retire("word-count", "ada", home.forge)
    outcome = home.run()

    assert outcome.exit_code == 0
    assert home.proposal(retire.number).state == "merged"
    assert [(entry.version, entry.status) for entry in home.registry().skills] == [("1.0.1", "retired")]
    assert list(home.parts.runtime.services()) == []
    assert "retired" in home.said_on(retire.number)
    assert list(home.parts.catalog.search("count words", limit=3)) == []


# ---- what runs and what the registry holds -------------------------------------------------------------------------


def test_a_runtime_that_serves_another_version_than_the_registry_holds_is_put_right(founded: Founding) -> None:
    home = grown(founded)
    older = next(entry for entry in [home.entry_at(home.proposal(2).merged_commit or "")] if entry.version == "1.0.0")
    home.serve(older)
    assert home.call("well-known") == {"words": 1}

    assert home.run().exit_code == 0

    assert home.call("well-known") == {"words": 2}


def test_a_skill_pushed_to_main_by_hand_is_released_and_a_broken_one_beside_it_is_told(founded: Founding) -> None:
    home = founded()
    home.request()
    home.run()
    before = home.registry_bytes()
    block = before[before.index(b"  word-count:") :]
    manifest = home.forge.read("main", "skills/word-count/skill.yaml") or b""
    good = {path: data.replace(b"word-count", b"a-count") for path, data in home.forge.files("main", "skills/word-count").items()}
    home.commit({f"skills/a-count/{path}": data for path, data in good.items()})
    home.commit({"skills/broken/skill.yaml": manifest.replace(b"name: word-count", b"name: [")})
    home.commit({"skills/other/skill.yaml": manifest})

    outcome = home.run()

    assert outcome.exit_code == 4
    assert [str(error).split(":")[0] for _, error in outcome.troubled] == ["skills/broken/skill.yaml", "skills/other/skill.yaml"]
    assert [entry.name for entry in home.registry().skills] == ["a-count", "word-count"]
    assert home.registry().revision == 2
    assert home.registry_bytes().endswith(block), "the other block is as it was, byte for byte"
    entry = home.registry().skills[0]
    assert (entry.origin, entry.proposal, entry.approvals) == ("bundled", None, ())

    home.commit({f"skills/a-count/{path}": None for path in good} | {"skills/broken/skill.yaml": None, "skills/other/skill.yaml": None})
    assert home.run().exit_code == 0
    assert [entry.name for entry in home.registry().skills] == ["word-count"]
    assert home.registry().revision == 3
    assert read_manifest(manifest, "skill.yaml").name == "word-count"

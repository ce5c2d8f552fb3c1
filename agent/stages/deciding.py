"""Deciding: verdicts and policy in, a Decision out. Arithmetic alone: no I/O, no clock.

`RULES` is the whole of it: the first row that speaks wins, and the decision carries the row's name. Every gate
stands before the last row, so whatever is not known to be right waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.domain.check import CheckReport, Outcome
from agent.domain.decision import Decision, Policy, Problem, Risk, Spent
from agent.domain.evidence import Evidence
from agent.domain.proposal import HOLD, OVERTAKEN, Proposal, Written
from agent.domain.review import Review
from agent.domain.wording import counted, together


def decide(
    proposal: Proposal,
    report: CheckReport | None,
    reviews: Sequence[Review],
    policy: Policy,
    *,
    risk: Risk,
    risk_reasons: Sequence[str] = (),
    check_names: Sequence[str],
    reviewer_names: Sequence[str],
    changed_paths: Sequence[str],
    spent: Spent | None = None,
    revisable: bool = True,
    overtaken: str = "",
    excess: Sequence[Problem] = (),
    for_person: Sequence[Problem] = (),
    written: Sequence[Written] = (),
) -> Decision:
    """What happens to `proposal` at its head.

    Verdicts on other heads never count. `changed_paths` are relative to the repository's root; `spent` is what the
    request has used, None where there is no request. `revisable`: the frozen contract is at hand for the author. `overtaken` says how the
    skill changed on main since the proposal was begun; empty where it did not. `excess`: what its manifest asks beyond the policy's limits.
    `for_person`: what was found on the way here that a person is to look at. `written`: by whom its commits are, where somebody approved it.
    """
    seen = Evidence(
        proposal=proposal, report=report if report and report.head == proposal.head else None,
        reviews=tuple(review for review in reviews if review.head == proposal.head), policy=policy, risk=risk,
        risk_reasons=tuple(risk_reasons), check_names=tuple(check_names), reviewer_names=tuple(reviewer_names),
        changed_paths=tuple(changed_paths), spent=spent, revisable=revisable, overtaken=overtaken, excess=tuple(excess),
        for_person=tuple(for_person), written=tuple(written),
    )  # fmt: skip
    for rule, applies in RULES:
        if said := applies(seen):
            return said.model_copy(update={"rule": rule})
    raise AssertionError("the last row of the table always speaks")


# ---- the rows ------------------------------------------------------------------------------------------------------


def _person_rejected(seen: Evidence) -> Decision | None:
    said = next((review for review in seen.people if review.verdict == "reject"), None)
    return seen.reject(f"{said.reviewer} rejected it: {said.summary}") if said else None


def _on_hold(seen: Evidence) -> Decision | None:
    return seen.wait(f"It is on hold; `skillops retry {seen.proposal.number}` lets it go on.") if HOLD in seen.proposal.labels else None


def _overtaken(seen: Evidence) -> Decision | None:
    """Its verdicts were given on another base. What the agent made is begun anew; a person brings their own branch up to date."""
    if not seen.overtaken:
        return None
    if seen.proposal.kind == "person":
        return seen.wait(f"{seen.overtaken} Rebase the branch on main, raise the version above that, and push.", "author")
    then = "Its request is assessed anew." if seen.proposal.request else "Propose it again if it is still wanted."
    return seen.reject(f"{seen.overtaken} {then}")


def _draft(seen: Evidence) -> Decision | None:
    told = f"It is a draft; its description says what failed. `skillops retry {seen.proposal.number}` takes it up again."
    return seen.wait(told) if seen.proposal.draft else None


def _person_asked_revision(seen: Evidence) -> Decision | None:
    said = [review for review in seen.people if review.verdict == "revise"]
    if not said:
        return None
    problems = [problem for review in said for problem in _asked_of(review)]
    return seen.mend(f"{said[0].reviewer} asked for a change: {said[0].summary}", problems)


def _beyond_limits(seen: Evidence) -> Decision | None:
    told = "; ".join(problem.message for problem in seen.excess)
    return seen.mend(f"It asks for more than policy allows: {told}.", seen.excess) if told else None


def _checks_failed(seen: Evidence) -> Decision | None:
    failed = seen.report.of(Outcome.FAILED) if seen.report else ()
    if not seen.report or not failed:
        return None
    told = "; ".join(f"{result.name}: {result.summary}" for result in failed)
    return seen.mend(f"{counted(len(failed), 'check')} failed. {told}", Problem.of_report(seen.report))


def _checks_not_told(seen: Evidence) -> Decision | None:
    if seen.report and seen.report.covers(seen.check_names) and seen.report.outcome is Outcome.PASSED:
        return None
    given = {result.name: result for result in seen.report.results} if seen.report else {}
    unclear = [(result.name, result.summary) for result in given.values() if result.outcome is Outcome.COULD_NOT_TELL]
    unclear += [(name, "It has not run.") for name in seen.check_names if name not in given]
    told = together(unclear) or "No check has run."
    return seen.wait(f"It could not be told. {told} Then `skillops retry {seen.proposal.number}`.", "machine")


def _most_reviewers_reject(seen: Evidence) -> Decision | None:
    said = [review for review in seen.models if review.verdict == "reject"]
    if seen.approved or len(said) * 2 <= len(seen.reviewer_names):
        return None
    return seen.reject(_told(said))


def _a_reviewer_rejects(seen: Evidence) -> Decision | None:
    said = [review for review in seen.models if review.verdict == "reject"]
    return seen.ask_person(f"A reviewer rejects it. {_told(said)}") if said else None


def _remark_blocks(seen: Evidence) -> Decision | None:
    said = [review for review in seen.models if review.blocking]
    if seen.approved or not said:
        return None
    problems = [Problem.of_remark(review.reviewer, remark) for review in said for remark in review.blocking]
    return seen.mend(f"{counted(len(problems), 'remark')} with a reproducer that fails. {_told(said)}", problems)


def _own_approval(seen: Evidence) -> Decision | None:
    """Who wrote it, or some of it, approved, that does not count here, and without it nothing would move: said in a row of its own."""
    if not seen.barred or not any(row(seen) for row in (_no_quorum, _for_a_person, _protected_path, _policy_asks)):
        return None
    return seen.ask_person(" ".join(map(seen.barring, seen.barred)))


def _no_quorum(seen: Evidence) -> Decision | None:
    unsure = [review for review in seen.models if review.verdict == "could_not_tell"]
    if unsure:
        return seen.ask_person(f"{counted(len(unsure), 'reviewer')} could not tell. {_told(unsure)}")
    agreed, quorum = sum(review.verdict == "approve" for review in seen.models), seen.policy.quorum.at(seen.risk)
    return seen.ask_person(f"{agreed} of the {quorum} reviewers that {seen.risk} risk needs approved it.") if agreed < quorum else None


def _for_a_person(seen: Evidence) -> Decision | None:
    """What a check or a reviewer found that no machine may settle: text that speaks to whoever judges, a name like another's."""
    found = [*seen.for_person]
    found += [Problem.of_finding(name, each) for name, each in (seen.report.for_person if seen.report else ())]
    found += [Problem.of_remark(review.reviewer, each) for review in seen.models for each in review.remarks if each.kind == "injection"]
    told = "; ".join(f"{each.source}: {each.message}{f' ({each.place})' if each.place else ''}" for each in found[:5])
    return seen.ask_person(f"{counted(len(found), 'finding')} for a person: {told}.") if found else None


def _protected_path(seen: Evidence) -> Decision | None:
    touched = [path for path in seen.changed_paths if path.startswith(seen.policy.protected)]
    return seen.ask_person(f"It changes {touched[0]}, which is protected.") if touched else None


def _policy_asks(seen: Evidence) -> Decision | None:
    if not seen.policy.asks_person(seen.risk):
        return None
    reasons = f" (it {'; '.join(seen.risk_reasons)})" if seen.risk_reasons else ""
    return seen.ask_person(f"Policy ({seen.policy.autonomy}) asks a person at {seen.risk} risk{reasons}.")


def _all_agree(seen: Evidence) -> Decision | None:
    by = f" {', '.join(sorted(seen.approvals))} approved it." if seen.approvals else ""
    agreed = sum(review.verdict == "approve" for review in seen.models)
    return seen.merge(f"{counted(len(seen.check_names), 'check')} passed, {agreed} of {counted(len(seen.reviewer_names), 'reviewer')} approved.{by}")


# People come first; then facts, which nobody can overrule; then opinions, which an approval overrules; then what is reserved for people.
RULES: tuple[tuple[str, Callable[[Evidence], Decision | None]], ...] = (
    ("person-rejected", _person_rejected),
    ("on-hold", _on_hold),
    (OVERTAKEN, _overtaken),
    ("draft", _draft),
    ("person-asked-revision", _person_asked_revision),
    ("beyond-limits", _beyond_limits),
    ("checks-failed", _checks_failed),
    ("checks-could-not-tell", _checks_not_told),
    ("most-reviewers-reject", _most_reviewers_reject),
    ("a-reviewer-rejects", _a_reviewer_rejects),
    ("remark-blocks", _remark_blocks),
    ("self-approval", _own_approval),
    ("no-quorum", _no_quorum),
    ("finding-for-a-person", _for_a_person),
    ("protected-path", _protected_path),
    ("policy-asks-person", _policy_asks),
    ("all-agree", _all_agree),
)


def _asked_of(review: Review) -> tuple[Problem, ...]:
    """What a person wants changed: the sentence, and their remarks where there are any."""
    said = Problem(source=f"review by {review.reviewer}", message=review.summary)
    return (said, *(Problem.of_remark(review.reviewer, remark) for remark in review.remarks))


def _told(reviews: Sequence[Review]) -> str:
    return together([(review.reviewer, review.summary) for review in reviews])

"""Reviewing: the reviewers are asked side by side, and what they hold against a skill is tried on the skill.

A blocking remark brings a call that shows the fault. It is run against the built skill: a remark whose call does not
fail is shown and blocks nothing, so that no opinion alone can stop a proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Protocol

from agent.caller import anybodys, execute
from agent.domain.check import Subject
from agent.domain.event import Event
from agent.domain.progress import Situation
from agent.domain.proposal import Proposal
from agent.domain.release import Endpoint
from agent.domain.review import Remark, Review
from agent.domain.skill import WITNESS_PATH, Case, Manifest
from agent.errors import CouldNotTell, Refused
from agent.ports import Forge, Reviewed, Reviewer, Workbench

RunCase = Callable[[Endpoint, Case], str | None]


class Opened(Protocol):
    """The subject of a head with the bench that its checks used."""

    @property
    def subject(self) -> Subject: ...
    @property
    def bench(self) -> Workbench: ...


def review(
    proposal: Proposal,
    seen: Situation,
    opened: Opened,
    forge: Forge,
    reviewers: Sequence[Reviewer],
    workers: int,
    record: Callable[[Event], Any],
    neighbours: Sequence[str] = (),
) -> tuple[Review, ...]:
    """Asks the reviewers that have not spoken at this head, tries their remarks, posts and records what they say."""
    given = {review.reviewer for review in forge.reviews(proposal.number, proposal.head)}
    missing = [reviewer for reviewer in reviewers if reviewer.name not in given]
    reviewed = what_is_read(proposal, seen, opened.subject, neighbours)
    reviews = []
    for said in judge(reviewed, opened.subject.manifest, missing, opened.bench, workers):
        # Recorded first: what was paid for is counted, also where a kill comes in between and it is asked again.
        record(reviewed_event(proposal, said))
        forge.post_review(proposal.number, said)
        reviews.append(said)
    return tuple(reviews)


def reviewed_event(proposal: Proposal, said: Review) -> Event:
    """How a review comes into the trail."""
    return Event(
        stage="reviewing", what="reviewed", actor=said.reviewer, note=said.summary, request=proposal.request, proposal=proposal.number,
        skill=proposal.skill, commit=said.head, outcome=said.verdict, seconds=said.seconds, tokens=said.tokens, cost=said.cost,
    )  # fmt: skip


def what_is_read(proposal: Proposal, seen: Situation, subject: Subject, neighbours: Sequence[str] = ()) -> Reviewed:
    """What the reviewers are shown. The witness cases are not among the files."""
    request, contract = seen.request, seen.gap.contract if seen.gap else None
    return Reviewed(
        skill=proposal.skill, head=proposal.head, files=_text(subject.files), base_files=_text(subject.base_files),
        request=f"{request.title}\n\n{request.text}" if request else proposal.title,
        contract=contract.model_dump_json(indent=1) if contract else "", registry_neighbours=tuple(neighbours),
    )  # fmt: skip


def judge(
    reviewed: Reviewed, manifest: Manifest | None, reviewers: Sequence[Reviewer], bench: Workbench, workers: int, run_case: RunCase | None = None
) -> Iterator[Review]:
    """Every reviewer's verdict, in their order, with each blocking remark tried on the running skill."""
    for review in ask(reviewed, reviewers, workers):
        yield try_out(review, manifest, bench, run_case or run)


def ask(reviewed: Reviewed, reviewers: Sequence[Reviewer], workers: int) -> Iterator[Review]:
    """Every reviewer's opinion, in their order; what they remark is not tried."""
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="review") as pool:
        asked = [(copy_context(), reviewer) for reviewer in reviewers]  # a thread of the pool heeds whom this one does
        yield from pool.map(lambda each: each[0].run(_asked, each[1], reviewed), asked)


def run(endpoint: Endpoint, case: Case) -> str | None:
    """Why the skill's reply does not meet the case, or None where it does."""
    reply = execute(endpoint, anybodys("reproducer", case.inputs, 30.0))
    if reply.error_code == "unreachable":
        raise CouldNotTell("The skill could not be reached.", why=reply.error_message[:2000], next_step="Try again.")
    return case.expect.unmet(reply.success, reply.outputs, reply.error_code)


def _asked(reviewer: Reviewer, reviewed: Reviewed) -> Review:
    try:
        return reviewer.review(reviewed)
    except CouldNotTell as error:
        return Review(reviewer=reviewer.name, head=reviewed.head, verdict="could_not_tell", summary=error.fault)


def try_out(review: Review, manifest: Manifest | None, bench: Workbench, run_case: RunCase | None = None) -> Review:
    """The review with its blocking remarks tried, and the verdict that this leaves."""
    try:
        remarks = tuple(_tried_remark(remark, manifest, bench, run_case or run) if remark.blocking else remark for remark in review.remarks)
    except (CouldNotTell, Refused) as error:
        return review.model_copy(update={"verdict": "could_not_tell", "summary": f"{review.summary} (Its remarks could not be tried: {error})"})
    tried = review.model_copy(update={"remarks": remarks})
    if tried.blocking and review.verdict == "approve":
        return tried.model_copy(update={"verdict": "revise", "summary": f"{review.summary} (It approved, but what it remarked does fail.)"})
    if review.verdict == "revise" and not tried.blocking:
        shown = f"{review.summary} (It asked for a change, but showed no call that fails: its remarks are comments.)"
        return tried.model_copy(update={"verdict": "approve", "summary": shown})
    return tried


def _tried_remark(remark: Remark, manifest: Manifest | None, bench: Workbench, run_case: RunCase) -> Remark:
    """`reproduced` says whether the skill really fails the remark's call. One that no right skill could meet shows nothing."""
    case = remark.reproducer
    if case is None or (manifest and case.misfit(manifest.inputs, manifest.outputs, manifest.examples)):
        return remark.model_copy(update={"reproduced": False})
    return remark.model_copy(update={"reproduced": run_case(bench.trial(), case) is not None})


def _text(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files that are text, the witness cases left out."""
    shown = {}
    for path, data in sorted(files.items()):
        if path != WITNESS_PATH:
            with suppress(UnicodeDecodeError):
                shown[path] = data.decode()
    return shown

"""What the jobs of GitHub Actions do: each with the least that it needs, handing on what it found as a journal.

`draft` and `review` hold the model's key and no token that writes; `check` and `reproduce` run a proposal's code in the sandbox and hold
neither; `apply` holds the token, runs nothing, and believes a journal only as far as it can see for itself.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent import wiring
from agent.branch_ledger import BRANCH, BranchLedger
from agent.domain.check import CheckResult, Outcome
from agent.domain.progress import Stage, next_step
from agent.domain.proposal import Proposal
from agent.errors import HeadMoved, Refused, UsageError
from agent.forges.checkout import Checkout
from agent.journal import Checked, Job, Journal, Noting, NotingLedger, Recorded, Reviewed, apply, read_journal
from agent.mirror import Mirror
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.ports import Forge, LanguageModel, Ledger
from agent.settings import Settings
from agent.situation import Work, look
from agent.stages import checking, reviewing
from agent.workplace import Workplace

STEPS = 40  # of assessing and proposing in one job


def draft(root: Path, number: int, model: LanguageModel | None = None) -> Journal:
    """Assesses a request and drafts its skill, or mends its proposal, on a mirror. Nothing is written to GitHub."""
    settings, hub, trail = hub_of(root)
    request = hub.request(number)
    found = [each for each in hub.proposals("open") if each.request == number]
    with mirror_of(root) as mirror:
        mirror.request(request, hub.comments(number))
        for proposal in found:
            mirror.proposal(proposal, hub.comments(proposal.number), hub.reviews(proposal.number, proposal.head))
            for result in hub.checks(proposal.number, proposal.head).results:
                mirror.forge.post_check(proposal.number, result)
        mirror.trail(trail.entries(request=number))
        noting, parts = parts_on(settings, mirror, model)
        parts.sync()
        pipeline, work = Pipeline(parts), Work(request=number)
        for _ in range(STEPS):
            if next_step(look(parts, work)).stage not in (Stage.ASSESS, Stage.PROPOSE):
                break
            pipeline.advance(work)
        return Journal(job="draft", request=number, proposal=found[0].number if found else None, lines=tuple(noting.lines))


def check(root: Path, event: Path, pull: Path | None = None) -> Journal | None:
    """Runs the checks on the pull request of a `pull_request` event, or on what the merge queue made of one (`merge_group`; `pull` is the
    file of that pull request, as the API tells it). The clone holds the head; nothing is asked of GitHub.

    None of a pull request that is no proposal: it is left to the repository's own CI.
    """
    settings = Settings.load(root)
    with mirror_of(root) as mirror:
        told = json.loads(event.read_bytes())
        if pull is not None and "merge_group" in told:
            told = _in_queue(told["merge_group"], json.loads(pull.read_bytes()), mirror)
        proposal = _from_event(told, settings, mirror)
        if proposal is None:
            return None
        noting, parts = parts_on(settings, mirror, None)
        parts.sync()  # what it requires, and who requires it, is in the registry
        with checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger) as opened:
            checking.check(proposal, opened, parts.forge, parts.checks_of(proposal.skill), settings.workers, parts.record, parts.tell)
    return _journal("check", proposal, noting)


def review(root: Path, number: int, model: LanguageModel | None = None) -> Journal:
    """Asks the reviewers; what they remark is not tried yet, as this job holds the model's key."""
    settings, hub, trail = hub_of(root)
    with _proposal_on_mirror(root, number, hub, trail) as (proposal, mirror):
        noting, parts = parts_on(settings, mirror, model)
        parts.sync()
        seen = look(parts, Work(request=proposal.request, proposal=number))
        with checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger) as opened:
            reviewed = reviewing.what_is_read(proposal, seen, opened.subject, parts.neighbours(proposal.skill))
            said = reviewing.ask(reviewed, parts.panel(parts.policy()), settings.workers)
        noting.lines += [Reviewed(number=number, review=each) for each in said]
    return _journal("review", proposal, noting)


def reproduce(root: Path, journal: Journal) -> Journal:
    """Tries what reviewers remarked on the built skill, in the sandbox; holds no key at all."""
    settings, hub, trail = hub_of(root)
    if journal.proposal is None or journal.job != "review":
        raise UsageError("This is no journal of a review.", next_step="skillops actions review --number N --out FILE writes one.")
    lines: list[Any] = []
    with _proposal_on_mirror(root, journal.proposal, hub, trail) as (proposal, mirror):
        _same_head(proposal, journal)
        _, parts = parts_on(settings, mirror, None)
        parts.sync()
        with checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger) as opened:
            bench = parts.bench(proposal.skill, opened.bench)
            for line in journal.lines:
                if isinstance(line, Reviewed):
                    tried = reviewing.try_out(line.review, opened.subject.manifest, bench)
                    lines += [Reviewed(number=line.number, review=tried), Recorded(event=reviewing.reviewed_event(proposal, tried))]
    return journal.model_copy(update={"lines": tuple(lines)})


def enter(root: Path, journal: Journal, head: str | None = None, job: Job | None = None) -> None:
    """Does on GitHub what a journal says. `head` is the commit that the run which left it was of, as GitHub says, and `job` what it was for."""
    _, hub, trail = hub_of(root)
    _enter(journal, hub, trail, head, job)


def report(root: Path, left: Path, head: str, queue: str = "") -> tuple[Proposal, ...]:
    """Enters what the checks of the commit `head` left, for each open proposal that is at it; those come back. `queue` is the merge queue's
    branch where it made that commit: none comes back then, as the queue does the rest.

    Where they left nothing that counts, each check could not be told, and says why: whoever edits what judges gets no verdict.
    """
    _, hub, trail = hub_of(root)
    if queue:
        number, base = in_queue(queue)
        found = tuple(each.model_copy(update={"head": head, "base": base}) for each in hub.proposals("open") if each.number == number)
    else:
        number, found = None, tuple(each for each in hub.proposals("open") if each.head == head)
    for proposal in found:
        try:
            if not left.is_file():
                raise Refused("The checks left no journal.", next_step="Look at their run.")
            journal = read_journal(left.read_bytes())
            if journal.proposal != proposal.number:
                raise Refused("The journal is void.", why=f"It is of #{journal.proposal}.")
            _enter(journal, hub, trail, head, "check", proposal if queue else None)
        except Refused as fault:
            empty = Journal(job="check", request=proposal.request, proposal=proposal.number, head=head)
            apply(_completed(empty, proposal, fault.fault), hub, trail)
    if not found and (leave := getattr(hub, "leave_alone", None)):
        leave(head, wiring.CHECKS, number)
    return () if queue else found


def due(place: Workplace, work: Work) -> dict[str, str]:
    """What is to be done next for a piece of work: the `stage`, and the numbers of its `request` and `proposal`, empty where there is none."""
    place.parts.sync()
    seen = look(place.parts, work)
    proposal = seen.proposal.number if seen.proposal else ""
    return {"stage": next_step(seen).stage.value, "request": str(work.request or ""), "proposal": str(proposal)}


def in_queue(branch: str) -> tuple[int, str]:
    """The pull request that a branch of the merge queue is of, and the commit that it was put upon; UsageError where it is no such branch.

    GitHub makes those branches itself: gh-readonly-queue/main/pr-NUMBER-COMMIT.
    """
    found = re.fullmatch(r"(?:refs/heads/)?gh-readonly-queue/.+/pr-([1-9][0-9]*)-([0-9a-f]{40})", branch)
    if found is None:
        raise UsageError(f"{branch[:120]!r} is no branch of the merge queue.", next_step="This is for `on: merge_group`.")
    return int(found[1]), found[2]


def _enter(journal: Journal, hub: Forge, trail: Ledger, head: str | None, job: Job | None, queued: Proposal | None = None) -> None:
    """`queued`: the proposal as the merge queue made it, which need not be the one that was pushed."""
    if job is not None and journal.job != job:
        raise Refused("The journal is void.", why=f"It is of a {journal.job} job, and a {job} job should have left it.")
    if journal.job != "draft":
        proposal = queued or hub.proposal(journal.proposal or 0)
        if head is not None and journal.head != head:
            raise Refused("The journal is void.", why=f"It judges {(journal.head or '')[:12]}, and its run was of {head[:12]}.")
        _same_head(proposal, journal)
        _one_skill(proposal, hub, proposal.base if queued else hub.main)
        if journal.job == "check":
            journal = _completed(journal, proposal)
    apply(journal, hub, trail)


def _completed(journal: Journal, proposal: Proposal, summary: str = "The job left no result.") -> Journal:
    """With a could-not-tell for each check that left no result, so that a run that was cut short never looks like one that passed."""
    known = {line.result.name for line in journal.lines if isinstance(line, Checked)}
    lost = [
        Checked(number=proposal.number, result=CheckResult(name=name, outcome=Outcome.COULD_NOT_TELL, head=proposal.head, summary=summary))
        for name in wiring.CHECKS if name not in known
    ]  # fmt: skip
    return journal.model_copy(update={"lines": (*journal.lines, *lost)})


def _one_skill(proposal: Proposal, hub: Forge, base: str) -> None:
    """What judges a proposal may not be changed by it, so that nobody forges a verdict by editing what gives it."""
    folder = f"skills/{proposal.skill}/"
    outside = [change.path for change in hub.changes(base, proposal.head) if not change.path.startswith(folder)]
    if outside:
        raise Refused(
            "The journal is void.", why=f"#{proposal.number} changes {outside[0][:120]}, outside {folder}.",
            next_step="Propose the skill by itself, and the rest in a pull request of its own.",
        )  # fmt: skip


def _same_head(proposal: Proposal, journal: Journal) -> None:
    if journal.head != proposal.head:
        raise HeadMoved(f"#{proposal.number} was pushed to since the job began.", next_step="The push has started a run of its own.")


def _journal(job: Job, proposal: Proposal, noting: Noting) -> Journal:
    return Journal(job=job, request=proposal.request, proposal=proposal.number, head=proposal.head, lines=tuple(noting.lines))


def hub_of(root: Path) -> tuple[Settings, Forge, Ledger]:
    settings, checkout = wiring.settings_of(root)
    return settings, *wiring.forge_of(settings, checkout.kept)


@contextmanager
def mirror_of(root: Path) -> Iterator[Mirror]:
    """With main at the commit that the clone has checked out: the base, whatever a proposal brings."""
    with tempfile.TemporaryDirectory(prefix="skillops-mirror-", ignore_cleanup_errors=True) as folder:
        yield Mirror(Path(folder), Checkout.root_of(root), "HEAD")


@contextmanager
def _proposal_on_mirror(root: Path, number: int, hub: Forge, trail: Ledger) -> Iterator[tuple[Proposal, Mirror]]:
    proposal = hub.proposal(number)
    with mirror_of(root) as mirror:
        if proposal.request is not None:
            mirror.request(hub.request(proposal.request), hub.comments(proposal.request))
        mirror.proposal(proposal, hub.comments(number), hub.reviews(number, proposal.head))
        for result in hub.checks(number, proposal.head).results:
            mirror.forge.post_check(number, result)
        mirror.trail(trail.entries(request=proposal.request) if proposal.request is not None else trail.entries(proposal=number))
        yield mirror.forge.proposal(number), mirror


def parts_on(settings: Settings, mirror: Mirror, model: LanguageModel | None) -> tuple[Noting, Parts]:
    noting = Noting(mirror.forge)
    local = settings.model_copy(update={"forge": "local"})
    forge: Any = noting
    return noting, wiring.parts_of(
        local, mirror.kept, wiring.silent, model or wiring.model_of(settings), (forge, NotingLedger(mirror.ledger, noting))
    )  # type: ignore[arg-type]


def _from_event(told: dict[str, Any], settings: Settings, mirror: Mirror) -> Proposal | None:
    """The proposal of a pull request as the event tells it; None where it is none.

    The trail comes from the ledger's branch, where the clone has it.
    """
    from agent.forges.github_proposals import draft_of

    pull = told.get("pull_request")
    if not isinstance(pull, dict):
        raise UsageError("The event is of no pull request.", next_step="This command is for `on: pull_request`.")
    head, number = pull["head"]["sha"], int(pull["number"])
    mirror.fetch(head, f"pull/{number}")
    draft = draft_of(pull, settings.github_login, lambda: _touched(mirror, head))
    if draft is None:
        return None
    if mirror.holds(f"refs/remotes/origin/{BRANCH}"):
        mirror.fetch(f"refs/remotes/origin/{BRANCH}", BRANCH)
        mirror.trail(BranchLedger(mirror.forge).entries())
    mirror.forge.count_from(number)
    return mirror.forge.open_proposal(draft.model_copy(update={"branch": f"pull/{number}"}))


def _in_queue(group: dict[str, Any], pull: dict[str, Any], mirror: Mirror) -> dict[str, Any]:
    """The event of a pull request as the merge queue made it: its head, upon what stands before it in the queue."""
    number, base = in_queue(group["head_ref"])
    if pull["number"] != number:
        raise UsageError(f"#{pull['number']} is not what the merge queue made: that is #{number}.", next_step="Give the file of that pull request.")
    mirror.fetch(base, mirror.forge.main)
    return {"pull_request": {**pull, "head": {**pull["head"], "sha": group["head_sha"]}}}


def _touched(mirror: Mirror, head: str) -> set[str]:
    """The folders below skills/ in which something changes."""
    paths = (change.path.split("/") for change in mirror.forge.changes(mirror.forge.main, head))
    return {parts[1] for parts in paths if parts[0] == "skills" and len(parts) > 2}

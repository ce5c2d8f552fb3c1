"""Checking: a proposal's head is read from git objects, examined side by side, and told to the forge as results come."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agent.cases import WITNESSING
from agent.domain.check import FILES, NO_WITNESS, CheckReport, CheckResult, Finding, Outcome, Subject
from agent.domain.event import Event
from agent.domain.proposal import AGENT, Change, Proposal
from agent.domain.skill import WITNESS_PATH
from agent.manifest_file import witness_digest
from agent.ports import Builder, Check, Forge, Ledger, Runtime, Tell
from agent.workbench import Bench, examine, make_subject

Record = Callable[[Event], Any]
RESTORES = frozenset(("rollback", "revert", "retire"))
ANEW = frozenset(("scope", "manifest"))  # what a restored tree is checked for all the same: who changes what, and its version
UNSPENT = {"seconds": 0.0, "tokens": 0, "cost": 0.0}


class Opened(NamedTuple):
    """A subject with the bench that its checks and its reviewers' reproducers share."""

    subject: Subject
    bench: Bench


@contextmanager
def bench_for(proposal: Proposal, forge: Forge, builder: Builder, runtime: Runtime, ledger: Ledger) -> Iterator[Opened]:
    """The subject at the proposal's head, its snapshot in a throw-away folder; nothing is built or started until asked for."""
    folder = f"skills/{proposal.skill}"
    changes = forge.changes(proposal.base, proposal.head)
    files = {} if _too_many(proposal, changes) else forge.files(proposal.head, folder)
    with tempfile.TemporaryDirectory(prefix="skillops-") as temporary:
        subject = make_subject(
            proposal.skill, proposal.head, files, root=Path(temporary) / proposal.skill,
            base=proposal.base, base_files=forge.files(proposal.base, folder), changes=changes,
            witness_digest=recorded_witness(proposal, forge, ledger), kind=proposal.kind,
            others=[name for name in forge.children(proposal.base, "skills") if name != proposal.skill],
        )  # fmt: skip
        with Bench(subject, builder, runtime) as bench:
            yield Opened(subject, bench)


def check(proposal: Proposal, opened: Opened, forge: Forge, checks: Sequence[Check], workers: int, record: Record, tell: Tell) -> CheckReport:
    """Runs what has no result at this head yet, and posts and records each as it ends.

    Results that the forge already holds stand, so a killed run carries on where it was, and verdicts reused from
    another proposal (a rollback's) are posted before this is called. `tell` hears which checks begin. Of more files than a skill
    may have none is read: every check says so.
    """
    subject, bench = opened
    known = {result.name: result for result in forge.checks(proposal.number, proposal.head).results}

    def post(result: CheckResult) -> None:
        record(_event(proposal, result))  # first: where a kill comes in between, it is found again, and its key keeps it to one line
        forge.post_check(proposal.number, result)

    missing = [check for check in checks if check.name not in known]
    if count := _too_many(proposal, subject.changes):
        refused = {check.name: _refused(check.name, proposal, count) for check in missing}
        for result in refused.values():
            post(result)
        return CheckReport(head=proposal.head, results=tuple((known | refused)[check.name] for check in checks))
    for check in missing:
        tell(Event(stage="checking", what="started", actor=AGENT, request=proposal.request, proposal=proposal.number, data={"check": check.name}))
    found = {result.name: result for result in examine(missing, subject, bench, workers, post).results} if missing else {}
    return CheckReport(head=proposal.head, results=tuple((known | found)[check.name] for check in checks))


def _too_many(proposal: Proposal, changes: Sequence[Change]) -> int:
    """How many files of the skill a proposal brings, where that is more than a skill may have; else 0."""
    count = sum(change.status != "deleted" and change.path.startswith(f"skills/{proposal.skill}/") for change in changes)
    return count if count > FILES else 0


def _refused(name: str, proposal: Proposal, count: int) -> CheckResult:
    what = f"It brings {count:,} files of {proposal.skill}, and a skill has at most {FILES}: none was looked at."
    step = "Keep data out of the skill (an input, or its storage), push again, and it is checked."
    finding = Finding(message=f"{what} {step}", rule="size")
    return CheckResult(name=name, outcome=Outcome.FAILED, head=proposal.head, summary=what, findings=(finding,) if name == "scope" else ())


def recorded_witness(proposal: Proposal, forge: Forge, ledger: Ledger) -> str | None:
    """The digest that the witness cases must have; NO_WITNESS where there may be none, None where they must be as on the base.

    What the ledger holds for the request counts, the newest entry first. A proposal that restores a tree of main
    brings the cases that lay in that tree, and none where none did.
    """
    entries = ledger.entries(request=proposal.request) if proposal.request else ledger.entries(proposal=proposal.number)
    digests = [entry.event.data["witness_digest"] for entry in entries if entry.event.what in WITNESSING]
    if digests:
        return str(digests[-1])
    folder = f"skills/{proposal.skill}"
    files = forge.files(proposal.head, folder) if proposal.kind in RESTORES else {}
    if files and any(_alike(files, forge.files(line.commit, folder)) for line in forge.history(folder)):
        return witness_digest(files[WITNESS_PATH]) if WITNESS_PATH in files else NO_WITNESS
    return None


def _alike(files: Mapping[str, bytes], others: Mapping[str, bytes]) -> bool:
    """Whether two trees of a skill differ in its version and status at most."""
    return _unnumbered(files) == _unnumbered(others)


def _unnumbered(files: Mapping[str, bytes]) -> dict[str, bytes]:
    manifest = [line for line in files.get("skill.yaml", b"").splitlines() if line.strip() and not line.startswith((b"version:", b"status:"))]
    return {**files, "skill.yaml": b"\n".join(manifest)}


def reuse(proposal: Proposal, forge: Forge, record: Record) -> None:
    """Gives a proposal that restores a tree the verdicts that the tree was merged with, but for what its version bears on.

    The model reviews come first: where a kill comes in between, the checks are still missing and all is done again.
    """
    if proposal.kind not in RESTORES or (source := _restored(proposal, forge)) is None:
        return
    summary = f"reused from #{source.number}"
    given = {review.reviewer for review in forge.reviews(proposal.number, proposal.head)}
    for review in forge.reviews(source.number, source.head):
        if review.kind == "model" and review.verdict != "could_not_tell" and review.reviewer not in given:
            forge.post_review(proposal.number, review.model_copy(update={"head": proposal.head, "summary": summary, **UNSPENT}))
            record(Event(
                stage="reviewing", what="reviewed", actor=review.reviewer, note=summary, proposal=proposal.number, skill=proposal.skill,
                commit=proposal.head, outcome=review.verdict, key=f"reused:{proposal.number}:{proposal.head}:{review.reviewer}",
            ))  # fmt: skip
    known = {result.name for result in forge.checks(proposal.number, proposal.head).results}
    for result in forge.checks(source.number, source.head).of(Outcome.PASSED):
        if result.name not in ANEW | known:
            reused = result.model_copy(update={"head": proposal.head, "summary": summary, "seconds": 0.0})
            record(_event(proposal, reused))
            forge.post_check(proposal.number, reused)


def _restored(proposal: Proposal, forge: Forge) -> Proposal | None:
    """The newest proposal that was merged with this very tree, its version and status apart."""
    folder = f"skills/{proposal.skill}"
    files = forge.files(proposal.head, folder)
    merged = forge.proposals("merged", skill=proposal.skill)
    return next((each for each in reversed(merged) if _alike(files, forge.files(each.head, folder))), None)


def _event(proposal: Proposal, result: CheckResult) -> Event:
    return Event(
        stage="checking", what="checked", actor=AGENT, note=result.summary, request=proposal.request, proposal=proposal.number,
        skill=proposal.skill, commit=result.head, outcome=result.outcome, seconds=result.seconds, data={"check": result.name},
        key=f"check:{proposal.number}:{result.head}:{result.name}:{result.outcome}",
    )  # fmt: skip

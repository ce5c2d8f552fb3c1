"""The pipeline is a reconciler: it looks, does the one next step, and looks again.

`advance` is the whole of it. A crash anywhere is healed by looking again, so `run` can be killed at any moment and run
again, here or on another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from agent import messages
from agent.domain.decision import Decision
from agent.domain.event import Event
from agent.domain.progress import NextStep, Situation, Stage, next_step
from agent.domain.proposal import AGENT, DEPLOY_FAILED, Proposal
from agent.domain.request import Request
from agent.errors import CouldNotTell, HeadMoved, Refused, SkillOpsError
from agent.parts import Parts, Stopwatch
from agent.situation import Work, look, open_work
from agent.stages import assessing, checking, deploying, proposing, releasing, reviewing


@dataclass
class Outcome:
    """What a run came to. `waiting` and `troubled` are what could not move on, with why."""

    moved: list[tuple[Work, NextStep]] = field(default_factory=list)
    waiting: list[tuple[Work, NextStep]] = field(default_factory=list)
    troubled: list[tuple[Work, SkillOpsError]] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.moved += other.moved
        self.waiting += other.waiting
        self.troubled += other.troubled

    @property
    def exit_code(self) -> int:
        """4 where something could not be told, 3 where a person is waited for, else 0."""
        return CouldNotTell.exit_code if self.troubled else 3 if self.waiting else 0


class Pipeline:
    """Moves the open work of one repository."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._benches = ExitStack()
        self._bench: tuple[str, checking.Opened] | None = None
        self._do: dict[Stage, Callable[[Work, Situation], None]] = {
            Stage.ASSESS: self._assess, Stage.PROPOSE: self._propose, Stage.CHECK: self._check, Stage.REVIEW: self._review,
            Stage.MERGE: self._merge, Stage.CLOSE: self._close, Stage.RELEASE: self._release, Stage.DEPLOY: self._deploy,
            Stage.REPORT: self._report, Stage.REVERT: self._revert,
        }  # fmt: skip

    def run(self, only: Work | None = None, *, once: bool = False) -> Outcome:
        """Advances all open work (or `only` one) until nothing can move; with `once`, one step each."""
        with self.parts.alone(), self._benches:
            outcome = Outcome()
            self.parts.sync()
            done: set[Work] = set()
            while True:
                works = [work for work in ([only] if only else open_work(self.parts)) if work not in done]
                moved = [work for work in works if self._moved(work, outcome, done)]
                if only is None:
                    self._settle(outcome)
                if once or not moved:
                    return outcome

    def advance(self, work: Work) -> NextStep:
        """Looks, and does the one next step. What was done, or whom it waits for."""
        seen = look(self.parts, work)
        step = next_step(seen)
        if seen.decision and seen.proposal:
            self._announce(seen.proposal, seen, seen.decision)
        if act := self._do.get(step.stage):
            with self._timed(step, work, seen):
                act(work, seen)
        return step

    def _moved(self, work: Work, outcome: Outcome, done: set[Work]) -> bool:
        """Advances one piece of work; keeps a note where it cannot move, and leaves it alone for the rest of the run."""
        try:
            step = self.advance(work)
        except HeadMoved:
            return True  # somebody was faster: look again
        except SkillOpsError as error:
            self.parts.record(_stumble(work, error))
            outcome.troubled.append((work, error))
            done.add(work)
            return False
        if step.stage not in (Stage.WAIT, Stage.NOTHING):
            outcome.moved.append((work, step))
            return True
        if step.stage is Stage.WAIT:
            outcome.waiting.append((work, step))
        done.add(work)
        return False

    def _settle(self, outcome: Outcome) -> None:
        """Releases what main holds and the registry does not, and redeploys what runs but is no longer current."""
        parts = self.parts
        try:
            if names := releasing.unreleased(parts.forge, parts.catalog):
                releasing.release(names, parts.forge, parts.catalog, parts.builder, parts.sync, parts.record)
            for name in deploying.drifted(parts.catalog, parts.runtime.services()):
                self.deploy(name)
        except SkillOpsError as error:
            outcome.troubled.append((Work(), error))

    def deploy(self, name: str) -> None:
        """Makes the runtime serve what the registry holds of one skill."""
        entry = self.parts.catalog.entry(name)
        if entry is None:
            self.parts.runtime.remove(name)
        else:
            deploying.deploy(entry, self.parts.forge, self.parts.builder, self.parts.runtime, self.parts.record)

    # ---- the steps: each calls one stage ---------------------------------------------------------------------------

    def _assess(self, work: Work, seen: Situation) -> None:
        parts, request = self.parts, _request(seen)
        said = parts.forge.comments(request.number)
        gap = seen.gap
        if gap is None or seen.answered:
            hits = parts.catalog.search(f"{request.title} {request.text}", limit=6)
            manifests = [manifest for hit in hits if (manifest := parts.catalog.manifest(hit.entry.name))]
            gap = assessing.assess(request, said, manifests, parts.model, parts.record, taken=parts.is_taken)
            heard = max((comment.id for comment in said), default=0)
            parts.forge.say(request.number, messages.gap_comment(gap, request), author=AGENT, marker=f"{messages.GAP}-{heard}")
        if gap.verdict in ("covered", "refused"):
            parts.forge.close_request(request.number, gap.verdict)

    def _propose(self, work: Work, seen: Situation) -> None:
        parts = self.parts
        problems = seen.decision.problems if seen.decision else ()
        proposing.propose(_request(seen), seen.gap, seen.proposal, problems, parts.forge, parts.model, parts.author, parts.ledger,
                          parts.policy().budget, parts.record)  # fmt: skip

    def _check(self, work: Work, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        checking.check(proposal, self._opened(proposal), parts.forge, parts.checks, parts.settings.workers, parts.record, parts.tell)

    def _review(self, work: Work, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        reviewing.review(proposal, seen, self._opened(proposal), parts.forge, parts.panel(parts.policy()), parts.settings.workers, parts.record,
                         parts.neighbours(proposal.skill))  # fmt: skip

    def _merge(self, work: Work, seen: Situation) -> None:
        releasing.merge(_proposal(seen), self.parts.forge, self.parts.record)

    def _close(self, work: Work, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        why = seen.decision.why if seen.decision else "its proposal was closed."
        parts.forge.close_proposal(proposal.number)
        if seen.request is not None:
            parts.forge.say(seen.request.number, messages.declined_comment(proposal, why), author=AGENT, marker=messages.OUTCOME)
            parts.forge.close_request(seen.request.number, "refused")

    def _release(self, work: Work, seen: Situation) -> None:
        parts = self.parts
        names = releasing.unreleased(parts.forge, parts.catalog)
        releasing.release(names, parts.forge, parts.catalog, parts.builder, parts.sync, parts.record)

    def _deploy(self, work: Work, seen: Situation) -> None:
        try:
            self.deploy(_proposal(seen).skill)
        except Refused:
            self.parts.forge.label(_proposal(seen).number, add=[DEPLOY_FAILED])

    def _report(self, work: Work, seen: Situation) -> None:
        parts, request, proposal = self.parts, _request(seen), _proposal(seen)
        if entry := parts.catalog.entry(proposal.skill):
            parts.forge.say(request.number, messages.deployed_comment(entry, proposal), author=AGENT, marker=messages.OUTCOME)
        parts.forge.close_request(request.number, "done")

    def _revert(self, work: Work, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        failed = [line.event.note for line in parts.ledger.entries(proposal=proposal.number) if line.event.what == "deploy_failed"]
        why = failed[-1] if failed else "it did not become healthy."
        revert = proposing.propose_revert(proposal, parts.forge, why)
        if seen.request is not None and (entry := parts.catalog.entry(proposal.skill)):
            text = messages.deploy_failed_comment(entry, why, revert.number if revert else None)
            parts.forge.say(seen.request.number, text, author=AGENT, marker=messages.OUTCOME)
            parts.forge.close_request(seen.request.number, "refused")

    # ---- around the steps ------------------------------------------------------------------------------------------

    def _opened(self, proposal: Proposal) -> checking.Opened:
        """The subject and bench of a head, shared by its checks and its reviews, so that nothing is started twice."""
        if self._bench is None or self._bench[0] != proposal.head:
            self._benches.close()
            parts = self.parts
            opened = checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger)
            self._bench = proposal.head, self._benches.enter_context(opened)
        return self._bench[1]

    def _announce(self, proposal: Proposal, seen: Situation, decision: Decision) -> None:
        """Says a decision once: in the ledger and in the proposal's one sticky comment."""
        key = f"decided:{proposal.number}:{decision.head}:{decision.action}:{decision.rule}"
        told = messages.progress_comment(seen.report, seen.reviews, decision)
        self.parts.forge.say(proposal.number, told, author=AGENT, marker=messages.PROGRESS)
        self.parts.record(Event(
            stage="deciding", what="decided", actor="policy", request=proposal.request, proposal=proposal.number, skill=proposal.skill,
            commit=decision.head, outcome=decision.action, note=decision.why, data={"rule": decision.rule, "risk": decision.risk}, key=key,
        ))  # fmt: skip

    @contextmanager
    def _timed(self, step: NextStep, work: Work, seen: Situation) -> Iterator[None]:
        """Tells watchers that a step began and how long it took; the ledger holds what the stage itself records."""
        watch = Stopwatch()
        event = Event(
            stage=step.stage, what="started", actor="pipeline", request=work.request, proposal=seen.proposal.number if seen.proposal else None
        )
        self.parts.tell(event)
        try:
            yield
        finally:
            self.parts.tell(event.model_copy(update={"what": "finished", "seconds": watch.seconds}))


def _request(seen: Situation) -> Request:
    assert seen.request is not None, "the table of progress gives this step to requests alone"
    return seen.request


def _proposal(seen: Situation) -> Proposal:
    assert seen.proposal is not None, "the table of progress gives this step to proposals alone"
    return seen.proposal


def _stumble(work: Work, error: SkillOpsError) -> Event:
    return Event(stage="pipeline", what="stumbled", actor="pipeline", request=work.request, proposal=work.proposal,
                 outcome="could_not_tell", note=str(error), data={"code": error.code})  # fmt: skip

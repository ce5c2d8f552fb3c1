"""The pipeline is a reconciler: it looks, does the one next step, and looks again.

`advance` is the whole of it. A crash anywhere is healed by looking again, so `run` can be killed at any moment and run
again, here or on another machine. What is done in each step is in `steps.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from agent import messages, posted, slash
from agent.domain.decision import Decision
from agent.domain.event import Event
from agent.domain.progress import NextStep, Situation, Stage, State, next_step
from agent.domain.proposal import AGENT, DEPLOY_FAILED, Proposal
from agent.errors import CouldNotTell, HeadMoved, InQueue, MissingSecret, ModelUnavailable, SkillOpsError, Stopped, WaitsForPerson
from agent.milestones import milestones
from agent.parts import Parts, Stopwatch
from agent.situation import Work, look, open_work, parts_of
from agent.stages import deploying
from agent.steps import Steps

log = logging.getLogger("agent.pipeline")
MOVES = 20  # how often in one run a piece of work may find that a branch moved under it
CIRCLE = 100  # steps of one piece of work in one run; far more than its budget of attempts can bring


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
        if self.troubled or any(step.waiting_for == "machine" for _, step in self.waiting):
            return CouldNotTell.exit_code
        return WaitsForPerson.exit_code if any(step.waiting_for != "parts" for _, step in self.waiting) else 0


class Pipeline:
    """Moves the open work of one repository; only by `stages`, where those are named: the rest is another job's."""

    def __init__(self, parts: Parts, stages: frozenset[Stage] = frozenset(Stage)) -> None:
        self.parts, self.stages = parts, stages
        self._steps = Steps(parts)

    def run(self, only: Work | None = None, *, once: bool = False) -> Outcome:
        """Advances all open work (or `only` one), the oldest first, until nothing can move; with `once`, one step each.

        Each is taken as far as it goes before the next: a request is assessed with what the one before it brought.
        """
        outcome, moves = Outcome(), Counter[Work]()
        with self.parts.alone():
            try:
                self.parts.sync()
                if only is None and Stage.RELEASE in self.stages:
                    self._enter_what_main_holds(outcome)
                self._heed_what_people_wrote(outcome, only)
                while True:
                    before = len(outcome.moved)
                    outcome.waiting.clear()  # what one brought may have changed what another waits for
                    for work in self._with_parts(only) if only else open_work(self.parts):
                        while self._moved(work, outcome, moves) and not once:
                            pass
                    if once or len(outcome.moved) == before:
                        break
                if only is None and Stage.DEPLOY in self.stages:
                    self._redeploy_what_drifted(outcome)
            finally:
                self._steps.close()
        return outcome

    def _with_parts(self, only: Work) -> tuple[Work, ...]:
        """A piece of work with the requests that it was divided into: what they bring, it waits for."""
        return (only, *(Work(request=part.number) for part in parts_of(self.parts.forge, only.request)))

    def _heed_what_people_wrote(self, outcome: Outcome, only: Work | None) -> None:
        """Slash commands on open proposals, or on the one of a piece of work."""
        for proposal in self.parts.forge.proposals("open"):
            if only and (only.request, only.proposal or proposal.number) != (proposal.request, proposal.number):
                continue
            with self._noting(Work(request=proposal.request, proposal=proposal.number), outcome):
                slash.heed_all(self.parts, proposal.number)
                posted.warn_of_comments(self.parts, proposal.number)

    def advance(self, work: Work) -> NextStep:
        """Looks, and does the one next step. What was done, or whom it waits for. Raises Stopped where a person says stop to it."""
        with self.parts.halts.heeding(str(work)):  # from the look on: who stops it after that stops what follows
            return self._advanced(work)

    def _advanced(self, work: Work) -> NextStep:
        seen = look(self.parts, work)
        posted.warn(self.parts, seen)
        step = next_step(seen)
        if seen.decision and seen.proposal:
            self._announce(seen.proposal, seen, seen.decision)
        if step.state is not State.APPROVED:  # which is merged in a moment, and then shown
            self._show(seen, step)
        if step.stage not in self.stages:
            return step.model_copy(update={"stage": Stage.NOTHING})
        if act := self._steps.do.get(step.stage):
            with self._timed(step, work, seen):
                try:
                    act(seen)
                except InQueue:
                    self._show(seen, step)
                    raise
        return step

    def deploy(self, name: str) -> None:
        """Makes the runtime serve what the registry holds of one skill. Refused where it does not become healthy."""
        self._steps.deploy(name)

    # ---- around a step ----------------------------------------------------------------------------------------------

    def _moved(self, work: Work, outcome: Outcome, moves: Counter[Work]) -> bool:
        """Advances one piece of work; notes where it cannot move. What is in trouble is left alone for the rest of the run."""
        if any(work == other for other, _ in outcome.troubled):
            return False
        with self._noting(work, outcome):
            try:
                if work.request is not None and Stage.CLOSE in self.stages:
                    slash.heed_request(self.parts, work.request)
                step = self.advance(work)
            except HeadMoved:  # somebody was faster: look again
                moves[work] += 1
                if moves[work] > MOVES:
                    raise
                return True
            if step.stage not in (Stage.WAIT, Stage.NOTHING):
                outcome.moved.append((work, step))
                if sum(each == work for each, _ in outcome.moved) >= CIRCLE:
                    raise CouldNotTell(
                        f"{work} went through {CIRCLE} steps and is still {step.state}: what is done does not show when it is looked at.",
                        next_step="Report this with the output of `skillops explain`; `skillops run` tries again.",
                    )
                return True
            if step.stage is Stage.WAIT:
                outcome.waiting.append((work, step))
        return False

    @contextmanager
    def _noting(self, work: Work, outcome: Outcome) -> Iterator[None]:
        """What goes wrong with one piece of work is noted, and the others go on: one of the doors that let nothing through."""
        try:
            with self.parts.forge.looking():
                yield
        except MissingSecret as missing:
            waits = NextStep(state=State.RELEASED, stage=Stage.WAIT, why=f"{missing.fault} {missing.next_step}", waiting_for="person")
            outcome.waiting.append((work, waits))
        except Stopped as stopped:
            outcome.waiting.append((work, NextStep(state=State.WAITING, stage=Stage.WAIT, why=f"{stopped.who} stopped it.", waiting_for="person")))
            self.parts.record(Event(
                stage="pipeline", what="stopped", actor=stopped.who, request=work.request, proposal=work.proposal, tokens=stopped.tokens,
                cost=stopped.cost,
            ))  # fmt: skip
        except InQueue as queued:
            outcome.waiting.append((work, NextStep(state=State.APPROVED, stage=Stage.WAIT, why=queued.fault, waiting_for="machine")))
        except SkillOpsError as error:
            self._stumbled(work, error, outcome)
        except Exception as error:
            log.exception("%s could not go on", work)
            what = f"Something unexpected happened: {type(error).__name__}: {error}"
            self._stumbled(work, CouldNotTell(what, next_step="The details are on stderr; they make a good issue. Nothing is lost."), outcome)

    def _stumbled(self, work: Work, error: SkillOpsError, outcome: Outcome) -> None:
        """Notes what went wrong, and what it cost: an answer of a model that could not be used is paid for too."""
        outcome.troubled.append((work, error))
        tokens, cost = (error.tokens, error.cost) if isinstance(error, ModelUnavailable) else (0, 0.0)
        event = Event(
            stage="pipeline", what="stumbled", actor="pipeline", request=work.request, proposal=work.proposal, outcome="could_not_tell",
            note=error.fault, tokens=tokens, cost=cost, data={"code": error.code},
        )  # fmt: skip
        with suppress(CouldNotTell):  # on a full disk, say, the trail cannot be written either
            ledger = self.parts.ledger
            before = ledger.entries(request=work.request) if work.request else ledger.entries(proposal=work.proposal)
            again = bool(before) and (before[-1].event.what, before[-1].event.note) == ("stumbled", event.note)
            # What stands still for days is tried all the while, and entered once.
            self.parts.tell(event) if again and not tokens else self.parts.record(event)

    def _announce(self, proposal: Proposal, seen: Situation, decision: Decision) -> None:
        """Says a decision once: in the ledger and in the proposal's one sticky comment."""
        key = f"decided:{proposal.number}:{decision.head}:{decision.action}:{decision.rule}"
        told = messages.progress_comment(seen.report, seen.reviews, decision)
        self.parts.forge.say(proposal.number, told, author=AGENT, marker=messages.PROGRESS)
        self.parts.record(Event(
            stage="deciding", what="decided", actor="policy", request=proposal.request, proposal=proposal.number, skill=proposal.skill,
            commit=decision.head, outcome=decision.action, note=decision.why, data={"rule": decision.rule, "risk": decision.risk}, key=key,
        ))  # fmt: skip

    def _show(self, seen: Situation, step: NextStep) -> None:
        """Shows on a request how far it is, in its one sticky comment: at most one write a step, and none where nothing is new."""
        if seen.request is None:
            return
        attempts = self.parts.ledger.spent(seen.request.number).attempts if step.stage is Stage.PROPOSE else 0
        told, forge, number = milestones(seen, step, attempts), self.parts.forge, seen.request.number
        if told and not any((comment.marker, comment.text, comment.author) == (messages.PROGRESS, told, AGENT) for comment in forge.comments(number)):
            forge.say(number, told, author=AGENT, marker=messages.PROGRESS)

    @contextmanager
    def _timed(self, step: NextStep, work: Work, seen: Situation) -> Iterator[None]:
        """Tells watchers that a step began and how long it took; the ledger holds what the stage itself records."""
        watch = Stopwatch()
        number = seen.proposal.number if seen.proposal else None
        event = Event(stage=step.stage, what="started", actor="pipeline", request=work.request, proposal=number)
        self.parts.tell(event)
        try:
            yield
        finally:
            self.parts.tell(event.model_copy(update={"what": "finished", "seconds": watch.seconds}))

    # ---- what belongs to no piece of work ---------------------------------------------------------------------------

    def _enter_what_main_holds(self, outcome: Outcome) -> None:
        """Releases what a person pushed, or what a run that was cancelled left. A folder that is no skill is told."""
        with self._noting(Work(), outcome):
            for fault in self._steps.enter().values():
                self._stumbled(Work(), fault, outcome)

    def _redeploy_what_drifted(self, outcome: Outcome) -> None:
        """Makes the runtime serve what the registry holds, unless it could not: then a revert is on its way."""
        parts = self.parts
        with self._noting(Work(), outcome):
            for name in deploying.drifted(parts.catalog, parts.runtime.services()):
                entry = parts.catalog.entry(name)
                if entry and entry.proposal and DEPLOY_FAILED in parts.forge.proposal(entry.proposal).labels:
                    continue
                with self._noting(Work(), outcome):
                    self.deploy(name)

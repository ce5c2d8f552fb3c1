"""The steps: what the pipeline does in each state, each step one call of a stage and what is said of it on the forge.

Every step may be killed at any point and done again: what it finds done already it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from agent import messages
from agent.domain.event import Event
from agent.domain.progress import Situation, Stage
from agent.domain.proposal import AGENT, DEPLOY_FAILED, DEPLOYER, DONE, OVERTAKEN, Proposal
from agent.domain.registry import Entry
from agent.domain.request import Request, RequestDraft
from agent.domain.requirement import reach
from agent.domain.skill import digest_of
from agent.errors import MissingSecret, Refused, SkillOpsError
from agent.parts import Parts
from agent.situation import brought_by
from agent.stages import assessing, checking, deploying, proposing, releasing, reviewing


class Steps:
    """`do` is the step of each stage. The bench that a head's checks and reviews share is kept until `close`."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._benches = ExitStack()
        self._bench: tuple[str, str, checking.Opened] | None = None
        self.do: dict[Stage, Callable[[Situation], None]] = {
            Stage.ASSESS: self._assess, Stage.DIVIDE: self._divide, Stage.PROPOSE: self._propose,
            Stage.CHECK: self._check, Stage.REVIEW: self._review,
            Stage.MERGE: self._merge, Stage.CLOSE: self._close, Stage.RELEASE: self._release, Stage.DEPLOY: self._deploy,
            Stage.REPORT: self._report, Stage.REVERT: self._revert,
        }  # fmt: skip

    def close(self) -> None:
        """Ends what was started for checks and reviews."""
        self._bench = None
        self._benches.close()

    def enter(self) -> dict[str, SkillOpsError]:
        """Releases every skill that main holds and the registry does not; what keeps a skill from it, by its name."""
        parts, faults = self.parts, dict[str, SkillOpsError]()
        names = releasing.unreleased(parts.forge, parts.catalog)
        for proposal in [merged[-1] for name in names if (merged := parts.forge.proposals("merged", skill=name))]:
            self._catch_up(proposal, self._merged(proposal))
        releasing.release(names, parts.forge, parts.catalog, parts.builder, parts.sync, parts.record, faults.__setitem__, parts.anchor)
        return faults

    def deploy(self, name: str) -> None:
        """Makes the runtime serve what the registry holds of one skill, and before it of those that it requires and that do not serve yet.
        Refused where it does not become healthy."""
        entry, manifest = self.parts.catalog.entry(name), self.parts.catalog.manifest(name)
        if manifest and manifest.requires and manifest.status != "retired":
            services = self.parts.runtime.services()
            for needed in reversed(reach(manifest, self.parts.catalog)):
                if (found := self.parts.catalog.entry(needed.name)) and found.status != "retired" and not deploying.serves(found, services):
                    self._serve(needed.name, found)
        self._serve(name, entry)

    def _serve(self, name: str, entry: Entry | None) -> None:
        if entry is None:
            self.parts.runtime.remove(name)
            self.parts.record(Event(stage="deploying", what="removed", actor=DEPLOYER, skill=name))
        else:
            if entry.status != "retired":
                self.parts.may_serve(name)
            deploying.deploy(entry, self.parts.forge, self.parts.builder, self.parts.runtime, self.parts.record)

    # ---- a request's ------------------------------------------------------------------------------------------------

    def _assess(self, seen: Situation) -> None:
        parts, request = self.parts, _request(seen)
        said = parts.forge.comments(request.number)
        gap = seen.gap
        if gap is None or seen.answered:
            hits = parts.catalog.search(f"{request.title} {request.text}", limit=6)
            names = dict.fromkeys((*brought_by(parts.forge, request.number), *(hit.entry.name for hit in hits)))
            manifests = [manifest for name in names if (manifest := parts.catalog.manifest(name))]
            gap = assessing.assess(request, said, manifests, parts.model, parts.record, taken=parts.is_taken)
            heard = max((comment.id for comment in said), default=0)
            parts.forge.say(request.number, messages.gap_comment(gap, request), author=AGENT, marker=f"{messages.GAP}-{heard}")
        if gap.verdict in ("covered", "refused"):
            parts.forge.close_request(request.number, gap.verdict)

    def _divide(self, seen: Situation) -> None:
        """Raises the parts of a request of several skills, none twice, and shows how far they are. A part that is lost is told at once."""
        forge, request, gap = self.parts.forge, _request(seen), seen.gap
        assert gap is not None, "the table of progress gives this step to gaps of several skills alone"
        children = [forge.open_request(RequestDraft(
            key=digest_of([request.number, part.model_dump()]), title=part.title, text=part.text, requester=request.requester,
            source=request.source, conversation=request.conversation, parent=request.number,
        )) for part in gap.parts]  # fmt: skip
        for child in children:
            self.parts.record(Event(stage="dividing", what="divided", actor=AGENT, request=request.number, note=f"#{child.number} {child.title}",
                                    data={"part": child.number}, key=f"divided:{request.number}:{child.number}"))  # fmt: skip
            if child.lost:
                forge.say(request.number, messages.lost_comment(child, request), author=AGENT, marker=f"{messages.LOST}-{child.number}")
        forge.say(request.number, messages.parts_comment(gap, children), author=AGENT, marker=messages.PARTS)

    def _propose(self, seen: Situation) -> None:
        parts = self.parts
        problems = seen.decision.problems if seen.decision else ()
        if seen.gap and seen.gap.contract:
            parts.may_try(seen.gap.contract.name)  # the author tries what it drafts
        proposing.propose(_request(seen), seen.gap, seen.proposal, problems, parts.forge, parts.model, parts.author, parts.ledger,
                          parts.policy().budget, parts.record)  # fmt: skip

    # ---- an open proposal's -----------------------------------------------------------------------------------------

    def _check(self, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        opened = self._opened(proposal)
        self._catch_up(proposal, [proposing.opening(proposal, opened.subject.manifest.version if opened.subject.manifest else "")])
        checking.reuse(proposal, parts.forge, parts.record)
        checking.check(proposal, opened, parts.forge, parts.checks_of(proposal.skill), parts.settings.workers, parts.record, parts.tell)

    def _review(self, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        parts.may_try(proposal.skill)  # what a reviewer says is shown by a call of the built skill
        reviewing.review(proposal, seen, self._opened(proposal), parts.forge, parts.panel(parts.policy()), parts.settings.workers, parts.record,
                         parts.neighbours(proposal.skill))  # fmt: skip

    def _merge(self, seen: Situation) -> None:
        releasing.merge(_proposal(seen), self.parts.forge, self.parts.record)

    def _close(self, seen: Situation) -> None:
        """Closes the proposal, and with it the request, unless that is to be assessed anew."""
        forge, proposal, request = self.parts.forge, _proposal(seen), seen.request
        why = seen.decision.why if seen.decision else self._noted("decided", proposal) or "its proposal was closed."
        again = seen.decision is not None and seen.decision.rule == OVERTAKEN
        if again:
            forge.label(proposal.number, add=[OVERTAKEN])
        if request:
            marker = f"{OVERTAKEN}-{proposal.number}" if again else messages.OUTCOME
            forge.say(request.number, messages.declined_comment(proposal, why, again=again), author=AGENT, marker=marker)
        forge.close_proposal(proposal.number)
        if request and not again:
            forge.close_request(request.number, "refused")

    # ---- a merged proposal's ----------------------------------------------------------------------------------------

    def _release(self, seen: Situation) -> None:
        if fault := self.enter().get(_proposal(seen).skill):
            raise fault

    def _deploy(self, seen: Situation) -> None:
        proposal = _proposal(seen)
        self._catch_up(proposal, self._merged(proposal))
        try:
            self.deploy(proposal.skill)
        except MissingSecret as missing:  # which is no fault of the version
            number = seen.request.number if seen.request else proposal.number
            self.parts.forge.say(
                number, messages.secret_comment(proposal.skill, missing.fault, missing.next_step), author=AGENT, marker=messages.SECRET
            )
            raise
        except Refused:
            self.parts.forge.label(proposal.number, add=[DEPLOY_FAILED])

    def _report(self, seen: Situation) -> None:
        if seen.parts:
            self._end(seen, messages.parts_met_comment(seen.parts), "done")
            return
        proposal = _proposal(seen)
        entry = self.parts.catalog.entry(proposal.skill)
        mine = entry is not None and entry.proposal == proposal.number  # else a later release overtook it
        self._catch_up(proposal, [*self._merged(proposal), *([deploying.deployed(entry)] if entry and mine else [])])
        self._end(seen, messages.deployed_comment(entry, proposal) if entry else "", "done")

    def _revert(self, seen: Situation) -> None:
        parts, proposal = self.parts, _proposal(seen)
        why = self._noted("deploy_failed", proposal) or "it did not become healthy."
        revert = proposing.propose_revert(proposal, parts.forge, why)
        entry = parts.catalog.entry(proposal.skill)
        self._end(seen, messages.deploy_failed_comment(entry, why, revert.number if revert else None) if entry else "", "refused")

    def _end(self, seen: Situation, told: str, closed_as: str) -> None:
        """Tells the requester and closes the request; where nobody requested it, the proposal is told and marked as done."""
        forge, number = self.parts.forge, seen.request.number if seen.request else _proposal(seen).number
        if told:
            forge.say(number, told, author=AGENT, marker=messages.OUTCOME)
        if seen.request:
            forge.close_request(number, closed_as)
        else:
            forge.label(number, add=[DONE])

    # ---- around them ------------------------------------------------------------------------------------------------

    def _opened(self, proposal: Proposal) -> checking.Opened:
        """The subject and bench of a head, shared by its checks and its reviews, so that nothing is started twice."""
        if self._bench is None or self._bench[:2] != (proposal.head, proposal.base):
            self.close()
            parts = self.parts
            opened = checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger)
            self._bench = proposal.head, proposal.base, self._benches.enter_context(opened)
        return self._bench[2]

    def _merged(self, proposal: Proposal) -> list[Event]:
        """How a merged proposal was merged and released, as the trail has it."""
        entry, catalog = self.parts.catalog.entry(proposal.skill), self.parts.catalog
        released = [releasing.released(entry, catalog.revision())] if entry and entry.proposal == proposal.number else []
        return [releasing.merged(proposal, proposal.merged_commit or proposal.head), *released]

    def _catch_up(self, proposal: Proposal, events: list[Event]) -> None:
        """Records those that a kill, coming between doing and recording, kept from the trail."""
        known = {line.event.what for line in self.parts.ledger.entries(proposal=proposal.number)}
        for event in events:
            if event.what not in known:
                self.parts.record(event)

    def _noted(self, what: str, proposal: Proposal) -> str:
        """The note of the newest event of that kind on a proposal, or nothing."""
        return next((line.event.note for line in reversed(self.parts.ledger.entries(proposal=proposal.number)) if line.event.what == what), "")


def _request(seen: Situation) -> Request:
    assert seen.request is not None, "the table of progress gives this step to requests alone"
    return seen.request


def _proposal(seen: Situation) -> Proposal:
    assert seen.proposal is not None, "the table of progress gives this step to proposals alone"
    return seen.proposal

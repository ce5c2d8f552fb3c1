"""How far a request is: the one sticky comment that is edited as its work moves. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.gap import Gap
from agent.domain.progress import NextStep, Situation, State
from agent.markdown import plain

# The milestone that each state is before, by its place among `_rows`. What is not here says nothing new.
_BEFORE = {
    State.ACCEPTED: 1, State.RETURNED: 1, State.PROPOSED: 2, State.CHECKED: 3, State.WAITING: 4, State.APPROVED: 4,
    State.MERGED: 5, State.RELEASED: 5, State.DEPLOYED: 6, State.DECLINED: 4, State.UNDEPLOYABLE: 5,
}  # fmt: skip


def milestones(seen: Situation, step: NextStep, attempts: int) -> str | None:
    """What is behind and what is done now, after so many `attempts` of the author; None where there is nothing to show.

    A request that nothing is built for is told by its assessment, and one of several skills shows its parts.
    """
    if seen.request is None or seen.gap is None or not seen.gap.buildable or step.state not in _BEFORE:
        return None
    at = _BEFORE[step.state]
    rows = [*_rows(seen.gap, seen, at, attempts)]
    ticked = [f"- [{'x' if place < at else ' '}] {f'**{row}**' if place == at else row}" for place, row in enumerate(rows)]
    return "\n".join((*ticked, *_now(seen, step)))


def _rows(gap: Gap, seen: Situation, at: int, attempts: int) -> Sequence[str]:
    name = gap.contract.name if gap.contract else ""
    what = f"assessed: `{name}` is extended" if gap.verdict == "extend" else f"assessed: a new skill, `{name}`"
    draft = f"drafting, attempt {attempts + 1}" if at == 1 else "drafted"
    proposed = f"{draft}: #{seen.proposal.number}" if seen.proposal else draft
    return (what, proposed, "checks", "reviews", "decided and merged", "released and deployed")


def _now(seen: Situation, step: NextStep) -> Sequence[str]:
    """What stands in the way, in a line of its own."""
    if step.state is State.WAITING:
        return ("", f"Waits for the {step.waiting_for or 'person'}: {plain(step.why, 1_000)}")
    if step.state is State.DECLINED:
        return ("", f"It was declined{f': {plain(seen.decision.why, 1_000)}' if seen.decision else '.'}")
    if step.state is State.UNDEPLOYABLE:
        return ("", "It was released and did not become healthy.")
    return ("", "It is deployed.") if step.state is State.DEPLOYED else ()

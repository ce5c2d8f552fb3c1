"""The story of a request or proposal: what the ledger holds of it, in order, with sums; and whether it was tampered with."""

from __future__ import annotations

from agent.domain import Frozen
from agent.domain.event import Entered
from agent.errors import NotFound
from agent.ports import Forge, Ledger


class Story(Frozen):
    """`tampered` is the first entry of the ledger that does not fit its chain, or None. Sums: seconds, tokens, US dollars."""

    number: int
    title: str
    state: str
    request: int | None
    proposals: tuple[int, ...]
    entries: tuple[Entered, ...]
    seconds: float
    tokens: int
    cost: float
    tampered: int | None


def story(number: int, forge: Forge, ledger: Ledger) -> Story:
    """The story of a request with its proposals, whichever of the numbers is given. NotFound where there is none."""
    proposals = forge.proposals("all")
    given = next((proposal for proposal in proposals if proposal.number == number), None)
    request = given.request if given else number
    try:
        asked = forge.request(request) if request else None
    except NotFound:
        raise NotFound(
            f"There is no request or proposal #{number}.", next_step="`skillops list --requests` and `--proposals` show the open ones."
        ) from None
    mine = [given] if given and not request else [proposal for proposal in proposals if proposal.request == request]
    found = {entry.number: entry for entry in ledger.entries(request=request)} if request else {}
    for proposal in mine:
        found.update({entry.number: entry for entry in ledger.entries(proposal=proposal.number)})
    entries = tuple(found[key] for key in sorted(found))
    newest = mine[-1] if mine else None
    return Story(
        number=number, title=asked.title if asked else newest.title if newest else "",
        state=(f"{asked.state} {asked.closed_as}".strip() if asked else newest.state if newest else ""),
        request=request, proposals=tuple(proposal.number for proposal in mine if proposal), entries=entries,
        seconds=round(sum(entry.event.seconds for entry in entries), 3), tokens=sum(entry.event.tokens for entry in entries),
        cost=round(sum(entry.event.cost for entry in entries), 6), tampered=ledger.tampered(),
    )  # fmt: skip

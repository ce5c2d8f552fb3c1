"""The story of a request or proposal: what the ledger holds of it, in order, with sums; and a sentence for each line."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain import Frozen
from agent.domain.decision import Problem
from agent.domain.event import Entered, Event
from agent.domain.proposal import Proposal
from agent.domain.request import Request
from agent.errors import NotFound
from agent.markdown import woken
from agent.messages import problem_line
from agent.ports import Forge, Ledger

# What the trail may say, a sentence a word: a line of `explain` or of the live display.
_EVENTS = {
    "asked": "{stage}: asked {model}",
    "planned": "planned {note}",
    "unanswered": "{note}",
    "answered": "answered {asked_by}{why}",
    "asks": "asked {asked_by} a question",
    "waits": "waits for {note}",
    "failed": "could not do what {asked_by} asked{why}",
    "raised": "raised request #{request} for {asked_by}: {note}",
    "invoked": "called {skill}{why}",
    "assessed": "assessed as {outcome}: {note}",
    "divided": "divided it: {note}",
    "witnessed": "the witness wrote {cases} cases from the contract alone",
    "ruled": "the arbiter on the witness case “{case}”: {outcome}. {note}",
    "struck": "took out of the witness cases what the arbiter struck: {note}; {cases} are left",
    "attempt": "draft {attempt} {outcome}{problems}",
    "gave_up": "out of budget: {note}",
    "pushed": "pushed {short} to proposal #{proposal}",
    "proposed": "opened proposal #{proposal}: {skill} {version}",
    "checked": "{check}: {outcome}. {note}",
    "reviewed": "{actor}: {outcome}. {note}",
    "decided": "policy says {outcome}: {note}",
    "merged": "merged #{proposal} as {short}",
    "released": "released {skill} {version} as registry revision {revision}",
    "deployed": "{skill} {version} is healthy and serves",
    "deploy_failed": "{skill} {version} was not deployed: {note}",
    "removed": "{skill} serves no more",
    "approve": "{actor} approved{why}",
    "reject": "{actor} rejected it{why}",
    "revise": "{actor} sent it back{why}",
    "held": "{actor} put it on hold{why}",
    "withdrawn": "{actor} took the request back{why}",
    "stopped": "{actor} stopped what was being done{why}",
    "retried": "{actor} let it go on, with a new budget",
    "stumbled": "could not go on: {note}",
}
WORDS = frozenset(_EVENTS)
SHORT = 110  # characters of a problem or, on a live display, of a note


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
    """The story of a request with its proposals, whichever of the numbers is given; the whole ledger is verified. NotFound where there is none."""
    asked, mine = _belonging(number, forge)
    entries, newest = _entries(asked, mine, ledger), mine[-1] if mine else None
    return Story(
        number=number, title=asked.title if asked else newest.title if newest else "",
        state=(f"{asked.state} {asked.closed_as}".strip() if asked else newest.state if newest else ""),
        request=asked.number if asked else None, proposals=tuple(proposal.number for proposal in mine), entries=entries,
        seconds=round(sum(entry.event.seconds for entry in entries), 3), tokens=sum(entry.event.tokens for entry in entries),
        cost=round(sum(entry.event.cost for entry in entries), 6), tampered=ledger.tampered(),
    )  # fmt: skip


def entries_of(number: int, forge: Forge, ledger: Ledger) -> tuple[Entered, ...]:
    """The entries of a story, in order, and nothing verified: that takes as long as the ledger is. NotFound where there is none."""
    return _entries(*_belonging(number, forge), ledger)


def _belonging(number: int, forge: Forge) -> tuple[Request | None, list[Proposal]]:
    """The request and its proposals; of a proposal that nobody requested, it alone."""
    try:
        given = forge.proposal(number)
    except NotFound:
        given = None
    request = given.request if given else number
    try:
        asked = forge.request(request) if request is not None else None
    except NotFound:
        raise NotFound(
            f"There is no request or proposal #{number}.", next_step="`skillops list --requests` and `--proposals` show the open ones."
        ) from None
    mine = [given] if given and not request else list(forge.proposals("all", request=request))
    return asked, mine


def _entries(asked: Request | None, mine: Sequence[Proposal], ledger: Ledger) -> tuple[Entered, ...]:
    found = {entry.number: entry for entry in ledger.entries(request=asked.number)} if asked else {}
    for proposal in mine:
        found.update({entry.number: entry for entry in ledger.entries(proposal=proposal.number)})
    return tuple(found[key] for key in sorted(found))


def event_sentence(event: Event, width: int | None = None) -> str:
    """One event in one line; `width` is the most characters of its note, None all of them."""
    problems = [Problem.model_validate(problem) for problem in event.data.get("problems") or ()]
    told = "".join(f"; {_cut(woken(problem_line(problem)), SHORT)}" for problem in problems[:2])
    more = f"; and {len(problems) - 2} more" if len(problems) > 2 else ""
    note = _cut(event.note, width)
    values = {
        **event.data, "note": note, "outcome": event.outcome.replace("_", " "), "actor": event.actor, "stage": event.stage, "skill": event.skill,
        "proposal": event.proposal, "request": event.request, "short": (event.commit or "")[:8], "problems": told + more,
        "why": f": {note}" if note else "",
    }  # fmt: skip
    return _cut(_EVENTS[event.what].format_map(_Missing(values))) if event.what in _EVENTS else f"{event.what} {note}".strip()


def _cut(text: str, width: int | None = None) -> str:
    """`text` in one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if width is None or len(line) <= width else line[: width - 1].rstrip() + "…"


class _Missing(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""

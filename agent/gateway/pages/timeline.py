"""The timeline of a piece of work: each event as a bar on one scale, on which long waits are folded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from agent.domain import Frozen
from agent.domain.event import Entered, Event
from agent.story import event_sentence

FOLD = 5.0  # seconds: a gap that is longer than this, and than a tenth of the work, is folded
FOLDED = 0.04  # of the width, that a folded gap takes
LEAST = 0.004  # of the width, that every bar has
_POINTS = frozenset(("decided", "approve", "reject", "revise", "held", "retried", "merged", "proposed", "pushed", "raised", "stumbled", "gave_up"))
_NAMES = {
    "asked": "{stage}", "assessed": "assessed", "witnessed": "witness", "attempt": "draft {attempt}",
    "ruled": "arbiter", "struck": "witness again", "checked": "check: {check}",
    "reviewed": "review: {actor}", "decided": "policy", "approve": "{actor} approves", "reject": "{actor} rejects",
    "revise": "{actor} asks for changes", "deployed": "deploy", "released": "release", "merged": "merge", "raised": "request",
    "proposed": "proposal", "pushed": "push", "held": "{actor} stops it", "retried": "{actor} lets it go on", "gave_up": "budget spent",
    "deploy_failed": "deploy failed", "invoked": "call", "stumbled": "stumbled", "answered": "answer", "waits": "waits",
}  # fmt: skip


class Bar(Frozen):
    """One row. `left` and `width` are percentages of the picture; a point has no width. `cost` in US dollars."""

    stage: str
    name: str
    sentence: str
    left: float
    width: float
    point: bool
    at: str
    seconds: float
    tokens: int
    cost: float
    outcome: str


class Fold(Frozen):
    """A wait that is not drawn at its length: where it is, in percent, and how many seconds it was."""

    left: float
    width: float
    seconds: float


class Timeline(Frozen):
    """`elapsed` are seconds from the first to the last; the sums are of work, which may run side by side."""

    bars: tuple[Bar, ...]
    folds: tuple[Fold, ...]
    elapsed: float
    seconds: float
    attempts: int
    tokens: int
    cost: float


def timeline(entries: Sequence[Entered]) -> Timeline:
    """Of what the ledger holds of a piece of work, in order."""
    spans = [(_end(entry) - entry.event.seconds, _end(entry)) for entry in entries]
    place, folds = _scale(spans)
    bars = tuple(_bar(entry, start, end, place) for entry, (start, end) in zip(entries, spans, strict=True))
    events = [entry.event for entry in entries]
    return Timeline(
        bars=bars, folds=folds, elapsed=max((end for _, end in spans), default=0.0) - min((start for start, _ in spans), default=0.0),
        seconds=sum(event.seconds for event in events), attempts=sum(event.what == "attempt" for event in events),
        tokens=sum(event.tokens for event in events), cost=sum(event.cost for event in events),
    )  # fmt: skip


def _bar(entry: Entered, start: float, end: float, place: Callable[[float], float]) -> Bar:
    event, left = entry.event, place(start)
    width = max(place(end) - left, LEAST)
    return Bar(
        stage=event.stage, name=_name(event), sentence=event_sentence(event), left=round(100 * min(left, 1 - width), 3), width=round(100 * width, 3),
        point=event.what in _POINTS or event.seconds < 0.005, at=entry.at, seconds=event.seconds, tokens=event.tokens, cost=event.cost,
        outcome=event.outcome,
    )  # fmt: skip


def _name(event: Event) -> str:
    words = {"stage": event.stage, "actor": event.actor, "attempt": event.data.get("attempt", ""), "check": event.data.get("check", "")}
    return _NAMES.get(event.what, event.what.replace("_", " ")).format_map(words)[:60]


def _end(entry: Entered) -> float:
    return datetime.fromisoformat(entry.at).timestamp()


def _scale(spans: Sequence[tuple[float, float]]) -> tuple[Callable[[float], float], tuple[Fold, ...]]:
    """From a time to its place between 0 and 1, and what is folded."""
    busy = list[list[float]]()
    for start, end in sorted(spans):
        if busy and start <= busy[-1][1] + FOLD:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    total = sum(end - start for start, end in busy) or 1.0
    joined = list[list[float]]()
    for start, end in busy:
        if joined and start - joined[-1][1] <= total / 10:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    drawn = sum(end - start for start, end in joined) or 1.0
    room = 1 - FOLDED * (len(joined) - 1)
    pieces, folds, left = list[tuple[float, float, float]](), list[Fold](), 0.0
    for number, (start, end) in enumerate(joined):
        pieces.append((start, end, left))
        left += (end - start) / drawn * room
        if number + 1 < len(joined):
            folds.append(Fold(left=round(100 * left, 3), width=100 * FOLDED, seconds=joined[number + 1][0] - end))
            left += FOLDED

    def place(time: float) -> float:
        start, _, at = next((piece for piece in reversed(pieces) if time >= piece[0]), pieces[0])
        return min(max(at + (time - start) / drawn * room, 0.0), 1.0)

    return place, tuple(folds)

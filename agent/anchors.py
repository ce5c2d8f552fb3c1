"""Anchors: what others hold of the ledger, so that it shows where its end was cut off or all of it written anew, which no chain can tell.

Each release says in its commit on main how far the ledger was, and so does every clone of main, wherever it lies; and each working clone
notes the last entry that it has seen. Whoever changes the ledger unseen has to change all of these.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.domain.decision import Spent
from agent.domain.event import Entered, Event
from agent.ports import Ledger

_ANCHOR = re.compile(r"(\S{1,40}) (\d{1,12}) ([0-9a-f]{64})")


class Anchor(NamedTuple):
    """An entry's number and its hash."""

    number: int
    hash: str


class AnchoredLedger:
    """`Ledger` over `inner`. What was seen last is noted at `note`; `elsewhere` gives what others hold.

    `name` tells it from the ledgers of other forges that the same history may have been released by: their anchors say nothing of it.
    """

    def __init__(self, inner: Ledger, name: str, note: Path, elsewhere: Callable[[], Iterable[str]]) -> None:
        self._inner, self._name, self._note, self._elsewhere = inner, name, note, elsewhere

    def record(self, event: Event) -> Entered:
        entered = self._inner.record(event)
        self._saw(Anchor(entered.number, entered.hash))
        return entered

    def entries(self, *, request: int | None = None, proposal: int | None = None, after: int = 0, most: int | None = None) -> Sequence[Entered]:
        return self._inner.entries(request=request, proposal=proposal, after=after, most=most)

    def last(self, *, request: int | None = None, proposal: int | None = None) -> Entered | None:
        return self._inner.last(request=request, proposal=proposal)

    def tampered(self) -> int | None:
        """Also the number of the first entry that is missing at the end, or that none of those who agree vouches for."""
        if broken := self._inner.tampered():
            return broken
        held = sorted({anchor for text in (self._read(), *self._elsewhere()) if (anchor := self._anchor_in(text))})
        last, agreed = self._inner.last(), 0
        for anchor in held:
            if last is None or anchor.number > last.number:
                return last.number + 1 if last else 1
            if not any(entry.hash == anchor.hash for entry in self._inner.entries(after=anchor.number - 1, most=1)):
                return agreed + 1
            agreed = anchor.number
        if last:
            self._saw(Anchor(last.number, last.hash))
        return None

    def anchor(self) -> str:
        """What somebody else may hold of it now; empty where nothing is entered."""
        last = self._inner.last()
        return self._told(Anchor(last.number, last.hash)) if last else ""

    def spent(self, request: int) -> Spent:
        return self._inner.spent(request)

    def _told(self, anchor: Anchor) -> str:
        return f"{self._name} {anchor.number} {anchor.hash}"

    def _anchor_in(self, text: str) -> Anchor | None:
        """The one that `_told` wrote of this ledger; None where it is none."""
        found = _ANCHOR.fullmatch(text.strip())
        return Anchor(int(found[2]), found[3]) if found and found[1] == self._name else None

    def _read(self) -> str:
        try:
            return self._note.read_text()
        except (OSError, UnicodeDecodeError):
            return ""

    def _saw(self, anchor: Anchor) -> None:
        """A clone that cannot be written to notes nothing: what others hold still counts."""
        known = self._anchor_in(self._read())
        if known and known.number >= anchor.number:
            return
        fresh = self._note.with_name(f"{self._note.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._note.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(self._told(anchor))
            fresh.replace(self._note)


def anchor_of(ledger: Ledger) -> str:
    """For a release; empty where the ledger is a job's own, which nobody can look at later."""
    return ledger.anchor() if isinstance(ledger, AnchoredLedger) else ""

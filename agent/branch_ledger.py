"""The audit trail on a branch of the forge, for runners that vanish: lines of JSON, each sealed with the hash of the one before.

A line is appended by compare-and-swap, so two runners at once lose nothing and the chain never forks. The lines lie in pages of PAGE
each, so that an append writes little however long the trail is. A page that is full never changes and is read once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice

from agent.chain import GENESIS, first_broken, sealed_event, spent_by
from agent.domain.decision import Spent
from agent.domain.event import Entered, Event
from agent.domain.proposal import AGENT
from agent.errors import CouldNotTell, HeadMoved
from agent.ports import Repository

BRANCH = "skillops-ledger"
PAGE = 100  # lines
RACES = 30  # tries of one append while others append
FOLDER = "ledger"


class BranchLedger:
    """`Ledger` on an orphan branch of `repository`. `clock` gives seconds since 1970."""

    def __init__(self, repository: Repository, branch: str = BRANCH, clock: Callable[[], float] = time.time) -> None:
        self._repository, self._branch, self._clock = repository, branch, clock
        self._pages: dict[str, tuple[Entered, ...]] = {}  # by blob id
        self._last: tuple[str, tuple[Entered, ...]] | None = None  # where the branch was when it was read or written last, and all its lines
        self._held: tuple[tuple[Entered, ...], int | None] | None = None  # the lines that were verified last, and what was found of them
        self._lock = threading.Lock()

    def record(self, event: Event) -> Entered:
        for attempt in range(RACES):
            head, lines = (attempt == 0 and self._last) or self._read()  # the first time unasked: the append itself tells who was faster
            if event.key is not None and (known := next((line for line in lines if line.event.key == event.key), None)):
                return known
            entered = sealed_event(event, len(lines) + 1, lines[-1].hash if lines else GENESIS, self._clock())
            start = (entered.number - 1) // PAGE * PAGE
            page = "".join(f"{_line(line)}\n" for line in (*lines[start:], entered)).encode()
            try:
                head = self._repository.commit(
                    self._branch, {_path(start): page}, parent=head, author=AGENT, orphan=True,
                    message=f"{entered.number}: {event.stage} {event.what}",
                )  # fmt: skip
            except HeadMoved:
                time.sleep(min(0.01 * 2**attempt, 1.0))
                continue
            self._last = head, (*lines, entered)
            return entered
        raise CouldNotTell(f"The ledger's branch {self._branch} kept moving.", next_step="Try again: other runners write to it.")

    def entries(self, *, request: int | None = None, proposal: int | None = None, after: int = 0, most: int | None = None) -> Sequence[Entered]:
        """In order; with both given, those that belong to both. Of those with a number above `after` the first `most`."""
        found = (
            line for line in self._read()[1]
            if request in (None, line.event.request) and proposal in (None, line.event.proposal) and line.number > after
        )  # fmt: skip
        return list(islice(found, most))

    def last(self, *, request: int | None = None, proposal: int | None = None) -> Entered | None:
        """The newest of those that `entries` gives; the number of the newest of all is how many there are."""
        found = reversed(self._read()[1])
        return next((line for line in found if request in (None, line.event.request) and proposal in (None, line.event.proposal)), None)

    def tampered(self) -> int | None:
        lines = self._read()[1]
        if self._held is None or self._held[0] is not lines:
            self._held = lines, first_broken(lines)
        return self._held[1]

    def head(self) -> str:
        """The last hash."""
        lines = self._read()[1]
        return lines[-1].hash if lines else GENESIS

    def spent(self, request: int) -> Spent:
        return spent_by(self.entries(request=request))

    def _read(self) -> tuple[str | None, tuple[Entered, ...]]:
        """Where the branch is, and every line there."""
        head, last = self._repository.head(self._branch), self._last
        if head is None:
            return None, ()
        if last and last[0] == head:
            return last
        pages = self._repository.children(head, FOLDER)
        with self._lock:
            known = {blob: page for blob, page in self._pages.items() if blob in pages.values()}
        for name, blob in pages.items():
            if blob not in known:
                known[blob] = _parsed(self._repository.read(head, f"{FOLDER}/{name}") or b"", name)
        with self._lock:
            self._pages = known
        self._last = head, tuple(line for name in sorted(pages) for line in known[pages[name]])
        return self._last


def _path(start: int) -> str:
    return f"{FOLDER}/{start:09d}.jsonl"


def _line(entered: Entered) -> str:
    return json.dumps(entered.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _parsed(page: bytes, name: str) -> tuple[Entered, ...]:
    try:
        return tuple(Entered.model_validate_json(line) for line in page.splitlines())
    except ValueError as error:
        raise CouldNotTell(f"The ledger's page {name} cannot be read.", why=str(error)[:300], next_step="Look at the branch's history.") from None

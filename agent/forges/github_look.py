"""One look at a repository: what was asked once is not asked again, until it is old or we have written to it ourselves. Pure.

A look belongs to the thread that opened it. Nothing that must not happen twice rests on it: a branch moves by compare-and-swap, a merge
names its head, and whoever raises an issue or a pull request asks anew.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AGE = 30.0  # seconds that an answer may be old within one look
_PLACE = re.compile(r"^https?://[^?]*?/repos(?:itories)?/(?:\d+|[^/]+/[^/]+)/")  # what the address of a further page begins with
_PULLS = r"(?:pulls|issues)(?:\?|/\d+$)"  # a pull request is an issue, too
# What a write makes old, by the path that is written to; the first that fits counts. Git's objects make nothing old.
_OLD = tuple((re.compile(written), old) for written, old in (
    (r"git/(?:trees|blobs|commits)$|statuses/|issues/comments/\d+/reactions$", r"(?!)"),
    (r"git/refs/heads/(?P<branch>skillops-ledger)$", r"git/ref/heads/{branch}$"),
    (r"git/refs/heads/(?P<branch>.+)$", rf"git/ref/heads/{{branch}}$|commits\?|{_PULLS}"),
    (r"check-runs", r"commits/[^/]+/check-runs|check-runs"),
    (r"pulls/(?P<number>\d+)/reviews", r"pulls/{number}/reviews"),
    (r"issues/(?P<number>\d+)/comments$", r"issues/{number}/comments"),
    (r"issues/comments/\d+$", r"issues/\d+/comments"),
    (r"issues", _PULLS),
    (r"", r""),
))  # fmt: skip


class Looks:
    """The looks that are open now; safe for several threads. `clock` gives seconds that only rise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._mine, self._lock = clock, threading.local(), threading.Lock()
        self._open: list[dict[str, tuple[float, Any]]] = []
        self._writes = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """A look on this thread; within another it is that one."""
        if getattr(self._mine, "look", None) is not None:
            yield
            return
        self._mine.look = look = dict[str, tuple[float, Any]]()
        with self._lock:
            self._open.append(look)
        try:
            yield
        finally:
            self._mine.look = None
            with self._lock:
                self._open[:] = [each for each in self._open if each is not look]

    def seen(self, path: str) -> tuple[Any] | None:
        """What was answered at a path in this look, in a tuple of one; None where it has to be asked for."""
        look = getattr(self._mine, "look", None)
        with self._lock:
            found = look.get(path) if look is not None else None
        return (found[1],) if found and self._clock() - found[0] < AGE else None

    def begin(self) -> int:
        """To be handed to `note` with the answer: what was written in between makes that old."""
        return self._writes

    def note(self, path: str, answer: Any, begun: int) -> None:
        look = getattr(self._mine, "look", None)
        with self._lock:
            if look is not None and begun == self._writes:
                look[path] = self._clock(), answer

    def wrote(self, path: str, body: Any) -> None:
        """That something was written, or may have been, by any thread."""
        if path == "git/refs":
            path = f"git/refs/heads/{str(body['ref']).removeprefix('refs/heads/')}"
        elif path == "/graphql" and "branch" in body["variables"]:
            path = f"git/refs/heads/{body['variables']['branch']}"
        found, old = next((found, old) for written, old in _OLD if (found := written.match(path)))
        stale = re.compile(old.format(**{name: re.escape(value) for name, value in found.groupdict().items()}) if found.groupdict() else old)
        with self._lock:
            self._writes += 1
            for look in self._open:
                for each in [each for each in look if stale.match(_PLACE.sub("", each))]:
                    del look[each]

"""What a run prints, read side by side with its end and never more than is allowed."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from typing import Literal

from agent.sandboxes.tree import Tree

_CHUNK = 65536

Cut = Literal["timeout", "output_limit"]


class Capture:
    """A pipe that keeps at most `limit` bytes of what is written to `writer`."""

    def __init__(self, limit: int) -> None:
        self._limit, self._content = limit, bytearray()
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def hand_over(self) -> None:
        """The writing end belongs to the sandbox alone from now on, so that the pipe ends with it."""
        os.close(self.writer)
        self.writer = -1

    def read(self) -> bool:
        """Reads what is there; False at the end."""
        chunk = os.read(self.reader, _CHUNK)
        self._content += chunk
        return bool(chunk)

    def drain(self) -> None:
        """Reads the rest, once nobody is left to write."""
        with contextlib.suppress(BlockingIOError):
            while not self.overflown and self.read():
                pass

    @property
    def overflown(self) -> bool:
        return len(self._content) > self._limit

    @property
    def content(self) -> bytes:
        return bytes(self._content[: self._limit])

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


def follow(tree: Tree, captures: list[Capture], deadline: float) -> Cut | None:
    """Reads until the tree has ended or must be cut short, kills what is left of it, and says why it was cut."""
    for capture in captures:
        capture.hand_over()
    cut = _read_until_end(tree, captures, deadline)
    tree.kill()
    for capture in captures:
        capture.drain()
    return "output_limit" if cut is None and any(capture.overflown for capture in captures) else cut


def _read_until_end(tree: Tree, captures: list[Capture], deadline: float) -> Cut | None:
    with selectors.PollSelector() as selector:
        selector.register(tree.descriptor, selectors.EVENT_READ)
        for capture in captures:
            selector.register(capture.reader, selectors.EVENT_READ, capture)
        while (left := deadline - time.monotonic()) > 0:
            ready = [key for key, _ in selector.select(left)]
            for key in ready:
                if key.data is not None and not key.data.read():
                    selector.unregister(key.fd)
            if any(capture.overflown for capture in captures):
                return "output_limit"
            if any(key.fd == tree.descriptor for key in ready):
                return None
    return "timeout"

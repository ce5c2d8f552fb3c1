"""A line: what one call may ask of the skills that its skill requires, and what it came to.

Whoever called the first skill is the caller of all of them: by name, with what is left of the time, no deeper than DEEPEST, never one that
the manifest does not name or that may not be called by hand either. Each inner call has a request id made from the outer's, so that the
same work has the same names, and its receipt is part of the outer's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Protocol

from agent.domain.invocation import Invocation, InvocationResult, Receipt
from agent.domain.registry import Entry
from agent.domain.requirement import DEEPEST, requirements, unmet
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.errors import InvocationFailed, Refused, SkillOpsError
from agent.ports import Endpoints
from agent.stages.invoking import Strike, invoke, unstruck
from agent.switchboard import Switchboard

MOST_CALLS = 1000  # over one line


class Known(Protocol):
    """The registry, as far as calls need it."""

    def entry(self, name: str) -> Entry | None: ...
    def manifest(self, name: str) -> Manifest | None: ...


class Terms(NamedTuple):
    """Of one inner call: in whose name, for how many seconds, and how deep it is."""

    caller: str
    request_id: str
    seconds: float
    traceparent: str
    depth: int


Onward = Callable[[str, Json, Terms], InvocationResult]
"""Calls a skill that may be called, by name. Raises SkillOpsError."""


@dataclass
class OpenLine:
    """The line of one call. `receipts` are those of the inner calls, as they ended; `met` is the first thing that kept one from an answer and is
    the affair of whoever made the outer call: a secret that they have not given yet, a limit that they have reached."""

    manifest: Manifest
    invocation: Invocation
    onward: Onward
    depth: int = 1
    ticket: str = ""
    receipts: list[Receipt] = field(default_factory=list)
    met: SkillOpsError | None = None
    until: float = field(init=False)
    _calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.invocation.deadline_seconds

    @property
    def skill(self) -> str:
        return self.manifest.name

    def carry(self, name: str, inputs: Json, seconds: float | None, ident: str = "") -> InvocationResult:
        """What the skill `name` answers to a call called `ident`, or after the outer one. Raises InvocationFailed with the inner skill's code or
        one of ours, and what else keeps a skill from being called."""
        if name not in requirements(self.manifest):
            raise _failed("not-required", f"{self.skill} does not require {name}, so it may not call it")
        if self.depth >= DEEPEST:
            raise _failed("too-deep", f"{DEEPEST} skills that call one another in a row are the most")
        with self._lock:
            self._calls += 1
            number = self._calls
        if number > MOST_CALLS:
            raise _failed("calls-spent", f"one call may make {MOST_CALLS}")
        left = self.until - time.monotonic()
        if left <= 0:
            raise _failed("timeout", f"the time of {self.skill} is spent")
        terms = Terms(
            self.invocation.caller, (ident or f"{self.invocation.request_id}.{number}")[:200], left if seconds is None else min(left, seconds),
            self.invocation.traceparent, self.depth + 1,
        )  # fmt: skip
        return self._ask(name, inputs, terms)

    def _ask(self, name: str, inputs: Json, terms: Terms) -> InvocationResult:
        try:
            result = self.onward(name, inputs, terms)
        except SkillOpsError as error:
            if error.receipt:
                self.receipts.append(error.receipt)
            if error.of_caller:
                self.met = self.met or error
            raise
        self.receipts.append(result.receipt)
        return result


@dataclass(frozen=True)
class Lines:
    """Opens lines whose calls are carried out with what the registry holds now. `judge` says whether the caller may call a skill himself:
    it raises Refused, or says `ask` where a person has to be asked, as was done for the outer call if that says to be destructive."""

    board: Switchboard
    known: Known
    endpoints: Endpoints
    strike: Strike = unstruck
    judge: Callable[[Manifest], str] = lambda manifest: "go"
    depth: int = 1

    @contextmanager
    def open(self, manifest: Manifest, invocation: Invocation) -> Iterator[OpenLine]:
        onward = partial(self._call, manifest)
        with self.opened(OpenLine(manifest, invocation, onward, self.depth)) as line:
            yield line

    @contextmanager
    def opened(self, line: OpenLine) -> Iterator[OpenLine]:
        """With its ticket, which counts meanwhile."""
        with self.board.line(line) as line.ticket:
            yield line

    def judged(self, judge: Callable[[Manifest], str]) -> Lines:
        return replace(self, judge=judge)

    def of(self, ticket: str) -> OpenLine | None:
        """The line of the call with this ticket, for what is called in this process in its stead."""
        line = self.board.find(ticket)
        return line if isinstance(line, OpenLine) else None

    def _call(self, outer: Manifest, name: str, inputs: Json, terms: Terms) -> InvocationResult:
        manifest, entry = required(outer, name, self.known)
        if self.judge(manifest) == "ask" and not outer.annotations.destructive:
            raise Refused(f"{name} is destructive, and {outer.name} does not say to be: nobody was asked.")
        return invoke(
            manifest, entry, inputs, self.endpoints, terms.caller, request_id=terms.request_id, deadline=terms.seconds, strike=self.strike,
            traceparent=terms.traceparent, lines=replace(self, depth=terms.depth),
        )  # fmt: skip


def required(outer: Manifest, name: str, known: Known) -> tuple[Manifest, Entry]:
    """A skill that `outer` requires, as the registry has it. Raises InvocationFailed where it is not there as it is needed."""
    if why := unmet(outer, known).get(name):
        raise _failed("unmet", why)
    manifest, entry = known.manifest(name), known.entry(name)
    if manifest is None or entry is None:
        raise _failed("unmet", f"{name} is not in the registry")
    return manifest, entry


def _failed(code: str, why: str) -> InvocationFailed:
    return InvocationFailed(code, f"The skill was not called: {code}.", why=why)

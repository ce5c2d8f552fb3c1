"""What a skill in a trial gets from those that it requires: what its stand-ins say, else what a trial of the required skill answers.

Either way nothing outside is reached, and nothing that serves is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from agent.caller import anybodys, execute
from agent.domain.invocation import InvocationResult, Receipt
from agent.domain.registry import Entry
from agent.domain.release import Artifact, Endpoint
from agent.domain.requirement import DEEPEST, requirements
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.domain.stand_in import STAND_INS_PATH, StandIns
from agent.errors import InvocationFailed, Refused
from agent.lines import Known, required
from agent.stages.invoking import interpret, prepare

Tried = Callable[[Artifact, Manifest], AbstractContextManager[Endpoint]]


class TrialLine:
    """The line of all calls of one trial: nobody in particular makes them. `trial` starts one, and `stack` ends what was started."""

    def __init__(
        self, manifest: Manifest, stand_ins: StandIns, known: Known, artifact_of: Callable[[Entry], tuple[Artifact, Manifest]], trial: Tried,
        stack: ExitStack, depth: int = 1,
    ) -> None:  # fmt: skip
        self.skill, self._manifest, self._stand_ins, self._known = manifest.name, manifest, stand_ins, known
        self._artifact_of, self._trial, self._stack, self._depth = artifact_of, trial, stack, depth
        self._started: dict[str, tuple[Entry, Manifest, Endpoint]] = {}
        self._lock = threading.Lock()

    def carry(self, name: str, inputs: Json, seconds: float | None) -> InvocationResult:
        if name not in requirements(self._manifest):
            raise InvocationFailed("not-required", "The skill was not called.", why=f"{self.skill} does not require {name}, so it may not call it")
        if answer := self._stand_ins.answer_of(name, inputs):
            if answer.error is not None:
                raise InvocationFailed(answer.error.code, f"{name} did not answer.", why=answer.error.message)
            receipt = Receipt(skill=name, version="0.0.0", digest=STAND_INS_PATH)
            return InvocationResult(dict(answer.outputs or {}), receipt)
        try:
            entry, manifest, endpoint = self._running(name)
        except Refused as error:
            raise InvocationFailed("unmet", f"{name} could not be tried.", why=str(error)) from None
        like = anybodys(name, {}, 0.0)
        invocation = prepare(manifest, inputs, like.caller, like.request_id, seconds, like.traceparent)
        return interpret(manifest, entry, invocation, execute(endpoint, invocation))

    def _running(self, name: str) -> tuple[Entry, Manifest, Endpoint]:
        with self._lock:
            if name not in self._started:
                if self._depth >= DEEPEST:
                    raise InvocationFailed("too-deep", "The skill was not called.", why=f"{DEEPEST} skills in a row are the most")
                _, entry = required(self._manifest, name, self._known)
                artifact, manifest = self._artifact_of(entry)
                self._started[name] = entry, manifest, self._stack.enter_context(self._trial(artifact, manifest))
            return self._started[name]

"""The server's side of the processes that call the skill: who answers which call, and until when. Runs in the sandbox; standard library only.

Each call has a process of its own, forked from the zygote. Only where the manifest says that a call neither changes nor needs
anything (readOnly and idempotent) does a process stay for the next call, and then of the same caller alone: a fork costs about a
millisecond of CPU, which is most of a short call. It stays only after a call that ended well and left nothing (`zygote.py`
says what), and for MANY calls at most. A failure in a process that has answered before may be the fault of what it
kept: where it came soon, the call is made once more, in a fresh one. A skill whose calls are processes of their own all the same (apart:
Bash) needs no such promise, and no such second try.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from loop import Line, Loop, Timer
from zygote import DIED, FAULT, HEADER, KEPT, MAX_BODY, ONE, OUTPUTS, PID, SOME, error_body

AT_ONCE = 16  # processes, with those that wait for their caller's next call
SPARE = 2  # that wait for any call, where none is kept
MANY = 1000
SOON = 1.0  # seconds
WAITS = 30.0  # seconds that a process waits for its caller's next call


class Call:
    """One call. `caller`: whose it is; empty where nobody knows. `done` is told whether it went well, and the reply."""

    __slots__ = ("again", "began", "body", "caller", "done", "timer", "until", "worker")

    def __init__(self, body: bytes, caller: str, until: float, done: Callable[[bool, bytes], None]) -> None:
        self.body, self.caller, self.until, self.done = body, caller, until, done
        self.timer: Timer | None = None
        self.worker: Worker | None = None
        self.again, self.began = False, 0.0

    def may_be_repeated(self, earlier: int) -> bool:
        """Whether what went wrong, in a process with so many `earlier` calls, may have been their fault."""
        return earlier > 0 and not self.again and time.monotonic() - self.began < SOON


class Worker(Line):
    """One process, at the other end of a line. The zygote holds that end too, to say how the process died."""

    def __init__(self, pool: Pool, loop: Loop, line: socket.socket) -> None:
        super().__init__(loop, line)
        self._pool, self._heard = pool, bytearray()
        self.pid = self.calls = 0
        self.call: Call | None = None
        self.caller, self.since = "", 0.0

    def take(self, call: Call, kept: bool) -> None:
        self.call, call.worker, call.began = call, self, time.monotonic()
        self.caller = call.caller if kept else ""
        if self.pid:  # else as soon as we know whom to kill where it takes too long
            self._hand_over(call)

    def _hand_over(self, call: Call) -> None:
        self.send(HEADER.pack(SOME if self.caller and self.calls + 1 < MANY else ONE, len(call.body)) + call.body)

    def received(self, data: bytes) -> None:
        heard = self._heard
        heard += data
        while len(heard) >= HEADER.size and not self.closed:
            kind, length = HEADER.unpack_from(heard)
            if length > MAX_BODY:
                self.ended()
                return
            if len(heard) < HEADER.size + length:
                return
            payload = bytes(heard[HEADER.size : HEADER.size + length])
            del heard[: HEADER.size + length]
            try:
                self._heed(kind, payload)
            except ValueError:  # the skill is in there, too, and may say anything
                self.ended()

    def ended(self) -> None:
        self._pool.lost(self, error_body("crashed", "the process of this call ended without an answer"))

    def kill(self) -> None:
        """Ends the process, with what it started."""
        if self.pid > 1:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _heed(self, kind: bytes, payload: bytes) -> None:
        if kind == DIED:
            death = _death(int(payload))
            self.pid = 0  # which may be another's by now
            self._pool.lost(self, death)
        elif not self.pid:
            self.pid = int(payload) if kind == PID else 0
            if self.pid < 2:
                self.ended()
            elif self.call:
                self._hand_over(self.call)
        elif self.call is None:
            self.ended()
        else:
            self.calls += 1
            self._pool.answered(self, kind, payload)


class Pool:
    """The processes of one skill. `fork` asks the zygote for one at the other end of the socket that it is given.

    `keep`: whether one stays for its caller's next call; `apart`: whether no call can leave anything in it to the next.
    """

    def __init__(self, loop: Loop, fork: Callable[[socket.socket], None], keep: bool, apart: bool = False) -> None:
        self._loop, self._fork, self._keep, self._apart = loop, fork, keep, apart
        self._waiting: deque[Call] = deque()
        self._spare: list[Worker] = []
        self._idle: dict[str, list[Worker]] = {}  # by caller; the one that waited longest first
        self._alive = 0
        self._open = False
        self._tidy()

    def open(self) -> None:
        """The zygote can fork."""
        self._open = True
        self._spend()

    def close(self, reply: bytes) -> None:
        """The zygote is gone; whoever waits is told so, and whoever has a process keeps it."""
        self._open = False
        while self._waiting:
            self._finish(self._waiting.popleft(), False, reply)

    def submit(self, call: Call) -> None:
        call.timer = self._loop.at(call.until, lambda: self._late(call))
        self._waiting.append(call)
        self._spend()

    def answered(self, worker: Worker, kind: bytes, reply: bytes) -> None:
        call, worker.call = worker.call, None
        if kind == KEPT and worker.caller:
            worker.since = time.monotonic()
            self._idle.setdefault(worker.caller, []).append(worker)
        else:
            self._let_go(worker)
        if call:
            if kind == FAULT and not self._apart and call.may_be_repeated(worker.calls - 1):
                self._repeat(call)
            else:
                self._finish(call, kind in (KEPT, OUTPUTS), reply)
        self._spend()

    def lost(self, worker: Worker, reply: bytes) -> None:
        """The process is gone."""
        call, worker.call = worker.call, None
        if worker in self._spare:
            self._spare.remove(worker)
        elif worker in self._idle.get(worker.caller, ()):
            self._idle[worker.caller].remove(worker)
        worker.kill()
        self._let_go(worker)
        if call:
            if not self._apart and call.may_be_repeated(worker.calls):
                self._repeat(call)
            else:
                self._finish(call, False, reply)
        self._spend()

    def _spend(self) -> None:
        """Gives what waits to processes, as far as there may be some."""
        while self._waiting and self._open:
            call = self._waiting[0]
            kept = self._keep and bool(call.caller) and not call.again
            worker = self._worker(call.caller if kept else "")
            if worker is None:
                return
            self._waiting.popleft()
            worker.take(call, kept)
        if self._open and len(self._spare) < (1 if self._keep else SPARE) and self._alive < AT_ONCE:
            self._spare.append(self._forked())

    def _worker(self, caller: str) -> Worker | None:
        if caller and (mine := self._idle.get(caller)):
            return mine.pop()
        if self._spare:
            return self._spare.pop()
        if self._alive >= AT_ONCE:
            oldest = min((workers[0] for workers in self._idle.values() if workers), key=lambda worker: worker.since, default=None)
            if oldest is None:
                return None
            self._end(oldest)
        return self._forked()

    def _forked(self) -> Worker:
        near, far = socket.socketpair()
        with far, contextlib.suppress(OSError):  # where the zygote is gone, the near end reads that nobody is there
            self._fork(far)
        self._alive += 1
        return Worker(self, self._loop, near)

    def _late(self, call: Call) -> None:
        if call.worker and call.worker.call is call:
            worker, call.worker.call = call.worker, None
            worker.kill()
            self._let_go(worker)
            self._finish(call, False, error_body("timeout", "the call took longer than it was allowed to"))
            self._spend()
        elif call in self._waiting:
            self._waiting.remove(call)
            self._finish(call, False, error_body("busy", "no call could be started before the deadline"))

    def _repeat(self, call: Call) -> None:
        call.again, call.worker = True, None
        self._waiting.appendleft(call)

    def _finish(self, call: Call, ok: bool, reply: bytes) -> None:
        if call.timer:
            self._loop.cancel(call.timer)
        call.done(ok, reply)

    def _end(self, worker: Worker) -> None:
        """Ends an idle process: it reads that there is nothing to come."""
        self._idle[worker.caller].remove(worker)
        self._let_go(worker)

    def _let_go(self, worker: Worker) -> None:
        if not worker.closed:
            worker.close()
            self._alive -= 1

    def _tidy(self) -> None:
        now = time.monotonic()
        for caller, workers in list(self._idle.items()):
            for worker in [each for each in workers if now - each.since > WAITS]:
                self._end(worker)
            if not workers:
                del self._idle[caller]
        self._loop.at(now + WAITS / 3, self._tidy)


def _death(status: int) -> bytes:
    if status == -signal.SIGKILL:
        return error_body("out-of-memory", "the process of this call was killed, as happens when memory runs out")
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    return error_body("crashed", f"the process of this call ended without an answer: {how}")

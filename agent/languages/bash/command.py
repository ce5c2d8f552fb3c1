"""Calls of a Bash skill: a Bash that has started is held, and forks for each. The adapter of the server shim (`python/zygote.py`); standard
library only.

The inputs are one JSON object and a newline on stdin, the outputs one JSON object on stdout; `$SKILL_CONTEXT` holds the context as JSON. A status
other than 0 is an error, whose code and message are the last line on stderr: {"code": "…", "message": "…"}.

Nothing of the skill is run but in those forks, so no variable, function, option, folder or open file of one call reaches the next, whatever
the manifest says of the skill. That is why this process may stay for its caller's next call, and why nothing is tried twice. Two things are
the same for the calls of one held Bash: what lies in /tmp, which is the sandbox's and so every call's in any language; and `$$`, so that a
skill whose scripts name it has a Bash for each call. The held Bash ends after a call that failed, or that left a process running;
and after each where the kernel does not tell what runs (a gVisor of 2022).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from typing import Any

MAX_OUTPUT = 8 * 2**20  # bytes: agent.domain.invocation.MAX_BODY
CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PARSE_SECONDS = 10.0
SAID = 2**14  # bytes of what was last said on stderr that count
LEFT_SECONDS = 0.5  # how long what a call left running is waited for, where the outputs are not there yet
SETTLE_SECONDS = 0.005
STATUS = 200  # descriptor of hold.sh
PART = 2**16
OWN_NUMBER = re.compile(rb"\$(?:\$|\{\$)")


def load(service: dict[str, Any]) -> Command:
    """The skill as a function; SyntaxError where Bash cannot read it."""
    bash, entrypoint, code = service["bash"], service["entrypoint"], service["code"]
    read = subprocess.run([bash, "-n", entrypoint], cwd=code, capture_output=True, timeout=PARSE_SECONDS, check=False)
    if read.returncode:
        raise SyntaxError(read.stderr.decode(errors="replace").strip())
    with open(os.path.join(os.path.dirname(__file__), "hold.sh"), encoding="utf-8") as file:  # noqa: PTH118, PTH120
        return Command([bash, "-c", file.read(), entrypoint], code, once=any(OWN_NUMBER.search(text) for text in _scripts(code, entrypoint)))


def _scripts(code: str, entrypoint: str) -> list[bytes]:
    found = {os.path.join(folder, name) for folder, _, names in os.walk(code) for name in names if name.endswith((".sh", ".bash"))}  # noqa: PTH118
    texts = []
    for path in found | {os.path.join(code, entrypoint)}:  # noqa: PTH118
        with open(path, "rb") as file:
            texts.append(file.read())
    return texts


class Command:
    """The skill as a function of inputs and context, in the process that answers calls. `once`: it answers one alone."""

    def __init__(self, command: list[str], code: str, *, once: bool) -> None:
        self._command, self._code, self._once = command, code, once
        self._held: Held | None = None

    def begin(self) -> None:
        """Before the first call comes. Where there is no process to be had, that call is told so."""
        with contextlib.suppress(OSError):
            self._held = Held(self._command, self._code)

    def __call__(self, inputs: dict[str, Any], context: dict[str, Any]) -> Any:
        self._held = self._held or Held(self._command, self._code)
        status, printed, said = self._held.run(json.dumps(context).encode(), json.dumps(inputs).encode())
        if status:
            raise _error(status, said)
        return _outputs(printed)

    def alone(self) -> bool:
        """Whether the next call finds nothing of the last one's."""
        return not self._once and self._held is not None and self._held.alone()


class Held:
    """A Bash that has started, and waits. OSError where it cannot be."""

    def __init__(self, command: list[str], code: str) -> None:
        self._status, theirs = os.pipe()
        os.dup2(theirs, STATUS)
        os.close(theirs)
        try:
            pipe = subprocess.PIPE
            self._bash = subprocess.Popen(command, cwd=code, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=(STATUS,))
        finally:
            os.close(STATUS)
        self._calls, self._out, self._err = (line.fileno() for line in (self._bash.stdin, self._bash.stdout, self._bash.stderr) if line)
        self._poll = select.poll()
        for descriptor in (self._status, self._out, self._err):
            os.set_blocking(descriptor, False)
            self._poll.register(descriptor, select.POLLIN)
        self._children = f"/proc/self/task/{os.getpid()}/children"

    def run(self, context: bytes, inputs: bytes) -> tuple[int, bytes, list[bytes]]:
        """The status of a call (of a signal: less than 0), what it printed, and the last lines that it said. Raises where it printed too much."""
        self._printed, self._said = bytearray(), b""
        with contextlib.suppress(BrokenPipeError):
            request = memoryview(b"%d %d\n" % (len(context), len(inputs)) + context + inputs)
            while request:
                request = request[os.write(self._calls, request) :]
        status = None
        while status is None:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._status:
                    status = self._ended()
                else:
                    self._take(descriptor)
        self._drain()
        until = time.monotonic() + LEFT_SECONDS
        while status == 0 and not self._settled() and not _whole(self._printed) and time.monotonic() < until:
            self._drain()
        return status, bytes(self._printed), [line.strip() for line in self._said.splitlines() if line.strip()][-3:]

    def alone(self) -> bool:
        """Whether this process has no child but the held Bash; not, where nobody can tell (proc_tid_children(5))."""
        try:
            with open(self._children, "rb") as file:
                others = {int(number) for number in file.read().split()} - {self._bash.pid}
            return not [number for number in others if os.waitpid(number, os.WNOHANG) == (0, 0)]
        except (OSError, ValueError):
            return False

    def _settled(self) -> bool:
        """Whether nothing runs on, or has only now come to its end, as what a script read by `< <(…)` may have."""
        until = time.monotonic() + SETTLE_SECONDS
        while not (alone := self.alone()) and time.monotonic() < until:
            time.sleep(SETTLE_SECONDS / 5)
        return alone

    def _ended(self) -> int:
        """The status: of the call, or of the held Bash where that is gone."""
        told = os.read(self._status, PART).strip()
        if told.isdigit():
            return int(told)
        self._bash.kill()
        return self._bash.wait() or -signal.SIGKILL

    def _drain(self) -> None:
        """Takes what is there."""
        for descriptor in (self._out, self._err):
            with contextlib.suppress(BlockingIOError):
                while self._take(descriptor):
                    pass

    def _take(self, descriptor: int) -> int:
        """How many bytes of what the skill printed or said were taken; 0 where no more can come."""
        part = os.read(descriptor, PART)
        if descriptor == self._out:
            self._printed += part
            if len(self._printed) > MAX_OUTPUT:
                raise _failure("bad-outputs", f"the outputs are larger than {MAX_OUTPUT} bytes")
        else:  # goes to the log; its last line may be the error
            self._said = (self._said + part)[-SAID:]
            sys.stderr.buffer.write(part)
            sys.stderr.flush()
        return len(part)


def _whole(printed: bytes | bytearray) -> bool:
    with contextlib.suppress(ValueError, RecursionError):
        return isinstance(json.loads(printed), dict)
    return False


def _outputs(printed: bytes) -> Any:
    try:
        outputs = json.loads(printed)
    except (ValueError, RecursionError):
        shown = printed[:200].decode(errors="replace")
        raise _failure("bad-outputs", f"the outputs are not one JSON object: {shown!r}" if shown else "nothing was printed") from None
    if not isinstance(outputs, dict):
        raise _failure("bad-outputs", f"the outputs are JSON, but {type(outputs).__name__} and not an object")
    return outputs


def _error(status: int, said: list[bytes]) -> Exception:
    """What a status other than 0 means, after the last lines on stderr."""
    if any(sign in line for line in said for sign in (b"annot allocate", b"memory exhausted")):  # as Bash, jq and coreutils say it
        return MemoryError()
    last = said[-1] if said else b""
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        if status < 0 or name in ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL"):
            return _failure("crashed", f"the skill was ended by signal {name}")
    try:
        said = json.loads(last)
        if CODE.fullmatch(said["code"]):
            return _failure(said["code"], str(said["message"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    told = last.decode(errors="replace")
    return _failure("skill-error", f"{told} (status {status})" if told else f"the skill ended with status {status} and said nothing")


def _failure(code_: str, message: str) -> Exception:
    """An exception as `zygote.coded` reads it: its class names the code."""

    class Failure(Exception):
        code, logged = code_, True

    return Failure(message)

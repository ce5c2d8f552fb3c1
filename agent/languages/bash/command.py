"""A call of a Bash skill: one run of `bash skill.sh`. The adapter of the server shim (`python/zygote.py`); standard library only.

The inputs are one JSON object on stdin, the outputs one JSON object on stdout; `$SKILL_CONTEXT` holds the context as JSON. A status
other than 0 is an error, whose code and message are the last line on stderr: {"code": "…", "message": "…"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from subprocess import PIPE
from typing import IO, Any

MAX_OUTPUT = 8 * 2**20  # bytes: agent.domain.invocation.MAX_BODY
CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PARSE_SECONDS = 10.0
LINE = 4096  # bytes of a line on stderr that count
LEFT_SECONDS = 0.5  # how long a skill that has ended may be waited for where what it left running holds its output open

Execute = Callable[[dict[str, Any], dict[str, Any]], Any]


def load(service: dict[str, Any]) -> Execute:
    """The skill as a function; SyntaxError where Bash cannot read it."""
    bash, entrypoint, code = service["bash"], service["entrypoint"], service["code"]
    read = subprocess.run([bash, "-n", entrypoint], cwd=code, capture_output=True, timeout=PARSE_SECONDS, check=False)
    if read.returncode:
        raise SyntaxError(read.stderr.decode(errors="replace").strip())

    def execute(inputs: dict[str, Any], context: dict[str, Any]) -> Any:
        environment = {**os.environ, "SKILL_CONTEXT": json.dumps(context)}
        process = subprocess.Popen([bash, entrypoint], cwd=code, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        printed, last = bytearray(), deque[bytes](maxlen=3)
        started(_feed, process.stdin, json.dumps(inputs).encode())
        readers = (started(_read, process, printed), started(_log, process.stderr, last))
        status = process.wait()
        for thread in readers:
            thread.join(LEFT_SECONDS)
        if len(printed) > MAX_OUTPUT:
            raise _failure("bad-outputs", f"the outputs are larger than {MAX_OUTPUT} bytes")
        if status:
            raise _error(status, list(last))
        return _outputs(bytes(printed))

    return execute


def started(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _feed(stdin: IO[bytes], data: bytes) -> None:
    """A skill need not read its inputs."""
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.write(data)


def _read(process: subprocess.Popen[bytes], printed: bytearray) -> None:
    while len(printed) <= MAX_OUTPUT and (part := process.stdout.read1(2**16)):  # type: ignore[union-attr]
        printed += part
    if len(printed) > MAX_OUTPUT:
        process.kill()


def _log(stderr: IO[bytes], last: deque[bytes]) -> None:
    """What the skill says on stderr goes to the log; its last line may be the error."""
    while line := stderr.readline(LINE):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        if line.strip():
            last.append(line.strip())


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

"""The process that has imported the skill, and forks the children that call it. Runs in the sandbox; standard library only.

A call's bytes travel over a socket pair whose far end the HTTP process (`server.py`) hands over; both sides speak frames of
one kind byte, a length and a payload. A child answers ONE call, or SOME, as `workers.py` says: then it goes on as long as each
call ends well and leaves no process, no thread and little memory behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

MAX_BODY = 8 * 2**20  # bytes, either way: agent.domain.invocation.MAX_BODY
CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
HEADER = struct.Struct(">cI")
ONE, SOME = b"1", b"S"  # of a call: the last of its process, or maybe not
PID, OUTPUTS, KEPT, ERROR, FAULT, DIED = b"P", b"O", b"K", b"E", b"F", b"X"  # KEPT: outputs, and it waits for the next call; FAULT: unforeseen
GROWTH = 16 * 2**20  # bytes that a child may have grown by and still go on
PR_SET_CHILD_SUBREAPER = 36
OURS = ("zygote", "loop", "http11", "workers")  # modules in the shim's own folder, which a skill may have by the same names

_ENCODER = json.JSONEncoder(allow_nan=False)
_PRCTL = ctypes.CDLL(None).prctl
PAGE = resource.getpagesize()

Execute = Callable[[dict[str, Any], dict[str, Any]], Any]


def error_body(code: str, message: str) -> bytes:
    return json.dumps({"success": False, "error": {"code": code, "message": message}}).encode()


def send(line: socket.socket, kind: bytes, payload: bytes) -> None:
    line.sendall(HEADER.pack(kind, len(payload)) + payload)


def receive(line: socket.socket) -> tuple[bytes, bytes]:
    """One frame, where the other side sends one at a time; raises EOFError."""
    data, wanted = bytearray(), HEADER.size
    while len(data) < wanted:
        part = line.recv(2**16)
        if not part:
            raise EOFError
        data += part
        if len(data) >= HEADER.size:
            wanted = HEADER.size + HEADER.unpack_from(data)[1]
    return bytes(data[:1]), bytes(data[HEADER.size :])


class Zygote:
    """Forks one child for each call. Single-threaded, so that forking is safe."""

    def __init__(self, control: socket.socket, service: dict[str, Any]) -> None:
        self._control, self._service = control, service
        self._lines: dict[int, socket.socket] = {}

    def main(self) -> NoReturn:
        try:
            execute = load(self._service)
        except BaseException as error:  # noqa: BLE001 - whatever the skill does on import, the HTTP process must learn of it
            traceback.print_exc()
            self._control.sendall(f"{self._service['entrypoint']} cannot be imported: {described(error)}"[:2000].encode())
            os._exit(1)
        gc.freeze()  # a child's collections leave these pages shared
        self._memory, self._touched = memory_with(self._service["memory"]), used()[1]
        self._control.sendall(b"ready")
        signal.signal(signal.SIGCHLD, self._reap)
        while True:
            message, handed, _, _ = socket.recv_fds(self._control, 1, 1)
            if not message:
                os._exit(0)
            self._fork(socket.socket(fileno=handed[0]), execute)

    def _fork(self, line: socket.socket, execute: Execute) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # no child is reaped before its line is noted
        try:
            pid = os.fork()
            if pid == 0:
                self._child(line, execute)
            self._lines[pid] = line
        except OSError:
            with line:
                send(line, ERROR, error_body("busy", "no process could be started for this call"))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})

    def _child(self, line: socket.socket, execute: Execute) -> NoReturn:
        with contextlib.suppress(BaseException):
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            self._control.close()
            for other in self._lines.values():
                other.close()
            adopt_orphans()
            send(line, PID, str(os.getpid()).encode())
            resource.setrlimit(resource.RLIMIT_AS, (self._memory, self._memory))
            looked, wanted = Looked(), SOME
            alone = looked.alone
            if "adapter" in self._service:
                execute.begin()  # type: ignore[attr-defined]
                alone = execute.alone  # type: ignore[attr-defined]
            while wanted == SOME:
                wanted, body = receive(line)
                kind, reply = answered(execute, body)
                sys.stdout.flush()
                sys.stderr.flush()
                wanted = wanted if kind == OUTPUTS and alone() and looked.touched() - self._touched < GROWTH else ONE
                kind = KEPT if wanted == SOME else kind
                send(line, kind, reply)
        os._exit(0)

    def _reap(self, *_: Any) -> None:
        with contextlib.suppress(ChildProcessError):
            while done := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                # Before the child is reaped nobody else can have its number: what it left running dies with it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(done.si_pid, signal.SIGKILL)
                status = os.waitstatus_to_exitcode(os.waitpid(done.si_pid, 0)[1])
                with contextlib.suppress(OSError, KeyError), self._lines.pop(done.si_pid) as line:
                    line.setblocking(False)
                    send(line, DIED, str(status).encode())


def load(service: dict[str, Any]) -> Execute:
    """The skill's `execute`; raises whatever importing it raises. A skill that is a command has a module of ours to run it."""
    if "adapter" in service:
        adapted: Execute = importlib.import_module(service["adapter"]).load(service)
        return adapted
    sys.path[:1] = [service["code"], *service["path"]]  # in place of the shim's own folder
    for name in OURS:
        sys.modules.pop(name, None)
    module = importlib.import_module(service["entrypoint"].removesuffix(".py").replace("/", "."))
    if not callable(getattr(module, "execute", None)):
        raise AttributeError(f"{service['entrypoint']} has no function execute(inputs, context)")
    execute: Execute = module.execute
    return execute


def adopt_orphans() -> None:
    """Processes that a call leaves without a parent become this one's children, so that they can be seen (prctl(2))."""
    _PRCTL(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Looked:
    """What the kernel says of this process, of files that are opened once: it is asked after every call. A skill may have closed them."""

    def __init__(self) -> None:
        self._threads = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY)
        self._memory = os.open("/proc/self/statm", os.O_RDONLY)

    def alone(self) -> bool:
        """Whether it has one thread, and no process below it."""
        try:
            if os.fstat(self._threads).st_nlink != 3:  # two of every folder, and one for each thread
                return False
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except OSError as error:
            return isinstance(error, ChildProcessError)
        return False

    def touched(self) -> float:
        """Bytes of memory that it has touched; infinitely many where nobody can tell."""
        try:
            return int(os.pread(self._memory, 100, 0).split()[1]) * PAGE
        except (OSError, ValueError, IndexError):
            return float("inf")


def used() -> tuple[int, int]:
    """Bytes of this process: its address space, and what of it was touched (proc_pid_statm(5))."""
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        size, resident = os.read(file, 100).split()[:2]
    finally:
        os.close(file)
    return int(size) * PAGE, int(resident) * PAGE


def memory_with(more: int) -> int:
    """How far the address space may grow, where that is by `more` bytes from here."""
    hard, limit = resource.getrlimit(resource.RLIMIT_AS)[1], used()[0] + more
    return limit if hard == resource.RLIM_INFINITY else min(hard, limit)


def answered(execute: Execute, body: bytes) -> tuple[bytes, bytes]:
    """What one call of the skill comes to: the kind of frame, and the reply's body."""
    try:
        call = json.loads(body.decode())
        outputs = execute(call["inputs"], call.get("context", {}))
        if not isinstance(outputs, dict):
            return ERROR, error_body("bad-outputs", f"execute returned {type(outputs).__name__}, not a dict")
        try:
            reply = _ENCODER.encode({"success": True, "outputs": outputs}).encode()
        except (TypeError, ValueError, RecursionError) as error:
            return ERROR, error_body("bad-outputs", f"the outputs are not JSON: {described(error)}")
        if len(reply) > MAX_BODY:
            return ERROR, error_body("bad-outputs", f"the outputs are larger than {MAX_BODY} bytes")
        return OUTPUTS, reply
    except MemoryError:
        return FAULT, error_body("out-of-memory", "the call needed more memory than the manifest's resources.memory")
    except BaseException as error:  # noqa: BLE001 - a skill may raise anything, SystemExit too
        if not getattr(type(error), "logged", False):
            traceback.print_exc()
        code, message = coded(error)
        return FAULT if code == "skill-error" else ERROR, error_body(code, message)


def coded(error: BaseException) -> tuple[str, str]:
    """The error code and message of an exception: its class may name a code of its own."""
    code = getattr(type(error), "code", None)
    if isinstance(code, str) and CODE.fullmatch(code):
        return code, described(error, with_type=False)
    if isinstance(error, ValueError):
        return "invalid-inputs", described(error, with_type=False)
    return "skill-error", described(error)


def described(error: BaseException, with_type: bool = True) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the exception is the skill's, and so is its __str__
        text = ""
    if not text:
        return name
    return (f"{name}: {text}" if with_type else text)[:2000]

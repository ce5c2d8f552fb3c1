"""What goes in and out of a container over the engine's one attached stream, read side by side with its end.

The engine multiplexes stdout and stderr into frames (Engine API 1.41, "Attach to a container"). What a run must say beside
them, its exit code and its result, follows behind a mark on stderr once the program has ended (`shim.sh`).
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from typing import Any, Literal, NamedTuple

_CHUNK = 65536
_STDOUT, _STDERR = 1, 2

Cut = Literal["timeout", "output_limit"]


class Ended(NamedTuple):
    """How a run came to its end: what it printed, and what `shim.sh` said where the program ended by itself."""

    stdout: bytes
    stderr: bytes
    result: bytes
    exit_code: int | None
    cut: Cut | None


class Exchange:
    """`stream` is what docker-py's `attach_socket` gave; `mark` a word that nobody else prints; `limit` in bytes, of each stream."""

    def __init__(self, stream: Any, mark: str, limit: int) -> None:
        self._socket, self._mark, self._limit = getattr(stream, "_sock", stream), f"\n{mark} ".encode(), limit
        self._printed = {_STDOUT: bytearray(), _STDERR: bytearray()}
        self._over, self._changed = False, threading.Condition()

    def begin(self, stdin: bytes) -> None:
        """Reads, and writes what the program may read, in threads of their own: either way may be stopped up."""
        threading.Thread(target=self._read, name="sandbox-out", daemon=True).start()
        if stdin:
            threading.Thread(target=self._write, args=(stdin,), name="sandbox-in", daemon=True).start()

    def wait(self, deadline: float) -> Ended:
        """Until the run has ended, or must be cut short: at `deadline` (monotonic seconds), or as it prints too much."""
        cut: Cut | None = None
        with self._changed:
            while not self._over and not self._told() and cut is None:
                left = deadline - time.monotonic()
                if self._too_much():
                    cut = "output_limit"
                elif left <= 0:
                    cut = "timeout"
                else:
                    self._changed.wait(left)
            return self._ended(cut)

    def _ended(self, cut: Cut | None) -> Ended:
        stdout, _, _ = bytes(self._printed[_STDOUT]).partition(self._mark)
        stderr, _, said = bytes(self._printed[_STDERR]).partition(self._mark)
        line, _, result = said.partition(b"\n")
        code, _, _ = line.partition(b" ")
        if cut is None and max(len(stdout), len(stderr), len(result)) > self._limit:
            cut = "output_limit"
        exit_code = int(code) if code.isdigit() and cut is None else None
        return Ended(stdout[: self._limit], stderr[: self._limit], result[: self._limit], exit_code, cut)

    def _told(self) -> bool:
        """Whether both streams are at their mark, and the result is whole."""
        if self._mark not in self._printed[_STDOUT]:
            return False
        _, _, said = self._printed[_STDERR].partition(self._mark)
        line, ended, result = said.partition(b"\n")
        size = line.partition(b" ")[2]
        return bool(ended) and size.isdigit() and len(result) >= int(size)

    def _too_much(self) -> bool:
        # The mark may be on its way behind output of just the limit, and the result behind that.
        return any(len(printed) > self._limit + len(self._mark) and self._mark not in printed for printed in self._printed.values())

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is closed where the run is cut short
            while header := exactly(self._socket, 8):
                kind, size = struct.unpack(">BxxxL", header)
                while size and (piece := self._socket.recv(min(size, _CHUNK))):
                    size -= len(piece)
                    with self._changed:
                        if kind in self._printed:
                            self._printed[kind] += piece
                        self._changed.notify()
        with self._changed:
            self._over = True
            self._changed.notify()

    def _write(self, stdin: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # a program need not read its input
            self._socket.sendall(stdin)
            close_input(self._socket)

    def close(self) -> None:
        hang_up(self._socket)


def exactly(connection: Any, size: int) -> bytes:
    """That many bytes; none at the end."""
    content = bytearray()
    while len(content) < size:
        piece = connection.recv(min(size - len(content), _CHUNK))
        if not piece:
            return b""
        content += piece
    return bytes(content)


def close_input(connection: Any) -> None:
    """Half of the connection: the program is at the end of its input, its output still comes."""
    import socket

    process = _through_ssh(connection)
    if process is not None:
        process.stdin.close()
    else:
        connection.shutdown(socket.SHUT_WR)


def hang_up(connection: Any) -> None:
    """The whole connection. docker-py's own `close` leaves ssh(1) running where its input is closed, and fails where it is being closed."""
    process = _through_ssh(connection)
    if process is not None:
        process.kill()
        process.wait()
        return
    with contextlib.suppress(OSError):
        connection.close()


def _through_ssh(connection: Any) -> Any:
    """The process of ssh(1) that docker-py's connection goes through; None for a socket."""
    return getattr(connection, "proc", None)

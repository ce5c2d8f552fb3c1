"""What lies outside while the battery runs: canaries, traps, listeners and a bystander, and what became of them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.ports import Limits

LIMITS = Limits(seconds=60.0, memory=192 * 2**20, processes=64, disk=16 * 2**20, output=2**20)
_TRAPS = ("/dev/shm", "/tmp", "/var/tmp", "/run", "/etc")
_GRACE = 1.0  # seconds for what a run left behind to be gone


class World:
    """A context: everything that is laid out is taken away again. `folder` can be read by everybody, as a neighbour's files can."""

    def __enter__(self) -> World:
        self.word, self.marker = f"canary-{secrets.token_hex(12)}", f"skillops-marker-{secrets.token_hex(6)}"
        self.key, self.nap = secrets.randbelow(2**30) + 1, f"{secrets.randbelow(10**6) + 10**6}"
        self.seen = f"0.{secrets.randbelow(10**12)}"  # seconds, and what the bystander is known by
        self.heard: set[str] = set()
        self.free: dict[str, dict[int, int]] = {}
        self.peer: int | None = None
        with contextlib.ExitStack() as self._stack:
            self._lay_out()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _lay_out(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="skillops-battery-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.file, self.home, self.writable = self.folder / "canary", Path.home() / f".{self.marker}", self.folder / "writable"
        self.file.write_text(self.word)
        with contextlib.suppress(OSError):
            self.home.write_text(self.word)
        self._stack.callback(self.home.unlink, missing_ok=True)
        self.writable.mkdir(mode=0o777)
        self.writable.chmod(0o777)
        self.leak = os.open(self.file, os.O_RDONLY)
        os.set_inheritable(self.leak, True)
        self._stack.callback(os.close, self.leak)
        self.bystander = subprocess.Popen(["/bin/sleep", "300", self.seen], env={"SKILLOPS_CANARY": self.word}, start_new_session=True)
        self._stack.callback(self.bystander.wait)
        self._stack.callback(self.bystander.kill)
        for name in _TRAPS:
            self._stack.callback(Path(name, self.marker).unlink, missing_ok=True)
        self._listen()

    def _listen(self) -> None:
        tcp, udp = socket.create_server(("0.0.0.0", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 0))
        abstract, named, door = (socket.socket(socket.AF_UNIX) for _ in range(3))
        abstract.bind(f"\0{self.marker}")
        for listening, path in ((named, self.folder / "named"), (door, self.writable / "door")):
            listening.bind(str(path))
            path.chmod(0o777)
        self.port, self.datagrams = tcp.getsockname()[1], udp.getsockname()[1]
        for name, listening in {"tcp": tcp, "abstract": abstract, "named": named, "door": door}.items():
            listening.listen(16)
            self._watch(listening, lambda listening=listening, name=name: self._take(name, listening))
        self._watch(udp, lambda: self._note("udp", udp.recv(200)))

    def _watch(self, listening: socket.socket, take: Callable[[], None]) -> None:
        def serve() -> None:
            with contextlib.suppress(OSError):  # it is shut down
                while listening.fileno() >= 0:
                    take()

        thread = threading.Thread(target=serve, name="battery", daemon=True)
        thread.start()

        def end() -> None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

        self._stack.callback(end)

    def _take(self, name: str, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(2.0)
            said = connection.recv(200)
            if name == "door":
                if said == b"who":
                    self.peer = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
                else:
                    self.free[said.decode(errors="replace")] = free_inodes()
                connection.sendall(b".")
            else:
                self._note(f"{name} {connection.getsockname()[0] if name == 'tcp' else ''}".strip(), said)

    def _note(self, how: str, said: bytes) -> None:
        if said == self.marker.encode():
            self.heard.add(how)

    def job(self, probes: list[str], *, writable: str, apart: bool) -> bytes:
        """What the probes are told; nothing of it is a canary's word. `apart`: whether they answer on descriptor 3."""
        return json.dumps({
            "probes": probes, "apart": apart, "file": str(self.file), "home": str(self.home), "bystander": self.bystander.pid,
            "marker": self.marker, "seen": self.seen, "nap": self.nap, "port": self.port, "datagrams": self.datagrams, "address": own_address(),
            "abstract": self.marker, "named": str(self.folder / "named"), "writable": writable, "trap": self.marker, "key": self.key,
            "processes": LIMITS.processes, "memory": LIMITS.memory, "disk": LIMITS.disk,
        }).encode()  # fmt: skip

    # ---- what became of it ------------------------------------------------------------------------------------------------

    def trapped(self) -> bool:
        return any(Path(name, self.marker).exists() for name in _TRAPS)

    def privileged(self) -> bool:
        return any(path.lstat().st_mode & 0o6000 for path in self.writable.glob(f"{self.marker}*"))

    def outlived(self) -> bool:
        """Whether the daemon lives on; it is ended then."""
        deadline = time.monotonic() + _GRACE
        while (left := self._napping()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(left)

    def _napping(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"/bin/sleep\0{self.nap}\0".encode() == (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found

    def segment(self) -> bool:
        """Whether shared memory of the run is among the machine's; it is removed then."""
        for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            key, number = line.split()[:2]
            if int(key) == self.key:
                import ctypes

                ctypes.CDLL(None).shmctl(int(number), 0, None)  # IPC_RMID
                return True
        return False

    def inodes_taken(self) -> bool:
        """Whether a file system of this machine lost inodes while the run had its files, and got them back with their end."""
        before, full, after = (self.free.get(name, {}) for name in ("before", "full", "after"))
        return any(before[device] - full[device] > 2500 < after[device] - full[device] for device in before.keys() & full.keys() & after.keys())


def free_inodes() -> dict[int, int]:
    """Of each mounted file system, by its device number."""
    found = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        with contextlib.suppress(OSError):
            place = line.split()[1]
            found[os.stat(place).st_dev] = os.statvfs(place).f_ffree  # noqa: PTH116
    return found


def own_address() -> str:
    """One that this machine has on its network; loopback where it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(line.getsockname()[0])


def read(said: bytes) -> Mapping[str, Any] | None:
    """The report of the probes; None where there is none that can be read."""
    try:
        report = json.loads(said)
        return {str(name): (bool(possible), str(words)) for name, (possible, words) in report.items()}
    except (ValueError, TypeError, AttributeError):
        return None

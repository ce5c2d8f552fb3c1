"""Probes of how much a program may use, and of what it can leave behind. Runs in the sandbox; standard library only."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import socket
import time
from pathlib import Path

import calls
from job import fail, said

FILES = 3000
PATIENCE = 5.0  # seconds for whoever is at the door


def processes() -> str:
    started: list[int] = []
    try:
        for _ in range(int(said("processes")) + 16):
            if (pid := os.fork()) == 0:
                time.sleep(60)
                os._exit(0)
            started.append(pid)
        return f"{len(started)} were started"
    finally:
        for pid in started:
            os.kill(pid, 9)
        for pid in started:
            os.waitpid(pid, 0)


def memory() -> str:
    return calls.in_a_child(lambda: _touch(2 * int(said("memory"))))


def _touch(size: int) -> None:
    try:
        bytearray(size)
    except MemoryError:
        os._exit(errno.ENOMEM)


def disk() -> str:
    for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", str(Path.cwd())):
        with contextlib.suppress(OSError):
            written, names = 0, []
            try:
                for number in range(4):
                    names.append(f"{place}/skillops-probe-{os.getpid()}-{number}")
                    with open(names[-1], "wb") as file:
                        written += file.write(b"x" * (int(said("disk")) // 2))
                return f"{written} bytes in {place}"
            finally:
                for name in names:
                    with contextlib.suppress(OSError):
                        os.unlink(name)  # noqa: PTH108
    raise OSError(errno.ENOSPC, "none")


def descriptors() -> str:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    taken: list[int] = []
    try:
        while len(taken) < 5000:
            taken.append(os.dup(0))
        return f"{len(taken)} are open"
    finally:
        for each in taken:
            os.close(each)


def left_behind() -> str:
    for place in ("/dev/shm", "/tmp", "/var/tmp", "/run", "/etc"):
        with contextlib.suppress(OSError):
            Path(place, said("trap")).write_text("left")
    return "as far as it could be written"


def privileged_file() -> str:
    """In the folder that may be written: a program that would run with its owner's rights outside."""
    for create in (_by_chmod, _by_open):
        with contextlib.suppress(OSError):
            create(Path(said("writable"), said("trap")))
    return "as far as it could be made"


def _by_chmod(path: Path) -> None:
    path.touch()
    path.chmod(0o6755)


def _by_open(path: Path) -> None:
    os.close(os.open(f"{path}-2", os.O_CREAT | os.O_WRONLY, 0o6755))


def segment_left_behind() -> str:
    if calls.LIBC.shmget(int(said("key")), 4096, 0o1600) < 0:  # IPC_CREAT
        return fail(errno.EACCES)
    return "it was made"


def ask_outside(words: str) -> None:
    """Through the door in the folder that may be written, and waits until it was heard."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(f"{said('writable')}/door")
        line.sendall(words.encode())
        line.recv(1)


def root_outside() -> str:
    ask_outside("who")
    return "the listener knows who we are"


def inodes() -> str:
    """Many files, which the listener outside compares with what its file systems have left."""
    folders = [f"{place}/skillops-probe-{os.getpid()}" for place in ("/tmp", "/var/tmp", "/dev/shm") if os.access(place, os.W_OK)]
    ask_outside("before")
    try:
        for folder in folders:
            os.mkdir(folder)  # noqa: PTH102
            for number in range(FILES):
                os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
        ask_outside("full")
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        ask_outside("after")
    return f"{FILES} files were made in each of {', '.join(folders)}"

"""Processes of this machine, as proc(5) shows them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def children(pid: int) -> list[int]:
    """Whoever of its threads started them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def started_at(pid: int) -> float | None:
    """When a running process started, in seconds since this machine did (proc_pid_stat(5)); with `pid` it names one
    process for good. None where there is none, or only a zombie."""
    state, ticks = _state(pid)
    return None if state in ("", "Z", "X") else ticks / os.sysconf("SC_CLK_TCK")


def name_of(pid: int) -> str:
    """What the group of a tree is called, by its outer process; a zombie still has its name."""
    return f"{pid}-{_state(pid)[1]}"


def descendants(pid: int) -> list[int]:
    """The process and all that it started, as far as they live."""
    found = [pid]
    for known in found:
        found += children(known)
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """What they used, with the children that they have waited for."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                ticks += sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: Iterable[int]) -> int:
    """What of them is in memory; what they share counts for each."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                pages += int(file.read().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def _state(pid: int) -> tuple[str, int]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return "", 0
    return fields[0].decode(), int(fields[19])

"""What a skill is seen to try while its tests run: runs in the sandbox, beside the test bed. Standard library only.

The network is counted by the kernel, outside of the author's reach. The rest is told by Python's audit hooks, in the author's own
process: what they tell can add to what is known of a skill, and their silence clears nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any

# What the kernel counts of the sandbox's own network (snmp(4), RFC 4293): tries to reach an address that is not there, and to connect at all.
COUNTED = ("Ip:OutNoRoutes", "Tcp:ActiveOpens", "Udp:OutDatagrams", "Ip6OutNoRoutes", "Udp6OutDatagrams")
PROCESS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "pty.spawn")
NATIVE = ("ctypes.dlopen", "ctypes.dlsym", "ctypes.cdata")
NETWORK = ("socket.__new__", "socket.connect", "socket.sendto", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname")
FREE = ("/tmp/", "/dev/")
LOCAL = 1  # AF_UNIX
MOST = 50  # things that are told


def network() -> int:
    """How often anything in the sandbox has tried to reach the network; what the kernel does not tell counts as nothing."""
    found = 0
    for path in ("/proc/self/net/snmp", "/proc/self/net/snmp6"):
        try:
            with open(path) as table:
                lines = table.read().splitlines()
        except OSError:
            continue
        for names, values in pairwise(lines):
            if names.partition(":")[0] == values.partition(":")[0] and ":" in names:
                group = names.partition(":")[0]
                pairs = zip(names.split()[1:], values.split()[1:], strict=False)
                found += sum(int(value) for name, value in pairs if f"{group}:{name}" in COUNTED and value.isdigit())
        found += sum(int(line.split()[1]) for line in lines if line.split()[:1] and line.split()[0] in COUNTED)
    return found


def watch(root: str, tell: Callable[..., None]) -> None:
    """Tells, from now on, of what code below `root` but its tests tries: the kind, the audit event, the file and the line."""
    seen: set[tuple[str, str, int]] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        kind = _kind(event, arguments)
        place = _place(root, sys._getframe(1)) if kind else None
        if kind and place and (event, *place) not in seen and len(seen) < MOST:
            seen.add((event, *place))
            tell(tried=[kind, event, *place])

    sys.addaudithook(hook)


def _kind(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event in PROCESS:
        return "process"
    if event in NATIVE:
        return "native code"
    if event in NETWORK:
        return None if event == "socket.__new__" and arguments[1] == LOCAL else "network"
    if event == "open" and len(arguments) > 2 and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = os.path.abspath(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else "/dev/"  # noqa: PTH100 (opens nothing)
        return None if path.startswith((*FREE, os.environ.get("SKILL_STORAGE", "/dev/"))) else "files"
    return None


def _place(root: str, frame: FrameType | None) -> tuple[str, int] | None:
    """Where in the skill something was tried; None where a library did it by itself, or a test."""
    while frame is not None and frame.f_code.co_filename.endswith(("/subprocess.py", "/os.py", "/socket.py", "/pathlib.py", "/ctypes/__init__.py")):
        frame = frame.f_back
    if frame is None or not frame.f_code.co_filename.startswith(f"{root}/"):
        return None
    path = frame.f_code.co_filename[len(root) + 1 :]
    return None if path.startswith("tests/") else (path, frame.f_lineno)

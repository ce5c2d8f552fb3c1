"""Landlock, where the kernel has it (landlock(7)): one more wall around what a thread of ours starts, beside its namespaces.

Rules for files cannot be had here: who has any may not mount, and bubblewrap begins with mounts. What can be had is that a program
signals nothing and connects to no abstract socket outside of its own run (since Linux 6.12), and makes no use of TCP where it asked
for no loopback (since 6.7). Whether the kernel has it is asked of the kernel itself: not each machine lists its security modules.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # alike on all architectures
_VERSION, _NO_NEW_PRIVILEGES = 1, 38
_BIND_AND_CONNECT_TCP, _ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3
_NET_SINCE, _SCOPES_SINCE = 4, 6  # versions of the interface

_LIBC = ctypes.CDLL(None, use_errno=True)


@functools.cache
def version() -> int:
    """Of the kernel's interface; 0 where it has none."""
    return max(int(_LIBC.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), ctypes.c_long(_VERSION))), 0)


def confine(*, tcp: bool) -> None:
    """For good: this thread, which must end with its sandbox, and all that it starts. Nothing where the kernel is too old. Raises OSError."""
    net = 0 if tcp or version() < _NET_SINCE else _BIND_AND_CONNECT_TCP
    scopes = _ABSTRACT_SOCKETS_AND_SIGNALS if version() >= _SCOPES_SINCE else 0
    if not net and not scopes:
        return
    size = 24 if version() >= _SCOPES_SINCE else 16
    attributes = struct.pack("<QQQ", 0, net, scopes)[:size]
    ruleset = _checked(_LIBC.syscall(ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_long(size), ctypes.c_long(0)))
    try:
        _checked(_LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(_LIBC.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_long(ruleset), ctypes.c_long(0)))
    finally:
        os.close(ruleset)


def _checked(found: int) -> int:
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found

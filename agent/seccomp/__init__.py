"""Which system calls a program in a sandbox may make: one table, as a BPF program for bubblewrap, and as profiles for Docker Engine and gVisor.

An allow-list: what it does not name is unknown to the program (ENOSYS). Docker's own default lets programs make sockets of every
family, to the hypervisor (vsock) and to kernel modules that are loaded for it, and on an engine of its age io_uring as well.
Written by ourselves and not by libseccomp: its Python binding on PyPI (pyseccomp) had its last release in 2021 and needs the
system's library, and a filter as simple as this one is some hundred lines.
"""

from __future__ import annotations

import errno
import functools
import json
import platform
from pathlib import Path
from typing import Any

from agent.errors import SandboxUnavailable
from agent.seccomp.bpf import ALLOW, Condition, Leaf, assembled, refusal

_TABLE = Path(__file__).parent / "system_calls.txt"
# linux/audit.h: what the kernel calls these machines, and which column of the table is theirs.
ARCHITECTURES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}
_ALL = 0xFFFFFFFF
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount cgroup uts ipc user pid net
_SPECIAL_BITS = 0o6000  # set-user-ID and set-group-ID: of use outside alone, on a mount that may be written
_CREATE = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: without these no mode is given
_KIND = 0o170000
_NEGATIVE = 0x80000000
_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: both type on somebody's terminal
_UNIX, _IPV4, _IPV6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM, _TCP, _UDP = 1, 2, 6, 17

Alternatives = tuple[tuple[Condition, ...], ...]


def _only(argument: int, *values: int, mask: int = _ALL) -> Alternatives:
    return tuple(((argument, mask, value),) for value in values)


def _all_but(argument: int, first: int, second: int) -> Alternatives:
    """Every value but two: it differs from both in a bit that they share, or is one of those that are like them in all that they share."""
    apart = first ^ second
    shared = tuple(((argument, 1 << bit, ~first & 1 << bit),) for bit in range(32) if not apart >> bit & 1)
    bits = [bit for bit in range(32) if apart >> bit & 1]
    alike = {first & ~apart | sum(1 << bit for place, bit in enumerate(bits) if number >> place & 1) for number in range(2 ** len(bits))}
    return (*shared, *_only(argument, *sorted(alike - {first, second})))


def _opening(flags: int, mode: int) -> Alternatives:
    return (((flags, _CREATE, 0),), ((mode, _SPECIAL_BITS, 0),))


def _sockets(loopback: bool) -> Alternatives:
    if not loopback:
        return _only(0, _UNIX)
    inet = tuple(
        ((0, _ALL, family), (1, 0xF, kind), (2, _ALL, protocol))
        for family in (_IPV4, _IPV6)
        for kind, protocols in ((_STREAM, (0, _TCP)), (_DATAGRAM, (0, _UDP)))
        for protocol in protocols
    )
    # The interfaces, of which there is one, are asked for through NETLINK_ROUTE (0), by C's, Node's and Go's libraries.
    return (*_only(0, _UNIX), *inet, ((0, _ALL, _NETLINK), (2, _ALL, 0)))


def conditions(loopback: bool) -> dict[str, tuple[int, Alternatives]]:
    """By name, the alternatives under which a call is allowed, and with which error it fails otherwise."""
    plain = {
        "clone": _only(0, 0, mask=_NAMESPACES),
        "ioctl": _all_but(1, *_TERMINAL),
        "personality": _only(0, 0, 0x8, 0x20000, 0x20008, _ALL),  # Docker's default has these five; others weaken address randomisation
        "chmod": _only(1, 0, mask=_SPECIAL_BITS),
        "fchmod": _only(1, 0, mask=_SPECIAL_BITS),
        "fchmodat": _only(2, 0, mask=_SPECIAL_BITS),
        "fchmodat2": _only(2, 0, mask=_SPECIAL_BITS),
        "creat": _only(1, 0, mask=_SPECIAL_BITS),
        "open": _opening(1, 2),
        "openat": _opening(2, 3),
        "mknod": _only(1, 0, 0o100000, 0o010000, 0o140000, mask=_KIND | _SPECIAL_BITS),
        "mknodat": _only(2, 0, 0o100000, 0o010000, 0o140000, mask=_KIND | _SPECIAL_BITS),
        "setpriority": _only(2, 0, mask=_NEGATIVE),  # which Linux refuses by itself, and gVisor's kernel does not
    }
    families = {"socket": _sockets(loopback), "socketpair": _only(0, _UNIX)}
    return {
        **{name: (errno.EPERM, alternatives) for name, alternatives in plain.items()},
        **{name: (errno.EAFNOSUPPORT, alternatives) for name, alternatives in families.items()},
    }


def trouble(machine: str = "") -> SandboxUnavailable | None:
    """Why there is no filter for a machine (this one), and what can be done; None where there is one."""
    machine = machine or platform.machine()
    if machine in ARCHITECTURES:
        return None
    return SandboxUnavailable(
        "A sandbox could not be set up.",
        why=f"There is no table of the system calls of {machine}, so no filter for them.",
        next_step='Use an x86_64 or aarch64 machine, or `sandbox = "docker"` in skillops.toml with an engine on one.',
    )


@functools.cache
def program(loopback: bool, machine: str = "") -> bytes:
    """For `bwrap --seccomp`. Raises SandboxUnavailable on a machine whose numbers we do not know."""
    machine = machine or platform.machine()
    if unknown := trouble(machine):
        raise unknown
    architecture, column = ARCHITECTURES[machine]
    depending = conditions(loopback)
    leaves: dict[int, Leaf] = {}
    for fields in _rows():
        name, number = fields[0], fields[column]
        if number != "-":
            code, alternatives = depending.get(name, (0, ()))
            leaves[int(number)] = refusal(errno.EPERM) if fields[3:] else (refusal(code), alternatives) if alternatives else ALLOW
    return assembled(architecture, leaves, refusal(errno.ENOSYS))


@functools.cache
def profile(loopback: bool) -> str:
    """The same for Docker Engine (its profiles/seccomp), as one line of JSON. Calls that its libseccomp does not know, it leaves out."""
    # An engine of 2020 has EPERM for all that is not named, whatever the profile says: these must be seen not to be there.
    absent = ["clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create", "memfd_secret"]
    return json.dumps({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.ENOSYS,
        "syscalls": [*_allowing(loopback), {"names": absent, "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}, _refusing()],
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}, {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
    })  # fmt: skip


@functools.cache
def guest_filter(loopback: bool) -> dict[str, Any]:
    """The same for a guest of gVisor (the runtime specification's `linux.seccomp`), whose kernel judges by it as Linux does.

    Not before 2026 does it know another error than EPERM (runsc/specutils/seccomp): what is unknown is handed to a tracer, and as there is
    none, fails with ENOSYS (seccomp(2)). What a version does not know by its name, it leaves out.
    """
    return {
        "defaultAction": "SCMP_ACT_TRACE", "architectures": [f"SCMP_ARCH_{platform.machine().upper()}"],
        "syscalls": [*_allowing(loopback), {"names": ["pselect"], "action": "SCMP_ACT_ALLOW"}, _refusing()],  # pselect6, until 2023
    }  # fmt: skip


def _allowing(loopback: bool) -> list[dict[str, Any]]:
    """In libseccomp's words, what may be called always, and a rule for each alternative under which a call is allowed."""
    depending = conditions(loopback)
    names = [fields[0] for fields in _rows() if not fields[3:] and fields[0] not in depending]
    rules: list[dict[str, Any]] = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    for name, (_, alternatives) in depending.items():
        for alternative in alternatives:
            arguments = [
                {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"} for index, mask, value in alternative
            ]  # fmt: skip
            rules.append({"names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments})
    return rules


def _refusing() -> dict[str, Any]:
    return {"names": [fields[0] for fields in _rows() if fields[3:]], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}


@functools.cache
def _rows() -> tuple[tuple[str, ...], ...]:
    lines = _TABLE.read_text().splitlines()
    return tuple(tuple(line.split()) for line in lines if line and not line.startswith("#"))

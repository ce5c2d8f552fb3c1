"""The filter of system calls: what it answers on both architectures, and that Docker's profile says the same. The kernel itself is asked
in the contract of the sandboxes."""

from __future__ import annotations

import errno
import json
import platform
from pathlib import Path

import pytest

from agent import doctor, seccomp
from agent.errors import SandboxUnavailable
from agent.ports import SandboxSpec
from agent.sandboxes import diagnosis
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.seccomp.bpf import ALLOW, ERRNO, KILL, answer

REFUSED, ABSENT, NO_FAMILY = (ERRNO | code for code in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
TABLE = {fields[0]: fields[1:] for fields in seccomp._rows()}


def judged(name: str, *arguments: int, loopback: bool = False, machine: str = "x86_64") -> int:
    architecture, column = seccomp.ARCHITECTURES[machine]
    return answer(seccomp.program(loopback, machine), architecture, int(TABLE[name][column - 1]), *arguments)


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
@pytest.mark.parametrize(
    "name, arguments, expected",
    [
        *((name, (), REFUSED) for name in ("bpf", "ptrace", "keyctl", "mount", "setns", "unshare", "userfaultfd", "process_vm_readv", "reboot")),
        ("read", (0, 0, 10), ALLOW),
        ("clone", (0x00010F00,), ALLOW),  # a thread
        *(("clone", (flag | 17,), REFUSED) for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000)),
        ("clone", (0x1_0000_0011,), ALLOW),  # the kernel does not look at the upper half
        ("socket", (1, 1, 0), ALLOW),
        *(("socket", (family, 3, 0), NO_FAMILY) for family in (2, 10, 16, 17, 38, 40, 45)),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5413), ALLOW),
        *(("ioctl", (0, request), REFUSED) for request in (0x5412, 0x541C, 0xFFFFFFFF_00005412)),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x0040000,), REFUSED),
        ("fchmodat", (0, 0, 0o755), ALLOW),
        ("fchmodat", (0, 0, 0o4755), REFUSED),
        ("openat", (0, 0, 0o101, 0o644), ALLOW),
        ("openat", (0, 0, 0, 0o7777), ALLOW),  # nothing is made, whatever the register holds
        ("openat", (0, 0, 0o101, 0o2755), REFUSED),
        ("openat", (0, 0, 0o20200002, 0o4755), REFUSED),
        ("mknodat", (0, 0, 0o010644, 0), ALLOW),
        ("mknodat", (0, 0, 0o020644, 0x103), REFUSED),
    ],
)  # fmt: skip
def test_judges_a_call_by_its_number_and_arguments(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert judged(name, *arguments, machine=machine) == expected


@pytest.mark.parametrize("family", [2, 10])
def test_where_loopback_is_asked_for_streams_and_datagrams_are_made_and_nothing_raw(family: int) -> None:
    assert judged("socket", family, 1 | 0o2000000, 6, loopback=True) == ALLOW
    assert judged("socket", family, 2, 17, loopback=True) == ALLOW
    assert {judged("socket", family, kind, protocol, loopback=True) for kind, protocol in ((3, 1), (1, 132), (1, 262), (2, 1), (5, 132))} == {
        NO_FAMILY
    }
    assert judged("socket", 16, 3, 0, loopback=True) == ALLOW  # routes
    assert judged("socket", 16, 3, 12, loopback=True) == NO_FAMILY  # netfilter


@pytest.mark.parametrize("number", [425, 435, 437, 447, 453, 466, 900, 0x3FFFFFFF])
def test_what_it_does_not_name_is_not_there(number: int) -> None:
    assert answer(seccomp.program(False, "x86_64"), 0xC000003E, number) == ABSENT
    assert answer(seccomp.program(False, "aarch64"), 0xC00000B7, number) == ABSENT


@pytest.mark.parametrize("architecture, number", [(0x40000003, 3), (0xC00000B7, 63), (0xC000003E, 0x40000000), (0xC000003E, 0xFFFFFFFF)])
def test_another_architectures_way_in_ends_the_process(architecture: int, number: int) -> None:
    assert answer(seccomp.program(True, "x86_64"), architecture, number) == KILL


def test_the_kernel_would_take_it() -> None:
    for machine in seccomp.ARCHITECTURES:
        for loopback in (False, True):
            program = seccomp.program(loopback, machine)
            assert (len(program) % 8, len(program) // 8 <= 4096) == (0, True)  # BPF_MAXINSNS


def profiled(loopback: bool, name: str, *arguments: int) -> str:
    """What Docker's rules come to for a call, as libseccomp reads them."""
    document = json.loads(seccomp.profile(loopback))
    for rule in document["syscalls"]:
        held = all(arguments[each["index"]] & each["value"] == each["valueTwo"] for each in rule.get("args", ()))
        if name in rule["names"] and held:
            return str(rule["action"])
    return str(document["defaultAction"])


@pytest.mark.parametrize("loopback", [False, True])
def test_dockers_profile_says_the_same(loopback: bool) -> None:
    arguments = [
        (0, 0, 0, 0),
        (1, 1, 0, 0),
        (2, 1, 6, 0),
        (40, 1, 0, 0),
        (0x10000000, 0x5412, 0, 0),
        (0, 0o102, 0o4755, 0o4755),
        (0, 0o4755, 0o101, 0o2755),
    ]
    for name, (number, *_) in TABLE.items():
        if number != "-":
            for given in arguments:
                ours = judged(name, *given, loopback=loopback) == ALLOW
                assert (profiled(loopback, name, *given) == "SCMP_ACT_ALLOW") is ours, (name, given)


def test_on_an_architecture_without_a_table_nothing_runs_and_the_doctor_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert (shown := diagnosis.unfiltered()) and not shown.ok
    assert BubblewrapSandbox().available() == shown
    with pytest.raises(SandboxUnavailable, match="riscv64") as raised:
        BubblewrapSandbox().run(SandboxSpec(argv=("/bin/true",)))
    assert raised.value.next_step == shown.fix and '`sandbox = "docker"`' in shown.fix
    looked_at = doctor._sandbox(tmp_path)
    assert (looked_at.ok, looked_at.found, looked_at.fix) == (False, shown.why, shown.fix) and "riscv64" in shown.why


def test_a_filter_for_an_unknown_machine_is_refused_with_what_can_be_done() -> None:
    with pytest.raises(SandboxUnavailable) as raised:
        seccomp.program(loopback=False, machine="s390x")
    assert raised.value.told() == {
        "code": "sandbox-unavailable", "what": "A sandbox could not be set up.",
        "why": "There is no table of the system calls of s390x, so no filter for them.",
        "next_step": 'Use an x86_64 or aarch64 machine, or `sandbox = "docker"` in skillops.toml with an engine on one.',
    }  # fmt: skip

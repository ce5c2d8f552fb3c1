"""The battery: some seventy things that a sandbox must make impossible, tried inside by a program of ours and judged outside by their
effect: a canary that was read, a trap that was written, a packet that came, a process that lives. `skillops doctor --sandbox` shows it, and
a sandbox that lets any of them happen is not available (`proof.py`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent.interpreter import base_mounts, interpreter
from agent.ports import Mount, SandboxResult, SandboxSpec
from agent.sandboxes.battery.world import LIMITS, World, read

INSIDE, WRITABLE = "/battery", "/writable"
SOURCES = Path(__file__).parent

Run = Callable[[SandboxSpec], SandboxResult]
Effect = Callable[[World, str], bool]


class Attempt(NamedTuple):
    """One thing that was tried: what it is in words, whether it is possible, and what it came to. None: that could not be told."""

    name: str
    what: str
    possible: bool | None
    said: str


def _canary(world: World, said: str) -> bool:
    return world.word in said


def _heard(*ways: str) -> Effect:
    return lambda world, said: any(way in heard for way in ways for heard in world.heard)


# What each probe is called in the program, in words, and the effect that shows it; without one, the kernel's answer inside does.
PROBES: Mapping[str, tuple[str, Effect | None]] = {
    "file_outside": ("read a file of this machine", _canary),
    "file_at_home": ("read a file of the user's home", _canary),
    "file_through_proc": ("read a file through another process's root", _canary),
    "environment_of_others": ("read another process's environment", _canary),
    "environment_of_the_starter": ("read the starter's environment", _canary),
    "inherited_descriptors": ("read through a descriptor of the starter", _canary),
    "processes_of_others": ("see other processes", None),
    "memory_of_others": ("open another process's memory", None),
    "signal_others": ("signal a process outside", lambda world, said: world.bystander.poll() is not None),
    "daemon": ("leave a process that outlives the run", lambda world, said: world.outlived()),
    "left_behind": ("leave a file in /tmp, /dev/shm, /run or /etc", lambda world, said: world.trapped()),
    "segment_left_behind": ("leave shared memory (System V)", lambda world, said: world.segment()),
    "privileged_file": ("leave a program with its owner's rights (set-user-ID)", lambda world, said: world.privileged()),
    "root_outside": ("be root outside", lambda world, said: world.peer == 0),
    "loopback_outside": ("reach this machine's loopback", _heard("tcp 127.")),
    "address_outside": ("reach this machine's address", _heard("tcp")),
    "datagram_outside": ("send a datagram out", _heard("udp")),
    "world": ("find a way to other networks", None),
    "metadata": ("find a way to a cloud's metadata (169.254.169.254)", None),
    "abstract_socket_outside": ("reach an abstract socket outside", _heard("abstract")),
    "named_socket_outside": ("reach a socket in another folder", _heard("named")),
    "engine": ("reach a container engine's socket", None),
    "hypervisor_sockets": ("make a socket to the hypervisor (vsock)", None),
    "raw_sockets": ("make a raw or packet socket", None),
    "kernel_messages": ("make a netlink socket beyond routes", None),
    "rare_sockets": ("make a socket of a rare family", None),
    "kernel_settings": ("write a setting below /proc/sys", None),
    "kernel_requests": ("write to /proc/sysrq-trigger and its like", None),
    "system_settings": ("write a setting below /sys", None),
    "control_groups": ("write to a control group", None),
    "kernel_memory": ("read the kernel's memory or log as a file", None),
    "kernel_log": ("read the kernel's log (syslog)", None),
    "devices": ("open a disk, /dev/kvm and their like", None),
    "make_a_device": ("make a device node that works", None),
    "mounts": ("mount a file system", None),
    "copies_of_mounts": ("clone a mount", None),
    "change_root": ("change its root", None),
    "user_namespace": ("make a user namespace", None),
    "user_namespace_by_clone3": ("make a user namespace by clone3", None),
    "other_namespaces": ("make another namespace", None),
    "enter_a_namespace": ("enter a namespace", None),
    "capabilities": ("hold a capability", None),
    "programs_with_privileges": ("gain rights by a set-user-ID program", None),
    "trace_a_process": ("trace a process (ptrace)", None),
    "read_anothers_memory": ("read another process's memory (process_vm_readv)", None),
    "anothers_descriptor": ("take another process's descriptor (pidfd_getfd)", None),
    "keyring": ("keep a key in the kernel's keyring", None),
    "bpf": ("load a BPF map", None),
    "io_uring": ("make an io_uring", None),
    "perf_events": ("open a performance event", None),
    "page_faults": ("handle page faults (userfaultfd)", None),
    "file_in_memory": ("make a file without a place (memfd)", None),
    "files_by_handle": ("open a file by handle", None),
    "no_randomised_addresses": ("switch address randomisation off", None),
    "x32": ("use the x32 ABI", None),
    "the_32_bit_way": ("make 32-bit system calls", None),
    "type_on_a_terminal": ("type on a terminal (TIOCSTI)", None),
    "terminal_of_the_starter": ("open the starter's terminal", None),
    "clock": ("set the clock", None),
    "hostname": ("set the host's name", None),
    "reboot": ("restart the machine", None),
    "another_kernel": ("load another kernel (kexec)", None),
    "modules": ("load a kernel module", None),
    "priority": ("raise its priority", None),
    "spared_when_memory_is_short": ("be spared when memory is short", None),
    "processes": ("start more processes than allowed", None),
    "memory": ("use more memory than allowed", None),
    "disk": ("fill more disk than allowed", None),
    "inodes": ("use up inodes of this machine", lambda world, said: world.inodes_taken()),
    "descriptors": ("open more than 4,096 descriptors", None),
}  # fmt: skip


def tried(run: Run, alone: Collection[str] = ()) -> tuple[Attempt, ...]:
    """Every probe in a sandbox, by the way that all of its runs go, with the widest network that a run may have.

    `alone`: those with a run of their own each, as the sandbox ends a whole run for what one process of it does.
    """
    with World() as world:
        report: dict[str, Any] = {}
        told = [_told(run, world, names) for names in ([name for name in PROBES if name not in alone], *([name] for name in alone))]
        for found, _ in told:
            report |= found
        return judged(world, report, told[0][1])


def _told(run: Run, world: World, names: list[str]) -> tuple[Mapping[str, Any], str]:
    """What the probes of one run say, and why there is no report where there is none."""
    mounts = (*base_mounts(), Mount(source=SOURCES, target=INSIDE), Mount(source=world.writable, target=WRITABLE, writable=True))
    result = run(SandboxSpec(
        argv=(interpreter(), "-I", "-S", "-c", f"import sys; sys.path.insert(0, {INSIDE!r}); import probes; probes.main()"),
        mounts=mounts, stdin=world.job(names, writable=WRITABLE, apart=True), limits=LIMITS, result_fd=True, loopback=True,
    ))  # fmt: skip
    if len(names) == 1 and result.ending in ("out_of_memory", "pids"):
        return {names[0]: (False, f"the run was ended ({result.ending})")}, ""
    said = f"the battery ended as {result.ending}: {result.stderr.decode(errors='replace').strip()[-300:]}"
    return (read(result.result) if result.ending == "ok" else None) or {}, said


def judged(world: World, report: Mapping[str, Any] | None, otherwise: str) -> tuple[Attempt, ...]:
    """What the probes say, held against what happened outside. `otherwise`: why there is no report."""
    attempts = []
    for name, (what, effect) in PROBES.items():
        possible, said = (report or {}).get(name, (None, otherwise))
        if possible is not None and effect is not None:
            possible = effect(world, said)
        attempts.append(Attempt(name, what, possible, said.replace(world.word, "the canary's word")))
    return tuple(attempts)

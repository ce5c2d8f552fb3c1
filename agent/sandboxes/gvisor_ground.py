"""What gVisor finds on this machine: which runsc, what it can, on which platform it runs here; and the next step where it does not."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agent.ports import Availability, SandboxResult, SandboxSpec
from agent.sandboxes import cgroup, diagnosis, lowering
from agent.sandboxes.treed import Ground

INSTALL = "Install it: `apt-get install runsc` (Debian, Ubuntu), or a newer one as gvisor.dev/docs/user_guide/install says."
OTHERWISE = "Until then set `sandbox` in skillops.toml to bubblewrap or docker, and policy's min_tier to no more."
NEEDED = ("root", "platform", "network", "ignore-cgroups", "oci-seccomp", "host-uds", "host-fifo", "strace-syscalls", "debug-log", "log")
PLATFORMS = ("systrap", "ptrace")  # how it gets hold of the guest's system calls; kvm needs a device that is in no sandbox of ours
_SECONDS = 20.0
_TRIAL_EXIT_CODE = 7
# What is so cheap that each process looks at it: that a program runs, filtered, on a kernel of its own.
_LOOK = 'while read -r key value _; do if [ "$key" = Seccomp: ]; then held=$value; fi; done </proc/self/status'
_OTHER = 'read -r _ _ release _ </proc/version; [ "$release" != "$0" ]'
_TRIAL = SandboxSpec(argv=("/bin/sh", "-c", f'{_LOOK}; [ "$held" = 2 ] || exit 1; {_OTHER} || exit 2; exit {_TRIAL_EXIT_CODE}', platform.release()))


@dataclass(frozen=True)
class GvisorGround(Ground):
    """`runsc`: its path; `flags`: what it says of each of its own options; `platform`: one on which it runs here."""

    runsc: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""


def explored(run: Callable[[GvisorGround, SandboxSpec], SandboxResult]) -> GvisorGround:
    """Tries each platform that this runsc has, the newest first."""
    bwrap, runsc = shutil.which("bwrap"), shutil.which("runsc")
    if bwrap is None:
        return GvisorGround(diagnosis.MISSING)
    if runsc is None:
        return _no("gVisor (the command runsc) is not installed.", INSTALL)
    if unfiltered := diagnosis.unfiltered():
        return GvisorGround(unfiltered)
    if os.geteuid() != 0:
        return _no("root alone makes the user namespace that gVisor needs here.", f"Start SkillOps as root. {OTHERWISE}")
    if trouble := lowering.trouble():
        return _no(f"It cannot be started without root's rights: {trouble}.", f"Put TMPDIR on a file system such as ext4, xfs or tmpfs. {OTHERWISE}")
    cgroups = cgroup.find()
    if cgroups is None:
        return _no("No control group can be written here, and nothing else bounds gVisor's memory.", diagnosis.UNLIMITED_ROOT.fix)
    cgroups.reap()
    flags = options_of(runsc)
    if missing := [name for name in NEEDED if name not in flags]:
        return _no(f"{runsc} is too old: it knows no --{missing[0]}.", INSTALL)
    ground = GvisorGround(Availability(ok=True), bwrap, cgroups=cgroups, lowered=True, runsc=os.path.realpath(runsc), flags=flags)
    said = "it names none of the platforms systrap and ptrace"
    for name in (name for name in PLATFORMS if name in flags["platform"]):
        result = run(replace(ground, platform=name), _TRIAL)
        if result.exit_code == _TRIAL_EXIT_CODE:
            return replace(ground, platform=name)
        last = (result.stderr.decode(errors="replace").strip().splitlines() or [f"it ended as {result.ending} ({result.exit_code})"])[-1]
        said = f"{name}: {last[-300:]}"
    return _no(f"{runsc} does not work here ({said}).", f"Try `runsc --network=none do true` and mend what it says. {OTHERWISE}")


def options_of(runsc: str) -> Mapping[str, str]:
    """What `runsc flags` says of each option, by its name; nothing where it says nothing."""
    try:
        done = subprocess.run([runsc, "flags"], capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    parts = re.split(r"^\s+-([A-Za-z0-9_-]+)", done.stdout + done.stderr, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=False))


def _no(why: str, fix: str) -> GvisorGround:
    return GvisorGround(Availability(ok=False, why=why, fix=fix))

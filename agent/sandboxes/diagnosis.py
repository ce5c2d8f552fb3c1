"""Why bubblewrap does not work on a machine, and the exact command that mends it."""

from __future__ import annotations

import os
from pathlib import Path

from agent import seccomp
from agent.ports import Availability

INSTALL = "Install it: `apt-get install bubblewrap` (Debian, Ubuntu), `dnf install bubblewrap` (Fedora), `apk add bubblewrap` (Alpine)."
_PROFILE = """abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
}"""

MISSING = Availability(ok=False, why="bubblewrap (the command bwrap) is not installed.", fix=INSTALL)
UNLIMITED_ROOT = Availability(
    ok=False,
    why="root may start as many processes as it likes unless a control group holds it, and none can be written here.",
    fix="Run as an ordinary user, or make /sys/fs/cgroup writable (in a container: `--privileged` or `--cgroupns=private -v /sys/fs/cgroup:rw`).",
)
UNGROUPED = Availability(
    ok=True,
    why="No control group can be written here, so memory is limited for each process by itself, and a run that hits its limit ends as nonzero.",
    fix="Start it in a group of its own: `systemd-run --user --scope -p Delegate=yes skillops …`.",
)


def unfiltered() -> Availability | None:
    """Where this machine is one whose system calls nobody has listed."""
    trouble = seccomp.trouble()
    return _no(trouble.why, trouble.next_step) if trouble else None


def unlowered(trouble: str) -> Availability:
    """Root's own fallback, which is told."""
    return Availability(
        ok=True,
        why=f"Programs run as root outside, though without its rights: {trouble}.",
        fix="Start it as an ordinary user, or put the repository and TMPDIR on a file system such as ext4, xfs, btrfs or tmpfs.",
    )


def explain(said: str, *, system: Path = Path("/")) -> Availability:
    """What the failure of a trial run means; `said` is what bubblewrap printed, `system` the root of the machine."""
    parameters = system / "proc/sys"
    if "Unknown option" in said:
        return _no(f"bubblewrap is older than 0.8 ({said}).", INSTALL)
    if os.geteuid() != 0 and _read(parameters / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return _no(
            "AppArmor forbids unprivileged user namespaces (kernel.apparmor_restrict_unprivileged_userns=1, as in Ubuntu 24.04).",
            "Allow them for bubblewrap alone: put the following in /etc/apparmor.d/bwrap, then `sudo systemctl reload apparmor`:\n"
            f"{_PROFILE}\nOr for every program: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`.",
        )
    if _read(parameters / "kernel/unprivileged_userns_clone") == "0":
        return _no("Unprivileged user namespaces are switched off.", "`sudo sysctl -w kernel.unprivileged_userns_clone=1`.")
    if _read(parameters / "user/max_user_namespaces") == "0":
        return _no("The machine allows no user namespace.", "`sudo sysctl -w user.max_user_namespaces=15000`.")
    if any((system / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        return _no(
            f"This container may not make namespaces ({said}).",
            "Start it with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`.",
        )
    return _no(f"bubblewrap does not work here: {said}", "Try `bwrap --unshare-all --ro-bind / / true` and mend what it says.")


def _no(why: str, fix: str) -> Availability:
    return Availability(ok=False, why=why, fix=fix)


def _read(parameter: Path) -> str | None:
    try:
        return parameter.read_text().strip()
    except OSError:
        return None

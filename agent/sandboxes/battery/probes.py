"""What the battery tries inside: reaches for each thing of the machine that a sandbox must keep from a program. Standard library only.

`main()` takes the job as JSON on stdin: where the canaries lie, where the listeners listen, the names of what is tried. It says on
descriptor 3, or on stdout, what each attempt came to. What the job does not say are the canaries' words: who tells one has read it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import calls
import reaching
import using
from job import JOB, fail, said, word

# ---- files and processes ----------------------------------------------------------------------------------------------


def file_outside() -> str:
    return word(said("file"))


def file_at_home() -> str:
    return word(said("home"))


def file_through_proc() -> str:
    for process in ("1", "self", str(os.getppid()), said("bystander")):
        for place in (f"/proc/{process}/root{said('file')}", f"/proc/{process}/cwd/../../../../../..{said('file')}"):
            with contextlib.suppress(OSError):
                return word(place)
    raise FileNotFoundError(errno.ENOENT, "none")


def every_process() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit() and path.name != str(os.getpid())]


def environment_of_others() -> str:
    for process in every_process():
        with contextlib.suppress(OSError):
            if b"SKILLOPS_CANARY=" in (text := (process / "environ").read_bytes()):
                return text.partition(b"SKILLOPS_CANARY=")[2].partition(b"\0")[0].decode()
    raise PermissionError(errno.EPERM, "none")


def processes_of_others() -> str:
    for process in every_process():
        with contextlib.suppress(OSError):
            if said("seen") in (process / "cmdline").read_text(errors="replace"):
                return f"process {process.name} is seen"
    raise ProcessLookupError(errno.ESRCH, "none")


def memory_of_others() -> str:
    with open(f"/proc/{said('bystander')}/mem", "rb"):
        return "the memory of a process outside is open"


def signal_others() -> str:
    os.kill(int(said("bystander")), 10)
    return "it was sent"


def environment_of_the_starter() -> str:
    return os.environ["SKILLOPS_CANARY"] if "SKILLOPS_CANARY" in os.environ else fail(errno.ENOENT)


def inherited_descriptors() -> str:
    """All that can be read through any: the starter may have others open than the canary's."""
    found = b""
    for number in range(3, 4096):
        with contextlib.suppress(OSError):
            found += os.pread(number, 100, 0)
    if not found:
        raise OSError(errno.EBADF, "none")
    return found.decode(errors="replace")


def daemon() -> str:
    subprocess.Popen(["/bin/sleep", said("nap")], start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
    return "it was started"


# ---- what the kernel shows and takes ------------------------------------------------------------------------------------


def opened_for_writing(*paths: str) -> str:
    """Opened and not written."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            return f"{path} can be written"
    raise PermissionError(errno.EACCES, "none")


def below(top: str, wanted: str = "", most: int = 4000) -> list[str]:
    found: list[str] = []
    for folder, _, files in os.walk(top):
        found += [f"{folder}/{name}" for name in files if wanted in name]
        if len(found) > most:
            break
    return found


def kernel_settings() -> str:
    return opened_for_writing(*below("/proc/sys"))


def kernel_requests() -> str:
    return opened_for_writing("/proc/sysrq-trigger", "/proc/kcore", "/proc/mtrr", "/proc/irq/default_smp_affinity", "/proc/pressure/memory")


def system_settings() -> str:
    return opened_for_writing("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/ksm/run", *below("/sys/module", most=800))


def control_groups() -> str:
    return opened_for_writing(*below("/sys/fs/cgroup", "cgroup.procs"), *below("/sys/fs/cgroup", "release_agent"), *below("/sys/fs/cgroup", "tasks"))


def kernel_memory() -> str:
    for path in ("/proc/kcore", "/dev/mem", "/dev/kmem", "/proc/kmsg", "/dev/kmsg"):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            return f"{path} can be read"
    raise PermissionError(errno.EACCES, "none")


def devices() -> str:
    """Disks, and what leads to the kernel; others are left alone, as opening one may do something (a watchdog)."""
    disks = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    for path in (*disks, *(Path("/dev", name) for name in ("kvm", "fuse", "net/tun", "loop-control", "vsock", "vhost-vsock", "mapper/control"))):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            return f"{path} opens"
    raise PermissionError(errno.EACCES, "none")


def make_a_device() -> str:
    path = "/tmp/skillops-probe-device"
    os.mknod(path, 0o020666, os.makedev(1, 5))
    try:
        with open(path, "rb") as file:
            return f"{len(file.read(4))} bytes of a device that we made"
    finally:
        os.unlink(path)  # noqa: PTH108


def capabilities() -> str:
    held = [line for line in word("/proc/self/status").splitlines() if line.startswith(("CapEff", "CapPrm", "CapBnd", "CapAmb"))]
    return next((line for line in held if int(line.split()[1], 16)), "") or fail(errno.EPERM)


def programs_with_privileges() -> str:
    return "NoNewPrivs is not set" if "NoNewPrivs:\t0" in word("/proc/self/status") else fail(errno.EPERM)


def priority() -> str:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return "ours was raised"


def spared_when_memory_is_short() -> str:
    Path("/proc/self/oom_score_adj").write_text("-500")
    return "others are ended first"


def terminal_of_the_starter() -> str:
    os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    return "it opens"


MODULES = (sys.modules[__name__], calls, reaching, using)


def main() -> None:
    JOB.update(json.load(sys.stdin))
    report = {}
    for name in JOB["probes"]:
        probe = next(getattr(module, name) for module in MODULES if hasattr(module, name))
        try:
            report[name] = [True, probe()]
        except (OSError, ValueError, KeyError) as error:
            report[name] = [False, getattr(error, "strerror", None) or str(error)]
    with open(3 if JOB["apart"] else 1, "w") as file:
        json.dump(report, file)

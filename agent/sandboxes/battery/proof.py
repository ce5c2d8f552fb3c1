"""What the battery has shown of a sandbox, kept so that it is tried once: for this kernel and start of the machine, this version of ours,
and whatever else the sandbox names. Only a clean result is kept, where nobody but us (and no program inside) can write.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import pwd
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from agent.ports import Availability
from agent.sandboxes.battery import PROBES, Run, tried

FILE = "sandboxes.json"
SHOWN = 4  # leaks that are named


def place() -> Path:
    """The user's cache by the system's word, not by the environment's."""
    if os.geteuid() == 0:
        return Path("/var/cache/skillops")
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # as of a container's nameless user
        home = Path.home()
    return home / ".cache" / "skillops"


def trouble(tier: str, marks: Sequence[object], run: Run, excused: Collection[str] = (), alone: Collection[str] = ()) -> Availability | None:
    """None where a sandbox keeps all that the battery tries from a program; else why nothing may run in it. `excused`: what the sandbox
    says itself that it cannot keep. `alone` as in `tried`."""
    key = _key(tier, marks)
    with _kept(place()) as known:
        if key in known:
            return None
        attempts = [attempt for attempt in tried(run, alone) if attempt.name not in excused]
        if untold := [attempt for attempt in attempts if attempt.possible is None]:
            why = f"It could not be tried what a program in it can do: {untold[0].said}."
            return Availability(ok=False, why=why, fix="`skillops doctor --sandbox` tries it again.")
        if leaks := [attempt.what for attempt in attempts if attempt.possible]:
            more = f", and {len(leaks) - SHOWN} things more" if len(leaks) > SHOWN else ""
            why = f"A program in it can {', '.join(leaks[:SHOWN])}{more}."
            return Availability(ok=False, why=why, fix="`skillops doctor --sandbox` shows all; use another sandbox until it is mended.")
        known.append(key)
    return None


def _key(tier: str, marks: Sequence[object]) -> str:
    with contextlib.suppress(OSError):
        marks = (*marks, Path("/proc/sys/kernel/random/boot_id").read_text())
    text = "\0".join(map(str, (tier, _version(), platform.release(), platform.version(), os.geteuid(), sorted(PROBES), *marks)))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _version() -> str:
    """Of all that makes the sandboxes and the battery."""
    hashed, top = hashlib.sha256(), Path(__file__).parent.parent
    for path in sorted(path for folder in (top, top.parent / "seccomp") for path in folder.rglob("*") if path.suffix in (".py", ".sh", ".txt")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[list[str]]:
    """The keys of what was shown; what is added is kept. Others wait meanwhile, so that one battery is enough for all of them. Where nothing can be
    kept, or somebody else may write there, nothing is known."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(folder / "lock", "a")  # noqa: SIM115
    except OSError:
        yield []
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(folder)
        before = len(known)
        yield known
        if len(known) > before:
            fresh = folder / f"{FILE}.new"
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
                with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                    json.dump(known[-50:], file)
                fresh.replace(folder / FILE)


def _read(folder: Path) -> list[str]:
    for path in (folder, folder / FILE):
        try:
            state = path.lstat()
        except OSError:
            return []
        if state.st_uid != os.geteuid() or state.st_mode & 0o022:
            return []
    try:
        known = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return []
    return [key for key in known if isinstance(key, str)] if isinstance(known, list) else []

"""Where root starts a sandbox: nobody's rights for it, before bubblewrap begins, and still the sight of files that only root may see.

Two things of Linux make that possible without a process in between. Credentials and mount namespaces belong to threads, whatever the C
library makes of them (credentials(7), unshare(2)), so a thread of our own lowers itself, starts bubblewrap, and is root again. And a mount may
show its files as somebody else's (MOUNT_ATTR_IDMAP in mount_setattr(2)): what root owns looks like nobody's, however deep below a home of mode
700 it lies, and what is written there is root's again, without a right that it did not have: set-user-ID is refused by seccomp.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agent.errors import SandboxUnavailable

NOBODY = 65532  # as in the images: distroless' nonroot, whom no package of a distribution gives files to
STAGE = Path("/run/skillops")  # an empty folder of the machine; what is staged on it is seen by the one thread and its sandbox alone
_SETRES = {"x86_64": (117, 119, 116), "aarch64": (147, 149, 159)}  # setresuid, setresgid, setgroups
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_NEWNS, _NEWUSER, _HERE = 0x00020000, 0x10000000, -100
_CLONE, _CLOEXEC, _RECURSIVE, _EMPTY_PATH, _FROM_EMPTY = 1, 0o2000000, 0x8000, 0x1000, 0x4
_NOSUID, _NODEV, _IDMAP = 0x2, 0x4, 0x100000
_PRIVATE, _REC = 1 << 18, 1 << 14
_OTHERS = 2**31 - 1 - NOBODY  # every other user stays who they are

_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    found = _LIBC.syscall(ctypes.c_long(number), *given)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


@functools.cache
def trouble() -> str:
    """Why root cannot lower what it starts here, as a clause; nothing where it can."""
    if platform.machine() not in _SETRES:
        return f"its numbers of system calls on {platform.machine()} are not known"
    try:
        STAGE.mkdir(mode=0o755, exist_ok=True)
        if STAGE.is_symlink() or STAGE.stat().st_uid != 0:
            return f"{STAGE} is not root's own"
        with tempfile.TemporaryDirectory() as folder:
            os.close(_shown_as_nobodys(folder))
    except OSError as error:
        return f"the files of root cannot be shown to another user here ({error.strerror})"
    return ""


def staged(sources: Iterable[Path]) -> Mapping[Path, str]:
    """For a thread that ends with its sandbox: from here on it sees each source, as nobody's, at the place that is told.

    What is not there has no place. Raises SandboxUnavailable where a source cannot be shown so, OSError where nothing can.
    """
    _call_libc("unshare", _NEWNS)
    _call_libc("mount", None, b"/", None, _REC | _PRIVATE, None)
    clones = {source: _clone(source) for source in dict.fromkeys(sources) if source.exists()}
    _call_libc("mount", b"skillops", os.fsencode(STAGE), b"tmpfs", _NOSUID | _NODEV, b"size=64k,mode=755")
    places: dict[Path, str] = {}
    for number, (source, clone) in enumerate(clones.items()):
        place = places[source] = f"{STAGE}/{number}"
        if source.is_dir():
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        _call(_MOVE_MOUNT, clone, b"", _HERE, place.encode(), _FROM_EMPTY)
        os.close(clone)
    return places


@contextlib.contextmanager
def lowered(user: int = NOBODY) -> Iterator[None]:
    """Meanwhile this thread is `user`, and what it starts is so for good: the saved ids, by which the thread comes back, do not outlive exec."""
    setresuid, setresgid, setgroups = _SETRES[platform.machine()]
    _call(setgroups, 0, None)
    _call(setresgid, user, user, 0)
    _call(setresuid, user, user, 0)
    try:
        yield
    finally:
        _call(setresuid, 0, 0, 0)
        _call(setresgid, 0, 0, 0)


def _clone(source: Path) -> int:
    try:
        return _shown_as_nobodys(os.fspath(source))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP):
            raise
        mode = source.stat().st_mode
        if mode & 0o004 and (not source.is_dir() or mode & 0o001):
            return _call(_OPEN_TREE, _HERE, os.fsencode(source), _CLONE | _CLOEXEC | _RECURSIVE)
        raise SandboxUnavailable(
            f"{source} cannot be shown to the sandbox.",
            why=f"Its file system does not let root's files be shown to another user ({error.strerror}), and they are not everybody's to read.",
            next_step="Put the repository and TMPDIR on a file system such as ext4, xfs, btrfs or tmpfs, or start SkillOps as an ordinary user.",
        ) from None


def _shown_as_nobodys(source: str) -> int:
    """A mount of its own of a source, attached nowhere yet."""
    clone = _call(_OPEN_TREE, _HERE, os.fsencode(source), _CLONE | _CLOEXEC | _RECURSIVE)
    try:
        attributes = ctypes.create_string_buffer(struct.pack("<QQQQ", _IDMAP | _NOSUID | _NODEV, 0, 0, _identities()), 32)
        _call(_MOUNT_SETATTR, clone, b"", _EMPTY_PATH, attributes, 32)
    except OSError:
        os.close(clone)
        raise
    return clone


@functools.cache
def _identities() -> int:
    """A user namespace, by descriptor, in which root is nobody, nobody root, and everybody else themselves."""
    return user_namespace(f"0 {NOBODY} 1\n1 1 {NOBODY - 1}\n{NOBODY} 0 1\n{NOBODY + 1} {NOBODY + 1} {_OTHERS}\n")


def user_namespace(identities: str, owner: int = 0) -> int:
    """One that nobody is in yet, by descriptor. `identities`: as uid_map and gid_map (user_namespaces(7)); `owner` may do anything in it."""
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go[1])  # so that ours alone keeps it waiting
        if owner:
            os.setresgid(owner, owner, owner)
            os.setresuid(owner, owner, owner)
        _LIBC.unshare(_NEWUSER)
        os.write(ready[1], b".")
        os.read(go[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text(identities)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for end in (*ready, *go):
            os.close(end)
        os.waitpid(pid, 0)


def _call_libc(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

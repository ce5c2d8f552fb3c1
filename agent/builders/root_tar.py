"""A system's root as a tar whose bytes follow from the packages alone."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

EPOCH = 1_577_836_800  # 2020-01-01: the date of every file that was written while the root was made
# What names this machine, what differs with the day, and what nobody reads in a container.
GONE = frozenset((
    "var/cache/debconf", "var/cache/ldconfig", "var/lib/dpkg/status-old", "var/lib/dpkg/available", "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old", "var/lib/systemd", "etc/machine-id", "etc/resolv.conf", "etc/hostname", "etc/apt/sources.list", "debootstrap",
    "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock", "root/.cache", "usr/share/doc", "usr/share/man", "usr/share/info",
    "usr/share/lintian", "usr/share/locale",
))  # fmt: skip
EMPTY = frozenset(("var/cache/apt", "var/lib/apt/lists", "var/log", "run", "tmp", "dev", "proc", "sys"))  # what lies in them


def add_user(root: Path, uid: int) -> None:
    """The user `skill`; and no day on which a password was changed, which is that of the root's making."""
    for path, line in ((root / "etc/passwd", f"skill:x:{uid}:{uid}:skill:/tmp:/usr/sbin/nologin"), (root / "etc/group", f"skill:x:{uid}:")):
        path.write_text(f"{path.read_text()}{line}\n")
    shadow = root / "etc/shadow"
    lines = [line.split(":") for line in shadow.read_text().splitlines()]
    shadow.write_text("".join(":".join((*fields[:2], "1", *fields[3:])) + "\n" for fields in lines))


def write_tar(root: Path, target: Path, since: float) -> str:
    """Writes `root`, in order; `since`: when its making began (Unix time). Returns `sha256:` and the digest of the tar."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = member.name.removeprefix("./")
        if name in GONE or any(name.startswith(f"{folder}/") for folder in EMPTY):
            return None
        member.uname = member.gname = ""
        member.mtime = EPOCH if member.mtime >= int(since) else int(member.mtime)
        return member if member.isfile() or member.isdir() or member.issym() or member.islnk() else None

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(root, arcname=".", filter=plain)
    with target.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

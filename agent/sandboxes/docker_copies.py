"""Mounts for an engine that does not see our files: volumes that are filled before the start, and what may be written is brought back."""

from __future__ import annotations

import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from agent.docker_engine import faults, remove
from agent.errors import CouldNotTell
from agent.interpreter import base_mounts, interpreter
from agent.ports import Mount, SandboxSpec

PREFIX = "skillops-sandbox-"  # of a container's name
MOST = 512 * 2**20  # bytes that are brought back of one mount
IN_MEMORY = 16 * 2**20  # bytes of an archive, before it is kept on the disk


def with_their_python(spec: SandboxSpec) -> SandboxSpec:
    """As `spec`, by the Python of the root image: ours is large, and may lie in a folder that nobody else may enter there."""
    ours = {mount.source for mount in base_mounts()}
    argv = ("/usr/bin/env", "python3", *spec.argv[1:]) if spec.argv[0] == interpreter() else spec.argv
    return spec.model_copy(update={"argv": argv, "mounts": tuple(mount for mount in spec.mounts if mount.source not in ours)})


class Copies:
    """The copies of `mounts` for a container; `user` is whom its programs run as.

    Everything lies in volumes, as a container's read-only root takes nothing in. They are writable as such: what is not to
    be written to belongs to root and has no right for others.
    """

    def __init__(self, mounts: Sequence[Mount], user: int) -> None:
        self._mounts, self._user = mounts, user
        places = {mount.target if mount.source.is_dir() else str(PurePosixPath(mount.target).parent) for mount in mounts}
        self.volumes: dict[str, dict[str, str]] = {place: {} for place in places if not _below_another(place, places)}

    def fill(self, api: Any, container: str) -> None:
        """Copies everything into a container that was made and not started: one archive a volume, as each may take a connection of its own."""
        self._give_away(api, container)
        for place in self.volumes:
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as archive:
                with tarfile.open(fileobj=archive, mode="w", dereference=False) as tar:
                    for mount in self._mounts:
                        if PurePosixPath(mount.target).is_relative_to(place):
                            self._pack(mount, str(PurePosixPath(mount.target).relative_to(place)), tar)
                archive.seek(0)
                with faults("copy files into a container"):
                    api.put_archive(container, place, archive)

    def _give_away(self, api: Any, container: str) -> None:
        """A new volume belongs to root, and no archive changes that (moby's archive.Unpack leaves `.` as it is): chown(1) does, beside it."""
        places = [mount.target for mount in self._mounts if mount.writable and mount.target in self.volumes]
        if not places:
            return
        with faults("prepare a volume"):
            made = api.inspect_container(container)
            config = {
                "Image": made["Image"], "Labels": made["Config"]["Labels"], "Entrypoint": None, "User": "0",
                "Cmd": ["chown", f"{self._user}:{self._user}", *places],
                "HostConfig": {
                    "VolumesFrom": [container], "NetworkMode": "none", "CapDrop": ["ALL"], "CapAdd": ["CHOWN"], "ReadonlyRootfs": True,
                    "SecurityOpt": ["no-new-privileges"], "PidsLimit": 16, "Memory": 64 * 2**20,
                },
            }  # fmt: skip
            beside = api.create_container_from_config(config, f"{PREFIX}{secrets.token_hex(8)}")["Id"]
            try:
                api.start(beside)
                api.wait(beside, timeout=60)
            finally:
                remove(api, beside)

    def bring_back(self, api: Any, container: str) -> None:
        """What became of the writable mounts takes the place of what they were. Raises CouldNotTell."""
        for mount in self._mounts:
            if mount.writable and mount.source.is_dir():
                with tempfile.TemporaryDirectory(dir=mount.source.parent, prefix=".skillops-") as fresh:
                    self._unpack(api, container, mount, Path(fresh))
                    _replace(mount.source, Path(fresh, PurePosixPath(mount.target).name))

    def _pack(self, mount: Mount, name: str, tar: tarfile.TarFile) -> None:
        owner = self._user if mount.writable else 0

        def owned(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            if not (member.isfile() or member.isdir() or member.issym()):
                return None  # a socket or a pipe is of this machine
            member.uid = member.gid = owner
            member.uname = member.gname = ""
            member.mode = member.mode | 0o600 if mount.writable else _for_reading(member)
            return member

        tar.add(mount.source, arcname=name, filter=owned)

    def _unpack(self, api: Any, container: str, mount: Mount, target: Path) -> None:
        with faults("copy files out of a container"), tempfile.SpooledTemporaryFile(IN_MEMORY) as archive:
            chunks, _ = api.get_archive(container, mount.target)
            with closing(chunks):  # else the engine waits for somebody to read on, and the container cannot be removed
                _spool(chunks, archive, mount)
            archive.seek(0)
            try:
                with tarfile.open(fileobj=archive) as tar:
                    tar.extractall(target, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise CouldNotTell(f"What was written to {mount.target} in the sandbox cannot be brought back.", why=str(error)) from None


def _spool(chunks: Iterable[bytes], archive: Any, mount: Mount) -> None:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MOST:
            raise CouldNotTell(f"More was written to {mount.target} in the sandbox than is brought back.", why=f"It may be {MOST // 2**20} MiB.")
        archive.write(chunk)


def _replace(old: Path, new: Path) -> None:
    """The content of a folder, which itself stays: others hold on to it."""
    for each in old.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for each in new.iterdir():
        each.rename(old / each.name)


def _for_reading(member: tarfile.TarInfo) -> int:
    return 0o755 if member.isdir() or member.mode & 0o100 else 0o644


def _below_another(place: str, places: Iterable[str]) -> bool:
    return any(other != place and PurePosixPath(place).is_relative_to(other) for other in places)

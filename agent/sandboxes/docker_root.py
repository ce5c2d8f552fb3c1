"""The root of a container: a small image with names and links alone, into which this machine's programs are mounted."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.docker_engine import DockerEngine, faults, remove

REPOSITORY = "skillops/sandbox"
_ETC = Path(__file__).parent / "etc"
# In /sbin the engine puts its init, so that it can be no link into /usr, which is mounted later and would hide it.
_FOLDERS = ("usr", "etc", "tmp", "proc", "dev", "sys", "sbin")
_SYSTEM = ("bin", "lib", "lib32", "lib64", "libx32")


def user() -> int:
    """Whom programs run as: ourselves, or somebody without rights where we are root."""
    return os.geteuid() or 1000


def small_root(engine: DockerEngine) -> str:
    """The image's name; it is made where the engine does not have it. The same content has the same name."""
    data = _tar()
    name = f"{REPOSITORY}:{hashlib.sha256(data).hexdigest()[:12]}"
    api = engine.client().api
    with faults("make the sandbox's root image"):
        if not api.images(filters={"reference": name}):
            api.import_image_from_data(data, *name.split(":"))
    return name


def system_binds() -> Iterator[tuple[str, str]]:
    """This machine's programs, as bubblewrap shows them: source and target."""
    yield "/usr", "/usr"
    for folder in _SYSTEM:
        path = Path("/", folder)
        if path.is_dir() and not path.is_symlink():
            yield str(path), str(path)
    for file in ("ld.so.cache", "alternatives", "localtime", "ssl/certs", "ssl/openssl.cnf"):
        if Path("/etc", file).exists():
            yield os.path.realpath(f"/etc/{file}"), f"/etc/{file}"


def see_our_files(engine: DockerEngine, image: str) -> bool:
    """Whether what the engine mounts are files of this machine: it tells a word that was written to one just now.

    They are `Mounts`, of which the engine refuses what it does not have; of `Binds` it would make a folder, which would stay there.
    """
    import docker.errors

    word, api = secrets.token_hex(16), engine.client().api
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        Path(folder, "word").write_text(word)
        Path(folder).chmod(0o755)
        shown = [*system_binds(), (f"{folder}/word", "/word")]
        mounts = [{"Type": "bind", "Source": source, "Target": target, "ReadOnly": True} for source, target in shown]
        config = {"Image": image, "Cmd": ["/bin/cat", "/word"], "User": str(user()), "HostConfig": {
            "Mounts": mounts, "NetworkMode": "none", "CapDrop": ["ALL"], "LogConfig": {"Type": "json-file"}}}  # fmt: skip
        with faults("try a container"):
            try:
                container = api.create_container_from_config(config, f"skillops-try-{word[:12]}")["Id"]
            except docker.errors.APIError as error:
                if error.status_code != 400:  # 400: one of them is not there
                    raise
                return False
        try:
            return _said(api, container) == word
        finally:
            with faults("remove a container"):
                remove(api, container)


def _said(api: Any, container: str) -> str:
    import docker.errors

    with faults("try a container"):
        try:
            api.start(container)
        except docker.errors.APIError:  # none of these files is there
            return ""
        api.wait(container, timeout=30)
        said: bytes = api.logs(container, stderr=False)
    return said.decode(errors="replace")


def _tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in _FOLDERS:
            tar.addfile(_member(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))  # which what is mounted there takes on
        for name in _SYSTEM:
            path = Path("/", name)
            if path.is_symlink():
                link = _member(name, tarfile.SYMTYPE, 0o777)
                link.linkname = str(path.readlink())
                tar.addfile(link)
        for name in ("hosts", "passwd", "group", "nsswitch"):
            data = (_ETC / f"{name}.txt").read_text().replace("1000", str(user())).encode()
            file = _member(f"etc/{name}{'.conf' if name == 'nsswitch' else ''}", tarfile.REGTYPE, 0o644)
            file.size = len(data)
            tar.addfile(file, io.BytesIO(data))
    return made.getvalue()


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member

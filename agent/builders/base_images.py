"""The base images of skills, made from Debian's packages where no registry can be reached: `python -m agent.builders.base_images`.

debootstrap makes one root with all that any of them needs. Each image takes away from it what it does not need, in the order of
`STEPS`, is tarred so that the same files give the same bytes, and is imported into Docker Engine under `STABLE` and under a tag
of its content. An image that was made by the same recipe is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from agent.builders.bases import DIGEST, RECIPE, STABLE, labels_of
from agent.builders.bases import VERSION as LANGUAGE_VERSION
from agent.builders.engine_build import import_tar
from agent.builders.root_tar import add_user, write_tar
from agent.docker_engine import DockerEngine, faults
from agent.errors import ConfigurationError, CouldNotTell, SkillOpsError

VERSION = "base/1"
UID = 65532  # who a skill runs as; the number that distroless images use for `nonroot`
PACKAGES = ("ca-certificates", "python3", "jq", "libstdc++6")
FURTHER = {"bash": ("curl",)}  # what scripts ask other hosts with
FREE = 2 * 2**30  # bytes: the root with its downloads, a copy as a tar, and the image
DEBOOTSTRAP_SECONDS = 1800.0
NODE = 20  # Debian 12 has 18, so the machine's own is taken, which the sandbox's tests ran on, too

_TRY = {
    "bash": ("bash", "-c", "jq --version && curl --version && python3 -c 'import ssl, json, ctypes'"),
    "python": ("python3", "-c", "import ssl, sqlite3, zoneinfo, ctypes; zoneinfo.ZoneInfo('Europe/Berlin')"),
    "node": ("node", "-e", "require('http'); new Intl.DateTimeFormat('de')"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes what is missing, or all with `--force`. Exits with the code of what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m agent.builders.base_images", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default=machine_suite(), help="Debian's release (default: that of this machine, or bookworm)")
    parser.add_argument("--mirror", default="", help="where its packages lie (default: where debootstrap looks)")
    parser.add_argument("--force", action="store_true", help="make them anew, also where they are there")
    chosen = parser.parse_args(arguments)
    try:
        for line in make(DockerEngine(), chosen.suite, chosen.mirror, force=chosen.force):
            print(line, flush=True)
    except SkillOpsError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def make(engine: DockerEngine, suite: str, mirror: str = "", *, force: bool = False) -> Iterable[str]:
    """Makes the images that are not there, and says so in a line each. Raises ConfigurationError or CouldNotTell."""
    recipes = {runtime: recipe(runtime, suite) for runtime in STEPS}
    there = {runtime for runtime in STEPS if not force and labels_of(engine, STABLE[runtime]).get(RECIPE) == recipes[runtime]}
    yield from (f"{STABLE[runtime]} is there." for runtime in STEPS if runtime in there)
    missing = [runtime for runtime in STEPS if runtime not in there]
    if not missing:
        return
    _able()
    with tempfile.TemporaryDirectory(prefix="skillops-base-", ignore_cleanup_errors=True) as scratch:
        yield f"Fetching Debian {suite} {f'from {mirror} ' if mirror else ''}(a minute or two) …"
        root = Path(scratch) / "root"
        try:
            began = time.time()
            _debootstrap(root, suite, mirror)
            add_user(root, UID)
            for runtime, step in STEPS.items():
                step(root)
                if runtime in missing:
                    yield _imported(engine, runtime, recipes[runtime], root, began)
        except OSError as error:
            raise CouldNotTell("The base images could not be made.", why=str(error), next_step="Look at the disk; then try again.") from error


def recipe(runtime: str, suite: str) -> str:
    """What an image is made by, so that one made by another recipe is made anew."""
    node = _node_version() if runtime == "node" else ""
    packages = (*PACKAGES, *FURTHER.get(runtime, ()))
    return hashlib.sha256("\n".join((VERSION, runtime, suite, platform.machine(), node, *packages)).encode()).hexdigest()[:16]


def machine_suite() -> str:
    """This machine's release where it is Debian: its Node then finds the libraries that it was built for."""
    said = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    return said.get("VERSION_CODENAME", "bookworm") if said.get("ID") == "debian" else "bookworm"


# ---- the root, and what each image takes away from it -------------------------------------------------------------------


def _as_it_is(root: Path) -> None:
    """Bash: the server shim is Python, so it needs all."""


def _without_tools(root: Path) -> None:
    """Python: the libraries go that nothing but the tools needs."""
    _purge(root, "jq", "libjq1", "libonig5")
    _purge(root, "curl", "libcurl4*", "libbrotli1", "libldap*", "libnghttp2-14", "libpsl5*", "librtmp1", "libsasl2*", "libssh2-1*")


def _with_node(root: Path) -> None:
    """The machine's Node, with the libraries that the root lacks; no Python."""
    _purge(root, "python3*", "libpython3*", "media-types", "libsqlite3-0", "libreadline8", "readline-common", "libncursesw6")
    node = Path(os.path.realpath(_node()))
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(node, root / "usr/local/bin/node")
    (root / "usr/local/bin/node").chmod(0o755)
    for line in _said("ldd", str(node)).splitlines():
        library = next((Path(word) for word in line.split() if word.startswith("/")), None)
        if library and not (root / str(library).lstrip("/")).exists():
            (root / str(library.parent).lstrip("/")).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(library, root / str(library).lstrip("/"))


def _certificates_alone(root: Path) -> None:
    """Go: a static program needs a user, certificates, time zones and a /tmp."""
    kept = ("etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo")
    bare = root.with_name("bare")
    for name in kept:
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(bare / name)
    (bare / "tmp").mkdir(mode=0o1777)
    (bare / "tmp").chmod(0o1777)
    shutil.rmtree(root)
    bare.rename(root)


STEPS: dict[str, Callable[[Path], None]] = {"bash": _as_it_is, "python": _without_tools, "node": _with_node, "go": _certificates_alone}


def _debootstrap(root: Path, suite: str, mirror: str) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "debian"
    cache.mkdir(parents=True, exist_ok=True)
    include = f"--include={','.join((*PACKAGES, *(name for names in FURTHER.values() for name in names)))}"
    command = ["debootstrap", "--variant=minbase", include, f"--cache-dir={cache}", suite, str(root), *([mirror] if mirror else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEBOOTSTRAP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CouldNotTell("debootstrap did not end.", next_step="Look at the network and the mirror, then try again.") from None
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr + _tail(root / "debootstrap/debootstrap.log")
    why = next((line for line in reversed(said.splitlines()) if line.startswith(("E:", "W:"))), said[-300:]).strip()
    if "No space left" in said:
        raise CouldNotTell("There is no space left for the base images.", why=why, next_step="Make room on the disk, then try again.")
    if any(sign in said for sign in ("Failed getting release", "Couldn't download", "Couldn't retrieve", "Invalid Release")):
        which = f" {mirror}" if mirror else ""
        raise CouldNotTell(f"Debian's mirror{which} is out of reach.", why=why, next_step="Look at the network, or name another with --mirror.")
    if "No such script" in said:
        raise ConfigurationError(f"debootstrap knows no Debian release {suite!r}.", next_step="Name one with --suite, like bookworm.")
    raise CouldNotTell("debootstrap made no root.", why=why, next_step="It needs a machine that may mount and chroot.")


def _purge(root: Path, *packages: str) -> None:
    """Takes packages out, by patterns of their names; what else needs them is no concern of the image."""
    present = _said("chroot", str(root), "dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n", *packages).splitlines()
    names = [line[3:].strip() for line in present if line.startswith("ii")]
    if names:
        _said("chroot", str(root), "dpkg", "--purge", "--force-depends", *names)


def _imported(engine: DockerEngine, runtime: str, made_by: str, root: Path, began: float) -> str:
    tar = root.with_name("root.tar")
    digest = write_tar(root, tar, began)
    version = {"node": _node_version, "go": str}.get(runtime, lambda: _said("chroot", str(root), "python3", "-V").split()[-1].strip())()
    labels = {RECIPE: made_by, DIGEST: digest, LANGUAGE_VERSION: version}
    changes = [f"LABEL {key}={value}" for key, value in labels.items() if value]
    changes.append("ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    repository, stable = STABLE[runtime].split(":")
    content = digest.removeprefix("sha256:")[:12]
    client = engine.client()
    with faults("import a base image"):
        with tar.open("rb") as file:
            import_tar(client.api, iter(partial(file.read, 2**20), b""), f"{repository}:{content}", changes)
        _try(client, f"{repository}:{content}", runtime)
        client.api.tag(f"{repository}:{content}", repository, stable)
    size = tar.stat().st_size
    tar.unlink()
    return f"{STABLE[runtime]} is made: {repository}:{content}, {size // 2**20} MiB."


def _try(client: Any, image: str, runtime: str) -> None:
    """One run as a skill runs: no root, nothing to write to, no network."""
    if runtime not in _TRY:
        return
    made = client.containers.create(image, list(_TRY[runtime]), user=str(UID), read_only=True, network_mode="none", labels={"skillops.base": runtime})
    try:
        made.start()
        if made.wait(timeout=60)["StatusCode"]:
            why = made.logs(tail=3).decode(errors="replace").strip()
            raise CouldNotTell(f"{image} was made and does not work.", why=why, next_step="Try another Debian release with --suite.")
    finally:
        made.remove(force=True)


# ---- this machine -------------------------------------------------------------------------------------------------------


def _able() -> None:
    if shutil.which("debootstrap") is None:
        or_else = "or name images that can be pulled in the setting `base_images`"
        raise ConfigurationError("debootstrap is not installed here.", next_step=f"apt-get install debootstrap, {or_else}.")
    if os.geteuid() != 0:
        raise ConfigurationError("Only root may make the base images: debootstrap changes its root.", next_step="sudo make base-images")
    if shutil.disk_usage(tempfile.gettempdir()).free < FREE:
        where = tempfile.gettempdir()
        raise CouldNotTell(f"There is no space for the base images in {where}.", next_step=f"Free {FREE // 2**30} GiB, or set TMPDIR.")
    _node()


def _node() -> str:
    path, fix = shutil.which("node"), "Install it (apt-get install nodejs, or nodejs.org), or name an image for `node` in `base_images`."
    if path is None:
        raise ConfigurationError("Node is not installed here, and the image for Node skills takes it from here.", next_step=fix)
    if int(_said(path, "--version").strip().lstrip("v").split(".")[0]) < NODE:
        raise ConfigurationError(f"Node here is older than {NODE}.", next_step=fix)
    return path


def _node_version() -> str:
    path = shutil.which("node")
    return _said(path, "--version").strip().lstrip("v") if path else ""


def _said(*command: str) -> str:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in (0, 1) or (done.returncode and "dpkg-query" not in command):
        raise CouldNotTell(f"{command[0]} failed while a base image was made.", why=done.stderr.strip()[-400:], next_step="Try again with --force.")
    return done.stdout


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-4000:] if path.is_file() else ""


if __name__ == "__main__":
    main()

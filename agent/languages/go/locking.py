"""Dependencies: what a manifest pins, go.mod and go.sum as their lock, and the modules that those name.

go.mod is made from the manifest; where a skill has dependencies, it and go.sum lie beside the manifest, so that Go's own tools work there.
Modules come through the machine's own proxy settings, and each is held against its hash in go.sum.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from agent.domain.check import Finding
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.languages.go.toolchain import fetching, go, said, version
from agent.languages.names import look_alikes

MOD, SUM = "go.mod", "go.sum"
GO_SECONDS = 300.0
_START = "module skill\n\ngo 1.22\n"
_NAME = r"(?P<name>[a-z0-9][a-z0-9.-]*\.[a-z]{2,}(?:/[A-Za-z0-9._~-]+)*)"
_VERSION = r"(?P<version>v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+incompatible)?)"
_PIN = re.compile(f"{_NAME}@{_VERSION}")
_REQUIRED = re.compile(f"(?:require )?{_NAME} {_VERSION}(?P<indirect> // indirect)?")
_SUM = re.compile(r"(?P<name>\S+) (?P<version>v[^\s/]+)(?P<mod>/go\.mod)? h1:[A-Za-z0-9+/]{43}=")
_KNOWN = Path(__file__).with_name("known_names.txt")
_OUT_OF_REACH = re.compile(
    r"dial tcp|no such host|connection re|i/o timeout|deadline exceeded|TLS handshake|: EOF|proxyconnect|: (5\d\d|401|407|429) |lookup disabled"
)


def pins_of(manifest: Manifest) -> dict[str, str]:
    return {match["name"]: match["version"] for pin in manifest.dependencies if (match := _PIN.fullmatch(pin))}


def findings(root: Path, manifest: Manifest) -> tuple[Finding, ...]:
    """What is wrong with the pins and their lock files."""
    folder = f"skills/{manifest.name}"
    found: list[Finding] = []
    for pin in manifest.dependencies:
        if match := _PIN.fullmatch(pin):
            found += look_alikes(match["name"], _KNOWN, f"{folder}/skill.yaml")
        else:
            found.append(Finding(message=f"{pin!r} is not pinned as example.com/module@v1.2.3", rule="unpinned", path=f"{folder}/skill.yaml"))
    pins = pins_of(manifest)
    if (root / MOD).is_file():
        found += _mod_findings((root / MOD).read_text(errors="replace"), pins, f"{folder}/{MOD}")
    if not manifest.dependencies:
        unused = Finding(message="there are no dependencies, so there is nothing to lock: delete it", rule="lock", path=f"{folder}/{SUM}")
        return (*found, unused) if (root / SUM).exists() else tuple(found)
    for name in (MOD, SUM):
        if not (root / name).is_file():
            missing = f"{name} is missing; let SkillOps write it, or make it with `go get`"
            return (*found, Finding(message=missing, rule="lock", path=f"{folder}/skill.yaml"))
    return (*found, *_sum_findings((root / SUM).read_text(errors="replace"), pins, f"{folder}/{SUM}"))


def _mod_findings(text: str, pins: dict[str, str], path: str) -> Iterator[Finding]:
    """go.mod says which module this is, which Go it needs and what it requires: nothing that leads elsewhere."""
    direct: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line in ("", "require (", ")", "module skill") or line.startswith("//") or re.fullmatch(r"go 1\.\d+(\.\d+)?", line):
            continue
        match = _REQUIRED.fullmatch(line)
        if not match:
            yield Finding(message=f"{line[:80]!r} is no `module skill`, `go` or `require`", rule="lock", path=path, line=number)
        elif not match["indirect"]:
            direct[match["name"]] = match["version"]
        elif match["name"] not in pins:
            yield from look_alikes(match["name"], _KNOWN, path, number)
    if direct != pins:
        yield Finding(message="it is not made from the dependencies in skill.yaml: make it again", rule="lock", path=path)


def _sum_findings(text: str, pins: dict[str, str], path: str) -> Iterator[Finding]:
    hashed = set()
    for number, line in enumerate(text.splitlines(), 1):
        match = _SUM.fullmatch(line)
        if not match:
            yield Finding(message=f"{line[:80]!r} is not of the form `module version h1:…`", rule="lock", path=path, line=number)
        elif not match["mod"]:
            hashed.add((match["name"], match["version"]))
    for pin in pins.items():
        if pin not in hashed:
            yield Finding(message=f"{pin[0]} is pinned in skill.yaml and has no hash", rule="lock", path=path)


# ---- with Go --------------------------------------------------------------------------------------------------------------


def lock(manifest: Manifest, cache: Path) -> dict[str, bytes]:
    """`go.mod` and `go.sum` as Go resolves the pins. Refused where a module does not exist, CouldNotTell where the proxy is out of reach."""
    if not manifest.dependencies:
        return {}
    for pin in manifest.dependencies:
        if not _PIN.fullmatch(pin):
            raise Refused(f"{pin!r} cannot be locked: it is not pinned as example.com/module@v1.2.3.", next_step="Pin it in skill.yaml.")
    pins = pins_of(manifest)
    with _scratch(cache) as (place, modules):
        (place / MOD).write_text(_START)
        _fetch(cache, place, modules, "get", *(f"{name}/...@{version}" for name, version in pins.items()))
        made = (place / MOD).read_text()
        found = {match["name"]: match["version"] for line in made.splitlines() if (match := _REQUIRED.fullmatch(line.strip()))}
        if raised := next((name for name in sorted(pins) if found.get(name) != pins[name]), None):
            why = f"The other dependencies need {raised} {found.get(raised)}."
            raise Refused("The dependencies do not fit together.", why=why, next_step=f"Pin {raised}@{found.get(raised)} in skill.yaml.")
        needed = re.search(r"^go \S+$", made, re.MULTILINE)
        sums = (place / SUM).read_bytes()
    rest = {name: version for name, version in found.items() if name not in pins}
    blocks = [f"require (\n{lines}\n)\n" for lines in (_lines(pins, ""), _lines(rest, " // indirect")) if lines]
    text = f"module skill\n\n{needed[0] if needed else 'go 1.22'}\n\n" + "\n".join(blocks)
    return {MOD: text.encode(), SUM: sums}


def locked(files: Mapping[str, bytes]) -> tuple[Package, ...]:
    """What go.mod among a skill's files requires. go.sum's hashes are of trees, not of files, so none is told."""
    lines = files.get(MOD, b"").decode(errors="replace").splitlines()
    found = [match for line in lines if (match := _REQUIRED.fullmatch(line.strip()))]
    return tuple(Package(ecosystem="Go", name=match["name"], version=match["version"]) for match in found)


def newer(manifest: Manifest, cache: Path, cutoff: datetime | None = None) -> tuple[str, ...]:
    """The pins at the newest versions of the same major, or of the same minor of a v0; what is no tagged version stays, and what is not
    from before `cutoff`."""
    pins = pins_of(manifest)
    if not pins or len(pins) != len(manifest.dependencies):
        return manifest.dependencies
    tagged = {name: match for name, version in pins.items() if (match := re.fullmatch(r"(v0\.\d+|v[1-9]\d*)\.[\d.]+(\+incompatible)?", version))}
    if not tagged:
        return manifest.dependencies
    told = listed([f"{name}@{match[1]}" for name, match in tagged.items()], cache)
    found = {name: each for name, (each, at) in told.items() if cutoff is None or (at is not None and at <= cutoff)}
    return tuple(f"{name}@{found.get(name, version)}" for name, version in pins.items())


def listed(modules: Sequence[str], cache: Path) -> dict[str, tuple[str, datetime | None]]:
    """The version that the proxy has for each `module@query`, and its time, by the module's name. Raises as `lock` does."""
    with _scratch(cache) as (place, folder):
        (place / MOD).write_text(_START)
        told, decoder, found = _fetch(cache, place, folder, "list", "-m", "-json=Path,Version,Time", "--", *modules).strip(), json.JSONDecoder(), {}
    while told:
        each, end = decoder.raw_decode(told)
        at = datetime.fromisoformat(each["Time"]) if "Time" in each else None
        found[str(each["Path"])] = str(each["Version"]), at if at and at.year > 1 else None  # Go's time that is none
        told = told[end:].lstrip()
    return found


def _lines(modules: dict[str, str], mark: str) -> str:
    return "\n".join(f"\t{name} {version}{mark}" for name, version in sorted(modules.items()))


def write_module(place: Path, manifest: Manifest | None) -> None:
    """The go.mod of a skill without dependencies is always the same, whatever it says."""
    if manifest is None or not manifest.dependencies:
        (place / SUM).unlink(missing_ok=True)
        (place / MOD).unlink(missing_ok=True)
        (place / MOD).write_text(_START)


def installed(root: Path, manifest: Manifest, cache: Path) -> Path | None:
    """The folder (as GOMODCACHE) of the locked modules, None where there are none; one for each lock.

    Raises Refused for a lock that is broken or does not fit its pins, CouldNotTell where the proxy is out of reach.
    """
    if not manifest.dependencies:
        return None
    if wrong := [finding for finding in findings(root, manifest) if finding.level == "error"]:
        next_step = "Run `skillops check` on the skill's folder for what is wrong with its lock file."
        raise Refused(f"The dependencies cannot be fetched: {wrong[0].message}.", next_step=next_step)
    mod, sums = (root / MOD).read_bytes(), (root / SUM).read_bytes()
    folder = cache / "modules" / hashlib.sha256(b"\0".join((version().encode(), mod, sums))).hexdigest()
    if folder.is_dir():
        return folder
    with _scratch(cache) as (place, modules):
        (place / MOD).write_bytes(mod)
        (place / SUM).write_bytes(sums)
        _fetch(cache, place, modules, "mod", "download")
        if (place / SUM).read_bytes() != sums:
            raise Refused("The lock file does not name all that its dependencies need.", next_step="Make the lock file again.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            modules.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else was not just faster
                raise
    return folder


class _scratch:
    """A folder for go.mod, and one for modules, in our cache so that the second can be moved there; both gone afterwards."""

    def __init__(self, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-", ignore_cleanup_errors=True)

    def __enter__(self) -> tuple[Path, Path]:
        place, modules = Path(self._temporary.name) / "place", Path(self._temporary.name) / "modules"
        place.mkdir()
        modules.mkdir()
        return place, modules

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()


def _fetch(cache: Path, place: Path, modules: Path, *command: str) -> str:
    done = said(go(), *command, cwd=place, env=fetching(cache, modules), seconds=GO_SECONDS)
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    told = done.stderr.decode(errors="replace")
    why = " ".join(line.removeprefix("go: ").strip() for line in told.splitlines() if not line.startswith("go: downloading"))[:400]
    if _OUT_OF_REACH.search(told):
        raise CouldNotTell("The module proxy is out of reach.", why=why, next_step="Look at the network and `go env GOPROXY`, then try again.")
    if "no space left" in told:
        raise CouldNotTell("There is no space left for the dependencies.", why=why, next_step="Make room on the disk, then try again.")
    raise Refused("The dependencies cannot be fetched.", why=why, next_step="Correct `dependencies` in skill.yaml and its lock file.")

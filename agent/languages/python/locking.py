"""Dependencies: what a manifest pins, the lock file with hashes, and their installation from wheels alone, so that no code runs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.domain.check import Finding
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.languages.names import look_alikes

LOCK = "requirements.lock"
_KNOWN = Path(__file__).with_name("known_names.txt")
PIP_SECONDS = 300.0
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9_,. -]+\])?==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_HEX = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_OUT_OF_REACH = ("Retrying (", "Max retries exceeded", "name resolution", "ConnectionError", "ProxyError", "SSLError", "timed out", "HTTP error 5")
_NEEDS_LOCK = "Run `skillops check` on the skill's folder for what is wrong with its lock file."


@dataclass(frozen=True)
class Locked:
    """One requirement of the lock file. `line` counts from 1."""

    line: int
    text: str
    name: str = ""
    version: str = ""
    hashes: int = 0


def normalised(name: str) -> str:
    """A distribution's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def findings(root: Path, manifest: Manifest) -> tuple[Finding, ...]:
    """What is wrong with the pins and their lock file."""
    folder = f"skills/{manifest.name}"
    found: list[Finding] = []
    pins: dict[str, str] = {}
    for pin in manifest.dependencies:
        if match := _PIN.fullmatch(pin):
            pins[normalised(match["name"])] = match["version"]
            found += look_alikes(normalised(match["name"]), _KNOWN, f"{folder}/skill.yaml")
        else:
            found.append(Finding(message=f"{pin!r} is not pinned as name==version", rule="unpinned", path=f"{folder}/skill.yaml"))
    path = root / LOCK
    if not manifest.dependencies:
        unused = Finding(message="there are no dependencies, so there is nothing to lock: delete it", rule="lock", path=f"{folder}/{LOCK}")
        return (unused,) if path.exists() else ()
    if not path.is_file():
        missing = f"{LOCK} is missing; make it with `pip install --dry-run --report` or let SkillOps write it"
        return (*found, Finding(message=missing, rule="lock", path=f"{folder}/skill.yaml"))
    return (*found, *_lock_findings(list(_read(path.read_text(errors="replace"))), pins, f"{folder}/{LOCK}"))


def _lock_findings(lines: list[Locked], pins: dict[str, str], path: str) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for entry in lines:
        if not entry.name:
            yield Finding(message=f"{entry.text[:80]!r} is not of the form name==version --hash=sha256:…", rule="lock", path=path, line=entry.line)
            continue
        if not entry.hashes:
            yield Finding(message=f"{entry.name} has no hash", rule="lock", path=path, line=entry.line)
        if entry.name in seen:
            yield Finding(message=f"{entry.name} is locked twice", rule="lock", path=path, line=entry.line)
        if pins.get(entry.name, entry.version) != entry.version:
            message = f"{entry.name} is locked at {entry.version}, and skill.yaml pins {pins[entry.name]}"
            yield Finding(message=message, rule="lock", path=path, line=entry.line)
        seen[entry.name] = entry.version
        if entry.name not in pins:
            yield from look_alikes(entry.name, _KNOWN, path, entry.line)
    for name in pins.keys() - seen.keys():
        yield Finding(message=f"{name} is pinned in skill.yaml and not locked", rule="lock", path=path)


def _read(text: str) -> Iterator[Locked]:
    """The requirements of a lock file; a line that continues with a backslash is one with the next."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        first, entry = number + 1, lines[number]
        while entry.endswith("\\") and number + 1 < len(lines):
            number += 1
            entry = entry[:-1] + " " + lines[number].strip()
        number += 1
        entry = entry.strip()
        if not entry or entry.startswith("#"):
            continue
        pin, *hashes = entry.split()
        match = _PIN.fullmatch(pin)
        if match and all(_HASH.fullmatch(part) for part in hashes):
            yield Locked(first, entry, normalised(match["name"]), match["version"], len(hashes))
        else:
            yield Locked(first, entry)


# ---- with pip -----------------------------------------------------------------------------------------------------------


def lock(manifest: Manifest, cutoff: datetime | None = None) -> dict[str, bytes]:
    """`requirements.lock` as pip resolves the pins for wheels of this Python, of what was uploaded before `cutoff` where that can be. Refused
    where a distribution does not exist or has no wheel, CouldNotTell where the index is out of reach."""
    if not manifest.dependencies:
        return {}
    for pin in manifest.dependencies:
        if not _PIN.fullmatch(pin):
            raise Refused(f"{pin!r} cannot be locked: it is not pinned as name==version.", next_step="Pin it in skill.yaml.")
    try:
        resolved = _resolved(manifest.dependencies, cutoff)
    except Refused:
        if cutoff is None:
            raise
        resolved = _resolved(manifest.dependencies)  # a pin that is younger may be allowed by name: the check says so, or why not
    entries = [f"{package.name}=={package.version} --hash=sha256:{package.sha256[0]}" for package in resolved]
    return {LOCK: ("\n".join(["# Made by SkillOps from the dependencies in skill.yaml.", *sorted(entries)]) + "\n").encode()}


def _resolved(requirements: Sequence[str], cutoff: datetime | None = None) -> list[Package]:
    """What pip would install, all of it; with a `cutoff` (pip 26), of what an index took in before."""
    aged = ("--uploaded-prior-to", cutoff.isoformat(timespec="seconds")) if cutoff else ()
    said, found = _pip("install", "--dry-run", "--ignore-installed", "--report", "-", *aged, *requirements), []
    try:
        for item in json.loads(said)["install"]:
            archive, told = item["download_info"]["archive_info"], item["metadata"]
            digest = archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256=")
            found.append(Package(ecosystem="PyPI", name=normalised(told["name"]), version=told["version"], sha256=(digest,)))
    except (ValueError, KeyError, TypeError) as error:
        raise CouldNotTell("pip's report could not be read.", why=str(error), next_step="Update pip to 23 or newer.") from None
    return found


def locked(files: Mapping[str, bytes]) -> tuple[Package, ...]:
    """What the lock file among a skill's files names, with the hashes that it allows."""
    lines = _read(files.get(LOCK, b"").decode(errors="replace"))
    return tuple(
        Package(ecosystem="PyPI", name=line.name, version=line.version, sha256=tuple(_HEX.findall(line.text))) for line in lines if line.name
    )


def newer(manifest: Manifest, cutoff: datetime | None = None) -> tuple[str, ...]:
    """The pins at the newest versions below the next that may break (SemVer's rule: the next major, or the next minor of a 0.x), together;
    as they are where none of these was uploaded before `cutoff`."""
    from packaging.version import Version

    pins = [match for pin in manifest.dependencies if (match := _PIN.fullmatch(pin))]
    if len(pins) != len(manifest.dependencies):
        return manifest.dependencies
    wanted = []
    for pin in pins:
        major, minor = (*Version(pin["version"]).release, 0)[:2]
        below = f"{major + 1}" if major else f"0.{minor + 1}"
        wanted.append(f"{pin['name']}{pin['extras'] or ''}>={pin['version']},<{below}")
    try:
        found = {package.name: package.version for package in _resolved(wanted, cutoff)} if wanted else {}
    except Refused:
        if cutoff is None:
            raise
        return manifest.dependencies
    return tuple(f"{pin['name']}{pin['extras'] or ''}=={found.get(normalised(pin['name']), pin['version'])}" for pin in pins)


def installed(root: Path, manifest: Manifest, cache: Path) -> Path | None:
    """The folder that holds the locked dependencies, None where there are none; one folder for each lock file.

    Raises Refused for a lock file that is broken or does not fit its pins, CouldNotTell where the index is out of reach.
    """
    if not manifest.dependencies:
        return None
    if broken := [finding for finding in findings(root, manifest) if finding.level == "error"]:
        raise Refused(f"The dependencies cannot be installed: {broken[0].message}.", next_step=_NEEDS_LOCK)
    content = (root / LOCK).read_bytes()
    folder = cache / hashlib.sha256(f"{sys.version}\n{sorted(manifest.dependencies)}\n".encode() + content).hexdigest()
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".installing-") as scratch:
        target = Path(scratch) / "deps"
        target.mkdir()
        _pip("install", "--require-hashes", "--no-deps", "--target", str(target), "-r", str((root / LOCK).absolute()))
        _closed(target, manifest)
        shutil.rmtree(target / "bin", ignore_errors=True)
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else was not just faster
                raise
    return folder


def _closed(target: Path, manifest: Manifest) -> None:
    """Holds the installed distributions to what the pins need: no more, so that nothing is smuggled in, and no less."""
    from importlib.metadata import distributions

    from packaging.requirements import InvalidRequirement, Requirement

    present = {normalised(found.metadata["Name"]): found for found in distributions(path=[str(target)])}
    needed: set[tuple[str, frozenset[str]]] = set()
    waiting = [(normalised(item.name), frozenset(item.extras)) for item in map(Requirement, manifest.dependencies)]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in needed:
            continue
        needed.add((name, extras))
        if name not in present:
            raise Refused(f"The lock file lacks {name}, which the dependencies need.", next_step="Make the lock file again.")
        for text in present[name].requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((normalised(requirement.name), frozenset(requirement.extras)))
    if smuggled := sorted(present.keys() - {name for name, _ in needed}):
        raise Refused(f"The lock file holds {smuggled[0]}, which none of the dependencies needs.", next_step="Make the lock file again.")


def _pip(command: str, *options: str) -> str:
    """pip with wheels alone, so that no code of a distribution runs; the index is the one that pip is set up with."""
    fixed = ("--quiet", "--only-binary", ":all:", "--no-input", "--retries", "1", "--disable-pip-version-check", "--no-warn-script-location")
    try:
        said = subprocess.run(
            [sys.executable, "-I", "-m", "pip", command, *fixed, *options], capture_output=True, text=True, timeout=PIP_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CouldNotTell("pip could not be run.", why=str(error), next_step="Look at the network and the package index, then try again.") from None
    if said.returncode == 0:
        return said.stdout
    lines = [line for line in said.stderr.splitlines() if line.startswith("ERROR:")] or said.stderr.splitlines() or ["It said nothing."]
    why = lines[-1].removeprefix("ERROR: ").strip()[:400]
    if "No module named pip" in said.stderr:
        raise CouldNotTell("pip is not installed here.", next_step=f"Run `{Path(sys.executable).name} -m ensurepip`, then try again.")
    if any(sign in said.stderr for sign in _OUT_OF_REACH):
        raise CouldNotTell("The package index is out of reach.", why=why, next_step="Look at the network and pip's index, then try again.")
    if "No space left" in said.stderr:
        raise CouldNotTell("There is no space left for the dependencies.", why=why, next_step="Make room on the disk, then try again.")
    raise Refused("The dependencies cannot be installed.", why=why, next_step="Correct `dependencies` in skill.yaml and its lock file.")

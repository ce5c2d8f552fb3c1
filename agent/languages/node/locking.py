"""Dependencies: what a manifest pins, the lock file with hashes, and their installation without any script of theirs.

The lock file is npm's package-lock.json (version 3) under the name of ours, without the addresses of a registry.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.domain.check import Finding
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.languages.names import look_alikes
from agent.languages.node.npm import npm
from agent.languages.node.toolchain import version

LOCK = "package.lock"
NPM_SECONDS = 300.0
_NAME = r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*"
_PIN = re.compile(rf"(?P<name>{_NAME})@(?P<version>\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
# What is no such name is an option or an address to npm.
_PLACE = re.compile(rf"(?:node_modules/{_NAME}/)*node_modules/{_NAME}", re.IGNORECASE)  # old names have capitals
_INTEGRITY = re.compile(r"(sha512-[A-Za-z0-9+/]{86}==)( sha512-[A-Za-z0-9+/]{86}==)*")
_SHA512 = re.compile(r"sha512-([A-Za-z0-9+/]{86}==)")
_KNOWN = Path(__file__).with_name("known_names.txt")
_KEPT = ("version", "integrity", "dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "optional", "peer", "os", "cpu",
         "libc", "engines", "hasInstallScript", "bundleDependencies", "inBundle", "bin")  # fmt: skip


def findings(root: Path, manifest: Manifest) -> tuple[Finding, ...]:
    """What is wrong with the pins and their lock file."""
    folder = f"skills/{manifest.name}"
    found: list[Finding] = []
    for pin in manifest.dependencies:
        if match := _PIN.fullmatch(pin):
            found += look_alikes(match["name"], _KNOWN, f"{folder}/skill.yaml")
        else:
            found.append(Finding(message=f"{pin!r} is not pinned as name@1.2.3", rule="unpinned", path=f"{folder}/skill.yaml"))
    path = root / LOCK
    if not manifest.dependencies:
        unused = Finding(message="there are no dependencies, so there is nothing to lock: delete it", rule="lock", path=f"{folder}/{LOCK}")
        return (unused,) if path.exists() else ()
    if not path.is_file():
        missing = f"{LOCK} is missing; let SkillOps write it, or copy npm's package-lock.json there"
        return (*found, Finding(message=missing, rule="lock", path=f"{folder}/skill.yaml"))
    wrong = _lock_findings(path.read_bytes(), _pins(manifest), f"{folder}/{LOCK}")
    return (*found, *wrong)


def _pins(manifest: Manifest) -> dict[str, str]:
    return {match["name"]: match["version"] for pin in manifest.dependencies if (match := _PIN.fullmatch(pin))}


def _lock_findings(content: bytes, pins: dict[str, str], path: str) -> Iterator[Finding]:
    try:
        lock = json.loads(content)
        packages: dict[str, dict[str, Any]] = dict(lock["packages"])
        root = packages.pop("", {})
        if lock["lockfileVersion"] != 3 or not all(isinstance(item, dict) for item in (root, *packages.values())):
            raise ValueError("lockfileVersion must be 3")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield Finding(message=f"it is no lock file of npm: {error}", rule="lock", path=path)
        return
    if root.get("dependencies", {}) != pins:
        yield Finding(message="it is not made from the dependencies in skill.yaml: make it again", rule="lock", path=path)
    for place, item in packages.items():
        name = place.rpartition("node_modules/")[2]
        if not _PLACE.fullmatch(place) or item.get("link"):
            yield Finding(message=f"{place!r} is no package from the registry", rule="lock", path=path)
        elif not _INTEGRITY.fullmatch(str(item.get("integrity", ""))) and not item.get("inBundle"):
            yield Finding(message=f"{name} has no hash", rule="lock", path=path)
        elif not str(item.get("resolved", "https:")).startswith("https:"):
            yield Finding(message=f"{name} does not come from a registry: {str(item['resolved'])[:80]}", rule="lock", path=path)
        if place == f"node_modules/{name}" and pins.get(name, item.get("version")) != item.get("version"):
            yield Finding(message=f"{name} is locked at {item.get('version')}, and skill.yaml pins {pins[name]}", rule="lock", path=path)
        if item.get("hasInstallScript"):
            yield Finding(message=f"{name} has an install script, which is never run", rule="install-script", path=path, level="note")
        if name not in pins:
            yield from look_alikes(name, _KNOWN, path)
    for name in pins:
        if f"node_modules/{name}" not in packages:
            yield Finding(message=f"{name} is pinned in skill.yaml and not locked", rule="lock", path=path)


# ---- with npm -----------------------------------------------------------------------------------------------------------


def lock(manifest: Manifest, cutoff: datetime | None = None) -> dict[str, bytes]:
    """`package.lock` as npm resolves the pins, of what was published before `cutoff` where that can be. Refused where a package does not
    exist, CouldNotTell where the registry is out of reach."""
    if not manifest.dependencies:
        return {}
    for pin in manifest.dependencies:
        if not _PIN.fullmatch(pin):
            raise Refused(f"{pin!r} cannot be locked: it is not pinned as name@1.2.3.", next_step="Pin it in skill.yaml.")
    try:
        resolved = _resolved(manifest.name, _pins(manifest), cutoff)
    except Refused:
        if cutoff is None:
            raise
        resolved = _resolved(manifest.name, _pins(manifest))  # a pin that is younger may be allowed by name: the check says so, or why not
    packages = {place: {key: value for key, value in item.items() if key in _KEPT} for place, item in resolved.items()}
    return {LOCK: (json.dumps({"lockfileVersion": 3, "requires": True, "packages": packages}, indent=1, sort_keys=True) + "\n").encode()}


def _resolved(name: str, wanted: dict[str, str], cutoff: datetime | None = None) -> dict[str, dict[str, Any]]:
    """The packages that npm would install, by their places; with a `cutoff`, of what was published before."""
    aged = [f"--before={cutoff.isoformat(timespec='seconds')}"] if cutoff else []
    with tempfile.TemporaryDirectory(prefix="skillops-") as scratch:
        _package(Path(scratch), name, wanted)
        npm("install", "--package-lock-only", "--ignore-scripts", "--omit-lockfile-registry-resolved", *aged, cwd=Path(scratch), seconds=NPM_SECONDS)
        return dict(json.loads((Path(scratch) / "package-lock.json").read_bytes())["packages"])


def locked(files: Mapping[str, bytes]) -> tuple[Package, ...]:
    """What the lock file among a skill's files names, each package once for each of its versions."""
    if LOCK not in files:
        return ()
    found = {}
    for place, item in json.loads(files[LOCK])["packages"].items():
        if place:
            name, hashes = place.rpartition("node_modules/")[2], _SHA512.findall(str(item.get("integrity", "")))
            told = tuple(base64.b64decode(each).hex() for each in hashes)
            found[name, item["version"]] = Package(ecosystem="npm", name=name, version=item["version"], sha512=told)
    return tuple(found[key] for key in sorted(found))


def newer(manifest: Manifest, cutoff: datetime | None = None) -> tuple[str, ...]:
    """The pins at the newest versions within npm's caret range, together; as they are where none was published before `cutoff`."""
    pins = _pins(manifest)
    if not pins or len(pins) != len(manifest.dependencies):
        return manifest.dependencies
    try:
        packages = _resolved(manifest.name, {name: f"^{version}" for name, version in pins.items()}, cutoff)
    except Refused:
        if cutoff is None:
            raise
        return manifest.dependencies
    return tuple(f"{name}@{packages[f'node_modules/{name}']['version']}" for name in pins)


def installed(root: Path, manifest: Manifest, cache: Path) -> Path | None:
    """The `node_modules` of the locked dependencies, None where there are none; one folder for each lock file.

    Raises Refused for a lock file that is broken or does not fit its pins, CouldNotTell where the registry is out of reach.
    """
    if not manifest.dependencies:
        return None
    if wrong := [finding for finding in findings(root, manifest) if finding.level == "error"]:
        next_step = "Run `skillops check` on the skill's folder for what is wrong with its lock file."
        raise Refused(f"The dependencies cannot be installed: {wrong[0].message}.", next_step=next_step)
    content = (root / LOCK).read_bytes()
    folder = cache / hashlib.sha256(f"{version()}\n{sorted(manifest.dependencies)}\n".encode() + content).hexdigest()
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".installing-") as scratch:
        _package(Path(scratch), manifest.name, _pins(manifest))
        (Path(scratch) / "package-lock.json").write_bytes(content)
        npm("ci", "--ignore-scripts", "--omit=dev", "--no-bin-links", cwd=Path(scratch), seconds=NPM_SECONDS)
        made = Path(scratch) / "node_modules"
        if not made.is_dir():
            raise CouldNotTell("npm installed nothing.", next_step="Try again.")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else was not just faster
                raise
    return folder


def _package(folder: Path, name: str, wanted: dict[str, str]) -> None:
    """The package.json that npm wants; the manifest is where it all comes from. Called alike everywhere: npm notes the name."""
    package = {"name": name, "version": "0.0.0", "private": True, "dependencies": wanted}
    (folder / "package.json").write_text(json.dumps(package))

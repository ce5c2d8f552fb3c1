"""The doctor: what is installed, reachable and allowed here, with a fix for each fault."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from agent.domain import Frozen
from agent.errors import SkillOpsError

MIN_FREE = 200 * 2**20  # bytes; artifacts and sandboxes need some room
GIT = (2, 38)  # the first git whose merge-tree merges without a work tree (its release notes)


class Diagnosis(Frozen):
    """One thing looked at. `needed` is False for what only some work needs."""

    what: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


def examine(repository: Path) -> tuple[Diagnosis, ...]:
    """Everything that SkillOps needs here, in the order in which it is needed."""
    return (_python(), _git(), _sandbox(), *_repository(repository))


def _python() -> Diagnosis:
    version = sys.version_info
    return Diagnosis(what="python", ok=version >= (3, 11), found=sys.version.split()[0], fix="Install Python 3.11 or newer.")


def _git() -> Diagnosis:
    path = shutil.which("git")
    if path is None:
        return Diagnosis(what="git", ok=False, found="not installed", fix="apt-get install git, or the package of your system.")
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    numbers = tuple(int(part) for part in text.split()[2].split(".")[:2] if part.isdigit()) if len(text.split()) > 2 else ()
    return Diagnosis(what="git", ok=numbers >= GIT, found=text, fix=f"Install git {GIT[0]}.{GIT[1]} or newer.")


def _sandbox() -> Diagnosis:
    from agent.sandboxes.bubblewrap import BubblewrapSandbox

    available = BubblewrapSandbox().available()
    found = "works" if available.ok else available.why
    return Diagnosis(what="sandbox", ok=available.ok, found=found, fix=available.fix)


def _repository(folder: Path) -> tuple[Diagnosis, ...]:
    from agent import wiring

    try:
        place = wiring.open_workplace(folder)
    except SkillOpsError as error:
        return (Diagnosis(what="repository", ok=False, found=error.what, fix=error.next_step or "skillops init DIR"),)
    parts, checkout = place.parts, place.checkout
    try:
        parts.sync()
        parts.panel(parts.policy())
        contents = Diagnosis(what="registry and policy", ok=True, found=f"revision {parts.catalog.revision()}, {len(parts.catalog.entries())} skills")
    except SkillOpsError as error:
        contents = Diagnosis(what="registry and policy", ok=False, found=error.what, fix=error.next_step)
    state = checkout.state()
    tidy = Diagnosis(what="working clone", ok=state == "clean", found=state, needed=False,
                     fix="`skillops run` brings only a clean clone of main up to date; commit or stash what you changed.")  # fmt: skip
    available = parts.model.available()
    model = Diagnosis(what="model", ok=available.ok, found=parts.model.name if available.ok else available.why, fix=available.fix, needed=False)
    tampered = parts.ledger.tampered()
    ledger = Diagnosis(what="ledger", ok=tampered is None, found="its chain holds" if tampered is None else f"changed at entry {tampered}",
                       fix="Compare it with a copy; what lies before that entry can be trusted.")  # fmt: skip
    free = shutil.disk_usage(checkout.root).free
    disk = Diagnosis(
        what="disk", ok=free > MIN_FREE, found=f"{free // 2**20} MiB free", fix="Free some room; `.skillops` in the clone may be deleted."
    )
    return (Diagnosis(what="repository", ok=True, found=checkout.root.name), contents, tidy, ledger, disk, model)

"""The doctor: what is installed, reachable and allowed here, with a fix for each fault."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain import Frozen
from agent.errors import SkillOpsError

if TYPE_CHECKING:
    from agent.workplace import Workplace

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
    return (_python(), _git(), _sandbox(repository), _go(), *_tools(), *_repository(repository))


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


def _sandbox(repository: Path) -> Diagnosis:
    """The one that the settings name; without a repository, the one that is used unless they name another."""
    from agent import wiring, wiring_runtimes
    from agent.settings import Settings

    try:
        settings = wiring.settings_of(repository)[0]
    except SkillOpsError:
        settings = Settings()
    sandbox = wiring_runtimes.sandbox_of(settings)
    available = sandbox.available()
    found = f"{sandbox.name} works{available.why and ': '}{available.why}" if available.ok else available.why
    return Diagnosis(what="sandbox", ok=available.ok, found=found, fix=available.fix)


def _go() -> Diagnosis:
    from agent.languages.go import toolchain

    try:
        found = toolchain.version().removeprefix("go version ")
    except SkillOpsError as error:
        return Diagnosis(what="go", ok=False, found=error.fault, fix=error.next_step, needed=False)
    return Diagnosis(what="go", ok=True, found=found, needed=False)


# What only skills of one language need: the programs, and how to get them.
TOOLS = {
    "node": (("node", "npm"), "apt-get install nodejs npm (Node 20 or newer), or nodejs.org; Node skills need it."),
    "bash": (("bash", "jq", "curl", "shellcheck"), "apt-get install bash jq curl shellcheck; Bash skills need them."),
}


def _tools() -> tuple[Diagnosis, ...]:
    found = []
    for language, (programs, fix) in TOOLS.items():
        absent = [program for program in programs if shutil.which(program) is None]
        said = f"{', '.join(absent)} not installed" if absent else f"{', '.join(programs)} are installed"
        found.append(Diagnosis(what=f"tools for {language}", ok=not absent, found=said, fix=fix, needed=False))
    return tuple(found)


def _repository(folder: Path) -> tuple[Diagnosis, ...]:
    from agent import wiring

    try:
        place = wiring.open_workplace(folder)
    except SkillOpsError as error:
        return (_faulty("repository", error),)
    docker = {"docker engine": _engine, "base images": _base_images} if "docker" in _kinds(place) else {}
    looks = {**docker, "registry and policy": _contents, "working clone": _clone, "ledger": _ledger, "disk": _disk, "model": _model, **_chats(place)}
    return (Diagnosis(what="repository", ok=True, found=str(place.checkout.root)), *(_looked(what, look, place) for what, look in looks.items()))


def _kinds(place: Workplace) -> tuple[str, ...]:
    settings = place.parts.settings
    return (settings.sandbox, settings.builder, settings.runtime)


def _engine(place: Workplace) -> Diagnosis:
    from agent.docker_engine import DockerEngine

    available = DockerEngine().available()
    return Diagnosis(what="docker engine", ok=available.ok, found="answers" if available.ok else available.why, fix=available.fix)


def _base_images(place: Workplace) -> Diagnosis:
    """Those that the settings name; another than ours is pulled when it is needed."""
    from agent.builders.bases import OURS, STABLE, labels_of
    from agent.docker_engine import DockerEngine

    engine, wanted = DockerEngine(), {**STABLE, **place.parts.settings.base_images}
    absent = [reference for reference in wanted.values() if reference.startswith(OURS) and not labels_of(engine, reference)]
    found = f"{', '.join(absent)} not made" if absent else ", ".join(sorted(wanted.values()))
    fix = "`make base-images` makes them; the setting base_images names others, like {python = 'python:3.11-slim'}."
    return Diagnosis(what="base images", ok=not absent, found=found, fix=fix, needed=place.parts.settings.builder == "docker")


def _looked(what: str, look: Callable[[Workplace], Diagnosis], place: Workplace) -> Diagnosis:
    try:
        return look(place)
    except SkillOpsError as error:
        return _faulty(what, error)


def _faulty(what: str, error: SkillOpsError) -> Diagnosis:
    return Diagnosis(what=what, ok=False, found=error.fault, fix=error.next_step)


def _contents(place: Workplace) -> Diagnosis:
    parts = place.parts
    parts.sync()
    parts.panel(parts.policy())
    return Diagnosis(what="registry and policy", ok=True, found=f"revision {parts.catalog.revision()}, {len(parts.catalog.entries())} skills")


def _clone(place: Workplace) -> Diagnosis:
    state = place.checkout.state()
    fix = "`skillops run` brings only a clean clone of main up to date; commit or stash what you changed, and check out main."
    return Diagnosis(what="working clone", ok=state == "clean", found=state, needed=False, fix=fix)


def _ledger(place: Workplace) -> Diagnosis:
    tampered = place.parts.ledger.tampered()
    found = "its chain of hashes holds" if tampered is None else f"it was changed at entry {tampered}"
    fix = (
        "Compare it with a copy: from there on it is not what was written, or what this clone and the releases on main noted of it is missing. "
        "Where it was begun anew on purpose, say so by `ledger_since: COMMIT` (the newest release then) in reviewers/policy.yaml, and delete "
        ".skillops/ledger-*.seen."
    )
    return Diagnosis(what="ledger", ok=tampered is None, found=found, fix=fix)


def _disk(place: Workplace) -> Diagnosis:
    """Where there is least room or no right to write: the clone, or the origin beside it."""
    folders = (place.checkout.root, place.checkout.origin)
    if locked := [folder for folder in folders if not os.access(folder, os.W_OK)]:
        return Diagnosis(what="disk", ok=False, found=f"{locked[0]} is not yours to write in", fix="Ask its owner, or work in a clone of your own.")
    free = min(shutil.disk_usage(folder).free for folder in folders)
    return Diagnosis(
        what="disk", ok=free > MIN_FREE, found=f"{free // 2**20} MiB free", fix="Free some room; `.skillops` in the clone may be deleted."
    )


def _model(place: Workplace) -> Diagnosis:
    model = place.parts.model
    available = model.available()
    return Diagnosis(what="model", ok=available.ok, found=model.name if available.ok else available.why, fix=available.fix, needed=False)


def _chats(place: Workplace) -> dict[str, Callable[[Workplace], Diagnosis]]:
    """Slack, where anything of it is set."""
    settings = place.parts.settings
    tokens = (settings.slack_bot_token, settings.slack_signing_secret, settings.slack_app_token)
    return {"slack": _slack} if any(token.get_secret_value() for token in tokens) else {}


def _slack(place: Workplace) -> Diagnosis:
    from agent.chats import slack

    slack.is_set_up(place.parts.settings)
    told = slack.who_we_are(slack.client_of(place.parts.settings))
    return Diagnosis(what="slack", ok=True, found=f"{told.get('user')} in {told.get('team')}", needed=False)

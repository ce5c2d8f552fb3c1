"""How things start: a new skills repository (`skillops init`), and a new skill from a template (`skillops new`)."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path

from agent.domain.registry import Registry
from agent.domain.skill import NAME_LENGTH, NAME_PATTERN, Manifest
from agent.errors import SkillOpsError, UsageError
from agent.forges.checkout import Checkout
from agent.forges.local import LocalForge
from agent.manifest_file import write_manifest
from agent.ports import Language
from agent.registry_file import render
from agent.snapshot import write_files

FOUNDER = "skillops"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False}


def found(folder: Path, *, shelf: bool = False) -> Checkout:
    """Makes the bare origin `<folder>.git` and the working clone `folder`. UsageError where either exists already.

    `shelf`: with the bundled skills, which are on main then and not yet released (`shelf.stock`).
    """
    from agent.starter.shelf import shelf_files

    files = {**starting_files(), **(shelf_files() if shelf else {})}
    origin = folder.parent / f"{folder.name}.git"
    for path in (folder, origin):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            clone = f"`git clone {shlex.quote(str(origin))} {shlex.quote(str(folder))}` makes its clone, which is missing."
            way_on = "or work in that one." if folder.exists() else f"or go on with that one: {clone}"
            raise UsageError(f"{path} exists already.", next_step=f"Name a folder that does not, {way_on}")
    made = [path for path in (folder, origin) if not path.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".skillops-init-", dir=folder.parent) as place:  # so that what has its name is whole
            forge = LocalForge.found(Path(place) / origin.name)
            forge.commit(forge.main, files, parent=None, message="A new skills repository", author=FOUNDER)
            forge.origin.rename(origin)
        return Checkout.make(origin, folder)
    except (SkillOpsError, OSError):
        for path in made:
            shutil.rmtree(path, ignore_errors=True)  # so that the same command works once the fault is mended
        raise


def starting_files() -> dict[str, bytes]:
    """What a new skills repository holds, by path."""
    root = Path(str(resources("agent.starter") / "files"))
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    policy = Path(str(resources("reviewers") / "policy.yaml"))
    return {**found, "reviewers/policy.yaml": policy.read_bytes(), "registry.yaml": render(Registry(revision=0)).encode()}


def new_skill(name: str, language: str, folder: Path, languages: Mapping[str, Language]) -> Path:
    """Makes `folder/name` from the language's template and returns it."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > NAME_LENGTH:
        raise UsageError(
            f"{name!r} is no skill name.", next_step=f"Lower-case words joined by hyphens, at most {NAME_LENGTH} characters: word-count."
        )
    if language not in languages:
        raise UsageError(f"There is no language {language!r}.", next_step=f"There are: {', '.join(sorted(languages))}.")
    root = folder / name
    if root.exists():
        raise UsageError(f"{root} exists already.", next_step="Take another name, or edit what is there.")
    manifest = Manifest.model_validate({
        "apiVersion": "skillops/v1", "name": name, "version": "1.0.0", "runtime": language, "entrypoint": languages[language].entrypoint,
        "description": f"Say what {name} does, and when an agent should use it.",
        "inputs": TEXT, "outputs": TEXT, "examples": [{"inputs": {"text": "hello"}, "outputs": {"text": "hello"}}],
    })  # fmt: skip
    files = {**languages[language].template(manifest), "skill.yaml": write_manifest(manifest)}
    try:
        write_files(root, files)
    except OSError:
        shutil.rmtree(root, ignore_errors=True)  # so that the same command works once there is room
        raise
    return root

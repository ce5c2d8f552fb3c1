"""A new skills repository that is hosted on GitHub: what lies in its .github folder, and a clone that is ready to be pushed."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from importlib.resources import files as resources
from pathlib import Path

from agent.errors import CouldNotTell, SkillOpsError, UsageError
from agent.forges.checkout import Checkout
from agent.forges.git_door import GitDoor
from agent.forges.local import LocalForge
from agent.starter import FOUNDER, starting_files

HOST = "https://github.com"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")


def github_files(owner: str = "OWNER", app: int = 0) -> dict[str, bytes]:
    """What GitHub reads below .github, by path: the workflows and what they call, rules, owners, labels. `app` is the GitHub App's id."""
    root = Path(str(resources("agent.starter") / "github"))
    found = {f".github/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    found[".github/CODEOWNERS"] = found[".github/CODEOWNERS"].replace(b"{owner}", owner.encode())
    if app:
        rules = json.loads(found[".github/ruleset.json"])
        for actor in rules["bypass_actors"]:
            actor["actor_id"] = app
        for rule in rules["rules"]:
            for check in rule.get("parameters", {}).get("required_status_checks", ()):
                check["integration_id"] = app
        found[".github/ruleset.json"] = f"{json.dumps(rules, indent=2)}\n".encode()
    return found


def hosted_files(repository: str, app: int = 0) -> dict[str, bytes]:
    """What a new skills repository on GitHub holds, by path."""
    settings = f'forge = "github"\ngithub_repository = "{repository}"\n'
    return {**starting_files(), **github_files(repository.partition("/")[0], app), "skillops.toml": settings.encode()}


def found_hosted(folder: Path, repository: str, app: int = 0) -> Path:
    """Makes the clone `folder`, whose origin is `owner/name` on GitHub; nothing is asked of GitHub. UsageError where it exists already."""
    if not _REPOSITORY.fullmatch(repository) or app < 0:
        raise UsageError(f"{repository!r} is no repository on GitHub.", next_step="Name it as OWNER/REPO, like acme/skills.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already.", next_step="Name a folder that does not.")
    fresh = not folder.exists()
    try:
        with tempfile.TemporaryDirectory(prefix="skillops-init-", dir=folder.parent if folder.parent.is_dir() else None) as temporary:
            forge = LocalForge.found(Path(temporary) / "origin.git")
            forge.commit(forge.main, hosted_files(repository, app), parent=None, message="A new skills repository", author=FOUNDER)
            root = Checkout.make(forge.origin, folder).root
        status, _, complaint = GitDoor(root / ".git", root).run("remote", "set-url", "origin", f"{HOST}/{repository}.git")
        if status:
            raise CouldNotTell("git could not set the origin.", why=complaint.strip(), next_step=f"git -C {root} remote set-url origin URL")
    except (SkillOpsError, OSError):
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)  # so that the same command works once the fault is mended
        raise
    return root


def write_own(root: Path) -> None:
    """Brings the .github folder of SkillOps' own repository up to the templates; its owners are its own affair."""
    for path, data in own_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def own_files() -> dict[str, bytes]:
    """Those that SkillOps' own repository uses."""
    form = {path: data for path, data in starting_files().items() if path.startswith(".github/")}
    return {path: data for path, data in {**form, **github_files()}.items() if path != ".github/CODEOWNERS"}


if __name__ == "__main__":
    write_own(Path.cwd())

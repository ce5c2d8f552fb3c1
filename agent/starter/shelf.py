"""The shelf: the skills that ship with SkillOps. They come into a repository by the release that all others come in by.

`python -m agent.starter.shelf` brings registry.yaml of the source tree that it is run in up to the skills that are committed, once each
of them passed its checks (see `verdicts.py`).
"""

from __future__ import annotations

import tempfile
from importlib.resources import files as resources
from pathlib import Path

from agent.errors import ConfigurationError, SkillOpsError
from agent.forges.checkout import REGISTRY, Checkout
from agent.forges.git_door import GitDoor
from agent.forges.local import LocalForge
from agent.parts import Parts
from agent.stages import releasing
from agent.starter import verdicts

Faults = dict[str, SkillOpsError]
"""Why a skill could not be released, by its name."""


def shelf_files() -> dict[str, bytes]:
    """The files of the bundled skills by path, like skills/calculator/skill.yaml. ConfigurationError where they are not installed."""
    root = Path(str(resources("agent.starter") / "skills"))  # a link to skills/ in the source tree, copies in a wheel
    paths = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    found = {f"skills/{path.as_posix()}": (root / path).read_bytes() for path in paths if not _left_behind(path)}
    if not found:
        raise ConfigurationError("The bundled skills are not part of this installation.", next_step="Install SkillOps from its source tree.")
    return found


def stock(checkout: Checkout) -> Faults:
    """Releases the bundled skills of a repository just founded; what cannot be built here stays for a later `skillops run`."""
    faults = _entered(_parts(checkout.root, checkout.origin))
    checkout.update()
    return faults


def shelf_registry(root: Path) -> bytes:
    """What registry.yaml has to be for the skills at HEAD of the source tree `root`: that of HEAD, and a release on a copy of it.

    UsageError where skills/ has changes that are not committed: their trees have no ids yet.
    """
    verdicts.committed(root)
    with tempfile.TemporaryDirectory(prefix="skillops-") as temporary:
        forge = LocalForge.found(Path(temporary) / "origin.git")
        GitDoor(forge.origin).output("fetch", "--quiet", "--depth=1", root.absolute().as_uri(), f"HEAD:refs/heads/{forge.main}")
        for fault in _entered(_parts(Path(temporary), forge.origin)).values():
            raise fault
        return forge.read(forge.main, REGISTRY) or b""


def renew(root: Path) -> None:
    """What `make shelf` does: registry.yaml of the source tree `root` names the skills at HEAD, each of which passed all its checks.

    Raises what `verdicts.examine` does, before registry.yaml is touched.
    """
    from agent import wiring
    from agent.settings import Settings

    settings = Settings.load(root)
    verdicts.examine(root, lambda folder: wiring.check_folder(folder, settings), settings.mutants)
    (root / REGISTRY).write_bytes(shelf_registry(root))


def _parts(root: Path, origin: Path) -> Parts:
    """The parts of a repository, without a model: releasing asks none."""
    from agent import wiring
    from agent.llms.recorded import NoModel
    from agent.settings import Settings

    return wiring.parts_of(Settings.load(root), origin / "skillops", wiring.silent, NoModel())


def _entered(parts: Parts) -> Faults:
    """Releases what main holds and the registry does not."""
    faults: Faults = {}
    with parts.alone():
        parts.sync()
        names = releasing.unreleased(parts.forge, parts.catalog)
        releasing.release(names, parts.forge, parts.catalog, parts.builder, parts.sync, parts.record, faults.__setitem__)
    return faults


def _left_behind(path: Path) -> bool:
    """Whether a path is what tools leave in a working tree."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


if __name__ == "__main__":
    try:
        renew(Path())
    except SkillOpsError as error:
        raise SystemExit(str(error)) from None

"""Honest skills, and what the checks that read (and run nothing) have against them: the red team's other rate."""

from __future__ import annotations

import tempfile
from pathlib import Path

from agent.checks.dependencies import DependenciesCheck
from agent.checks.manifest import ManifestCheck
from agent.checks.scope import ScopeCheck
from agent.checks.secrets import SecretsCheck
from agent.checks.security import SecurityCheck
from agent.domain.check import Outcome
from agent.domain.skill import WITNESS_PATH
from agent.manifest_file import read_policy
from agent.parts import POLICY
from agent.starter import new_skill
from agent.wiring_runtimes import languages_of
from agent.workbench import make_subject
from tests.builders import HEAD
from tests.subjects import ToldBench

SHELF = Path(__file__).parents[2] / "skills"


def honest_skills() -> dict[str, dict[str, bytes]]:
    """The bundled skills, and the template of each language, as files."""
    found = {manifest.parent.name: _files(manifest.parent) for manifest in sorted(SHELF.glob("*/skill.yaml"))}
    with tempfile.TemporaryDirectory() as folder:
        for language in (languages := languages_of()):
            name = f"a-{language}-skill"
            found[name] = _files(new_skill(name, language, Path(folder), languages))
    return found


def blocked(name: str, files: dict[str, bytes]) -> str:
    """The first error that a reading check finds in these files; empty where there is none."""
    languages = languages_of()
    rules = read_policy((SHELF.parent / POLICY).read_bytes(), POLICY).dependencies
    dependencies = DependenciesCheck(languages, {}, lambda: rules)  # no index is asked: what the bundled skills are locked to is allowed
    with tempfile.TemporaryDirectory() as folder:
        subject = make_subject(name, HEAD, files, root=Path(folder) / name)
        for check in (ScopeCheck(), ManifestCheck(languages), SecurityCheck(languages), SecretsCheck(), dependencies):
            result = check.run(subject, ToldBench())
            if result.outcome is not Outcome.PASSED:
                return f"{result.name}: {result.summary}"
    return ""


def _files(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in files.items() if path != WITNESS_PATH}

"""A workflow as a `Language`: there is no code in it, so what is looked at is its plan, and whether that is all that it says to be."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from agent.domain.capability import Capability
from agent.domain.check import Finding, Outcome, TestReport
from agent.domain.package import Package
from agent.domain.requirement import Shelf
from agent.domain.skill import Manifest, digest_of
from agent.domain.workflow import FILE, RUNTIME
from agent.errors import InvalidFile, Refused
from agent.languages.workflow import rules
from agent.ports import Sandbox, SandboxSpec

ENGINE = "workflow/1"  # rises when the same file would be carried out otherwise


class WorkflowLanguage:
    """`Language` for skills whose runtime is `workflow`. `shelf` is the registry that their steps call."""

    name, entrypoint = RUNTIME, FILE

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        """Refused: a workflow is made of a plan that ran."""
        raise Refused("There is no template for workflows.", next_step="`skillops plan --save NAME` makes one of the plan that ran last.")

    def digest(self) -> str:
        return digest_of(ENGINE)

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Copies the plan. Refused where it cannot be read."""
        try:
            rules.read_workflow((root / FILE).read_bytes() if (root / FILE).is_file() else b"", FILE)
        except InvalidFile as error:
            raise Refused(f"The workflow cannot be read: {error.what}", next_step=error.next_step) from None
        shutil.copyfile(root / FILE, target / FILE)

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        _no_code(manifest)

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        _no_code(manifest)

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        """It is tested from outside alone: by its examples and the witness's cases, with the skills that it requires."""
        return TestReport(outcome=Outcome.PASSED, from_outside=True)

    def tidy(self, root: Path) -> None:
        """It is written by people, who format it as they like."""

    def style(self, root: Path) -> tuple[Finding, ...]:
        return tuple(rules.style(root))

    def security(self, root: Path) -> tuple[Finding, ...]:
        return tuple(rules.security(root))

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        """None: what its steps can do is theirs, and its permissions are held to be their union."""
        return ()

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        return tuple(rules.dependencies(root, manifest, self._shelf))

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        """There is nothing to lock; Refused where the manifest names dependencies."""
        if manifest.dependencies:
            raise Refused(rules.NONE, next_step="Empty `dependencies` in skill.yaml, and name skills in `requires`.")
        return {}

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        return ()

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        return manifest.dependencies


def _no_code(manifest: Manifest) -> NoReturn:
    raise Refused(f"{manifest.name} is a workflow, which has no server of its own.", next_step="Call it: whoever calls it carries it out.")

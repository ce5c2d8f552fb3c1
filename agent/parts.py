"""Parts: the concrete parts of one repository, as ports. `wiring.py` fills it in; the flow is handed it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from agent.anchors import anchor_of
from agent.author import Author
from agent.catalog import Catalog
from agent.domain.decision import Policy
from agent.domain.event import Entered, Event
from agent.domain.registry import Entry
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, InvalidFile, NotFound
from agent.halting import Halts
from agent.lines import Lines
from agent.manifest_file import read_manifest, read_policy
from agent.pasted import struck_out
from agent.ports import Builder, Check, Forge, Language, LanguageModel, Ledger, Reviewer, Runtime, Sandbox, Tell, Workbench
from agent.settings import Settings
from agent.tiers import RUN, WithheldTrial, required, walled
from agent.vault import Vault

POLICY = "reviewers/policy.yaml"


@dataclass(frozen=True)
class Parts:
    """`reviewers` maps each shipped reviewer's name to it; the policy of the base branch names those that are asked.

    `alone` is held while the pipeline moves things, so that two commands on one repository take turns. `lines` are for calls of skills that
    require others.
    """

    settings: Settings
    user: str
    forge: Forge
    ledger: Ledger
    catalog: Catalog
    model: LanguageModel
    sandbox: Sandbox
    languages: Mapping[str, Language]
    checks: tuple[Check, ...]
    reviewers: Mapping[str, Reviewer]
    builder: Builder
    runtime: Runtime
    vault: Vault
    author: Author
    tell: Tell
    alone: Callable[[], AbstractContextManager[None]]
    halts: Halts
    lines: Lines | None = None

    def record(self, event: Event) -> Entered:
        """Enters an event in the ledger and tells whoever watches."""
        entered = self.ledger.record(event)
        self.tell(event)
        return entered

    def anchor(self) -> str:
        """How far the ledger is, for a release to vouch for."""
        return anchor_of(self.ledger)

    def strike(self, skill: str, text: str) -> str:
        """What a skill said, without any secret that it may have or that has the form of one; none of it where the vault cannot be read."""
        return struck_out(self.vault, skill, text)

    def policy(self) -> Policy:
        """The policy of the base branch; the shipped default where it has none."""
        return policy_of(self.forge)

    def checks_of(self, skill: str) -> tuple[Check, ...]:
        """The checks, as far as they may run a skill's code here."""
        return walled(self.checks, self.policy().min_tier, skill, *self._trying())

    def may_try(self, skill: str) -> None:
        """Raises CouldNotTell where policy asks for thicker walls than a trial of the skill would have here."""
        for check in RUN:
            required(self.policy().min_tier, skill, check, *self._trying())

    def bench(self, skill: str, bench: Workbench) -> Workbench:
        """The workbench, as far as a trial of the skill may run here."""
        try:
            self.may_try(skill)
        except CouldNotTell as fault:
            return WithheldTrial(bench, fault)
        return bench

    def may_serve(self, skill: str) -> None:
        """Raises CouldNotTell where policy asks for thicker walls than the skill would be served behind."""
        required(self.policy().min_tier, skill, "", self._serving())

    def _serving(self) -> str:
        if self.runtime.name == "docker":
            return "docker"
        return "gvisor" if self.sandbox.name == "gvisor" else "bubblewrap"

    def _trying(self) -> tuple[str, str]:
        """What the author's tests run in, and what a built skill is tried in."""
        return runners(self.sandbox, self.runtime)

    def panel(self, policy: Policy) -> tuple[Reviewer, ...]:
        """The reviewers to ask."""
        names = self.settings.reviewers or policy.reviewers
        if unknown := [name for name in names if name not in self.reviewers]:
            known = ", ".join(sorted(self.reviewers))
            raise InvalidFile(POLICY, f"there is no reviewer {unknown[0]!r}; there are {known}")
        return tuple(self.reviewers[name] for name in names)

    def sync(self) -> None:
        """Brings the catalog up to the registry on main; nothing to do where it is."""
        blob = self.forge.object_id(self.forge.main, "registry.yaml")
        if blob is None:
            raise InvalidFile("registry.yaml", "main has none", next_step="`skillops init DIR` makes a skills repository.")
        self.catalog.sync(blob, self._registry, self._manifest)

    def _registry(self) -> str:
        try:
            return (self.forge.read(self.forge.main, "registry.yaml") or b"").decode()
        except UnicodeDecodeError as error:
            raise InvalidFile("registry.yaml", f"text in UTF-8 was expected: {error.reason} at byte {error.start}") from None

    def _manifest(self, entry: Entry) -> Manifest | None:
        path = f"skills/{entry.name}/skill.yaml"
        data = self.forge.read(entry.commit, path)
        return read_manifest(data, path) if data is not None else None

    def is_taken(self, name: str) -> bool:
        return self.catalog.entry(name) is not None

    def neighbours(self, name: str) -> tuple[str, ...]:
        """The skills that are most like the one named, in a line each: what the reviewer of fit compares it with."""
        manifest = self.catalog.manifest(name)
        hits = self.catalog.search(f"{name} {manifest.description if manifest else ''}", limit=6)
        return tuple(f"{hit.entry.name}: {hit.entry.description}" for hit in hits if hit.entry.name != name)

    def entry(self, name: str) -> Entry:
        """The registry's entry; NotFound names the nearest."""
        if entry := self.catalog.entry(name):
            return entry
        near = self.catalog.nearest(name)
        nothing_near = "No name is like it." if self.catalog.entries() else "The registry holds no skills yet."
        hint = f"The nearest names are {', '.join(near)}." if near else nothing_near
        raise NotFound(f"There is no skill {name!r}.", next_step=f"{hint} `skillops search TEXT` looks by what a skill does.")


def runners(sandbox: Sandbox, runtime: Runtime) -> tuple[str, str]:
    """What the author's tests run in, and what a built skill is tried in."""
    return sandbox.name, "docker" if runtime.name == "docker" else sandbox.name


def policy_of(forge: Forge) -> Policy:
    """The policy of the base branch; the default where it has none."""
    data = forge.read(forge.main, POLICY)
    return read_policy(data, POLICY) if data is not None else Policy()


class Stopwatch:
    """Wall time since it was made, in seconds."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._start, 3)

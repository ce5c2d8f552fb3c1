"""Wiring of the checks: the part of `wiring.py` that names them, and what of the policy they are made with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files as resources
from pathlib import Path

from agent.checks.contract import ContractCheck
from agent.checks.dependencies import DependenciesCheck
from agent.checks.manifest import ManifestCheck
from agent.checks.scope import ScopeCheck
from agent.checks.secrets import SecretsCheck
from agent.checks.security import SecurityCheck
from agent.checks.style import StyleCheck
from agent.checks.tests import TestsCheck
from agent.domain.decision import DependencyRules, Policy
from agent.errors import ConfigurationError
from agent.forges.checkout import Checkout
from agent.manifest_file import read_policy
from agent.parts import POLICY
from agent.ports import Check, Language, Registered, Sandbox
from agent.settings import Settings
from agent.wiring_runtimes import indexes_of


def policy_here(settings: Settings) -> Policy:
    """The policy that a folder on disk is checked by: of the repository's base as this machine has it, or the shipped one outside of any."""
    try:
        data = Checkout.find(settings.repository, remote=settings.forge != "local").of_base(POLICY)
    except ConfigurationError:
        data = Path(str(resources("reviewers") / "policy.yaml")).read_bytes()
    return read_policy(data, POLICY) if data is not None else Policy()


def cutoff(rules: DependencyRules) -> datetime | None:
    """When a release must have been there to be chosen today."""
    return datetime.now(UTC) - timedelta(days=rules.min_age_days) if rules.min_age_days else None


def checks_of(
    settings: Settings,
    sandbox: Sandbox,
    languages: dict[str, Language],
    rules: Callable[[], DependencyRules],
    shelf: Registered | None = None,
    *,
    light: bool,
) -> tuple[Check, ...]:
    """The eight checks; the light ones of the author's own trial leave out scope, mutants, gutting and the witness."""
    tests = TestsCheck(
        languages, sandbox, mutants=0 if light else settings.mutants, gut=not light, witness=not light,
        coverage=settings.coverage_threshold, threshold=settings.mutant_threshold,
    )  # fmt: skip
    rest: tuple[Check, ...] = (
        ManifestCheck(languages, shelf),
        StyleCheck(languages),
        SecurityCheck(languages),
        SecretsCheck(),
        DependenciesCheck(languages, indexes_of(), rules),
    )
    return (*rest, tests, ContractCheck()) if light else (ScopeCheck(), *rest, tests, ContractCheck())

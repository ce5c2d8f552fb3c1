"""A Decision, and the Policy that it is computed from (`reviewers/policy.yaml` of the base branch)."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent.domain import Frozen
from agent.domain.check import CheckReport, Finding, Outcome
from agent.domain.package import Package
from agent.domain.review import Remark
from agent.domain.skill import MEMORY, TIMEOUT, SkillName, memory_bytes
from agent.egress.rules import Rule

Risk = Literal["low", "medium", "high"]
RISKS: tuple[Risk, ...] = ("low", "medium", "high")


def checked_host(text: str) -> str:
    try:
        return str(Rule.parse_any_port(text))
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


class Action(StrEnum):
    MERGE = "merge"
    WAIT = "wait"
    REVISE = "revise"
    REJECT = "reject"


class PerRisk(Frozen):
    """A count for each risk."""

    low: int = Field(ge=0)
    medium: int = Field(ge=0)
    high: int = Field(ge=0)

    def at(self, risk: Risk) -> int:
        return int(getattr(self, risk))


class RiskRules(Frozen):
    """The risk that each trait of a manifest brings; a proposal has the highest of its traits, `low` with none."""

    network: Risk = "medium"
    network_any: Risk = "high"
    secrets: Risk = "high"
    brokered: Risk = "high"
    storage: Risk = "medium"
    dependencies: Risk = "medium"
    destructive: Risk = "high"
    container: Risk = "high"
    widening: Risk = "high"
    requires: Risk = "low"
    struck: Risk = "high"


class BudgetLimits(Frozen):
    """What one request may cost before its work is pushed as a draft. `cost` in US dollars, `minutes` of wall time. `disputes` is how many
    of its witness cases an arbiter is asked about at most."""

    attempts: int = Field(default=6, ge=1, le=50)
    tokens: int = Field(default=400_000, ge=1000)
    cost: float = Field(default=5.0, gt=0)
    minutes: float = Field(default=30.0, gt=0)
    disputes: int = Field(default=3, ge=0, le=10)


class ManifestLimits(Frozen):
    """The most that any manifest may ask for; beyond it nobody's approval counts. `hosts` are `host:port` as in permissions.network,
    where the port may be `*`, too."""

    memory: Annotated[str, Field(pattern=MEMORY)] = "4Gi"
    cpu: float = Field(default=4.0, gt=0, le=16)
    timeout: Annotated[str, Field(pattern=TIMEOUT)] = "900s"
    hosts: tuple[Annotated[str, AfterValidator(checked_host)], ...] = ("*:*",)
    storage: bool = True

    @property
    def memory_bytes(self) -> int:
        return memory_bytes(self.memory)

    @property
    def timeout_seconds(self) -> float:
        return float(self.timeout[:-1])

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(map(Rule.parse_any_port, self.hosts))


class DependencyRules(Frozen):
    """Which releases of other people's packages come in: those that are allowed by name, and those that are old enough.

    `allowed` are names, or name@version in every language; `*` stands for anything, so that `@example/*` is a whole scope. `min_age_days`
    is for the rest, from when the package index took the release in; 0 asks for none.
    """

    min_age_days: int = Field(default=14, ge=0, le=36_500)
    allowed: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()

    def allows(self, package: Package) -> bool:
        """Whether the package may be used whatever its age."""
        for pattern in self.allowed:
            at = pattern.rfind("@")
            name, version = (pattern[:at], pattern[at + 1 :]) if at > 0 else (pattern, "*")
            if package.ecosystem == "PyPI":
                name = re.sub(r"[-_.]+", "-", name).lower()  # PEP 503
            if fnmatchcase(package.name, name) and fnmatchcase(package.version, version):
                return True
        return False


Tier = Literal["bubblewrap", "docker", "gvisor"]
TIERS: tuple[Tier, ...] = ("bubblewrap", "docker", "gvisor")  # what untrusted code may run in, from the thinnest walls to the thickest


class MinTier(Frozen):
    """The thinnest walls that code may run behind: `default`, and more for single checks (by name) and skills (by name)."""

    default: Tier = "bubblewrap"
    checks: dict[Literal["tests", "contract"], Tier] = {}
    skills: dict[SkillName, Tier] = {}

    def at(self, skill: str, check: str) -> Tier:
        """The thickest that is asked for; `check` is empty where the skill serves."""
        asked = [tier for name, tier in self.checks.items() if name == check]
        return max((self.default, *asked, self.skills.get(skill, self.default)), key=TIERS.index)


class Policy(Frozen):
    """Who and what must agree before a merge.

    `autonomy` says where a person is always asked: manual at every risk, balanced from medium, automatic from high.
    `quorum` is how many model reviewers must approve. `approvers` are logins, or `*` for anyone. `self_approval` lets
    a person approve a proposal that they authored (for a repository of one person). `protected` are path prefixes
    whose change always waits for a person. `stale_days` is after how many days something that waits for a person is marked; 0 marks nothing.
    `ledger_since`: the last release that vouches for a ledger which was left behind; those after it vouch for the one that there is.
    """

    apiVersion: Literal["skillops/v1"] = "skillops/v1"
    autonomy: Literal["manual", "balanced", "automatic"] = "balanced"
    reviewers: tuple[str, ...] = ("correctness", "security", "fit")
    quorum: PerRisk = PerRisk(low=2, medium=3, high=3)
    approvers: tuple[str, ...] = ("*",)
    approvals: PerRisk = PerRisk(low=1, medium=1, high=1)
    self_approval: bool = False
    protected: tuple[str, ...] = ()
    risk: RiskRules = RiskRules()
    limits: ManifestLimits = ManifestLimits()
    budget: BudgetLimits = BudgetLimits()
    min_tier: MinTier = MinTier()
    dependencies: DependencyRules = DependencyRules()
    stale_days: int = Field(default=30, ge=0)
    ledger_since: str = Field(default="", pattern=r"^([0-9a-f]{7,64})?$")

    def asks_person(self, risk: Risk) -> bool:
        first: dict[str, Risk] = {"manual": "low", "balanced": "medium", "automatic": "high"}
        return RISKS.index(risk) >= RISKS.index(first[self.autonomy])

    def may_approve(self, person: str) -> bool:
        return "*" in self.approvers or person in self.approvers


class Spent(Frozen):
    """What a request has used so far, summed from the ledger."""

    attempts: int = 0
    tokens: int = 0
    cost: float = 0.0
    minutes: float = 0.0

    def over(self, limits: BudgetLimits) -> str | None:
        """The first limit that is reached, in words, or None."""
        for name in ("attempts", "tokens", "cost", "minutes"):
            if getattr(self, name) >= getattr(limits, name):
                return f"{name}: {getattr(self, name):g} of {getattr(limits, name):g} used"
        return None


class Problem(Frozen):
    """One thing that the author must mend, carried from attempt to attempt instead of a transcript. `cases` as in Finding."""

    source: str
    message: str
    path: str | None = None
    line: int | None = None
    cases: tuple[int, ...] = Field(default=(), exclude_if=lambda cases: not cases)

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}" if self.path and self.line else self.path or ""

    @classmethod
    def of_finding(cls, source: str, finding: Finding) -> Problem:
        return cls(source=source, message=finding.message, path=finding.path, line=finding.line, cases=finding.cases)

    @classmethod
    def of_report(cls, report: CheckReport) -> tuple[Problem, ...]:
        """What the failed checks of a report found; a check that failed without an error is told by its summary."""
        problems: list[Problem] = []
        for result in report.of(Outcome.FAILED):
            errors = [cls.of_finding(result.name, finding) for finding in result.findings if finding.level == "error"]
            problems += errors or [cls(source=result.name, message=result.summary)]
        return tuple(problems)

    @classmethod
    def of_remark(cls, reviewer: str, remark: Remark) -> Problem:
        shown = f" Inputs that show it: {remark.reproducer.model_dump_json(exclude={'name'}, exclude_none=True)}" if remark.reproducer else ""
        return cls(source=f"review by {reviewer}", message=remark.message + shown, path=remark.path, line=remark.line)


class Decision(Frozen):
    """What happens to a proposal at `head`, and why. `rule` names the row of the table that decided."""

    action: Action
    head: str
    rule: str
    why: str
    risk: Risk = "low"
    waiting_for: Literal["", "person", "author", "machine"] = ""
    problems: tuple[Problem, ...] = ()

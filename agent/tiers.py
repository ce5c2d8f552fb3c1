"""Which sandbox a skill's code may run in: what policy asks for at the least, held against what runs it here."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.check import CheckResult, Subject
from agent.domain.decision import TIERS, MinTier, Tier
from agent.domain.release import Artifact, Endpoint
from agent.errors import CouldNotTell
from agent.ports import Check, Workbench

RUN = ("tests", "contract")  # the checks that run a skill's code; the others read it
FIX: dict[Tier, str] = {
    "bubblewrap": "`skillops doctor` looks at the sandbox.",
    "docker": "Set `sandbox = \"docker\"` for checks, and `builder = \"docker\"` and `runtime = \"docker\"` for serving, in skillops.toml.",
    "gvisor": "Set `sandbox = \"gvisor\"` and `runtime = \"process\"` in skillops.toml, and start SkillOps as root; `skillops doctor` looks at it.",
}  # fmt: skip


def required(policy: MinTier, skill: str, check: str, *runners: str) -> None:
    """Raises CouldNotTell where one of the parts that would run the code is walled in less than policy asks for."""
    wanted = policy.at(skill, check)
    if wanted == TIERS[0]:
        return
    if weak := [name for name in runners if name not in TIERS or TIERS.index(name) < TIERS.index(wanted)]:
        of = f"the check {check} of {skill}" if check else skill
        why = f"Policy asks for {wanted} for {of} (min_tier), and here it would run in {weak[0]}."
        raise CouldNotTell(f"The code of {skill} was not run.", why=why, next_step=FIX[wanted])


def walled(checks: Sequence[Check], policy: MinTier, skill: str, *runners: str) -> tuple[Check, ...]:
    """The checks, those withheld that would run the code in less than policy asks for: they could not tell, and say why."""
    kept: list[Check] = []
    for check in checks:
        try:
            if check.name in RUN:
                required(policy, skill, check.name, *runners)
            kept.append(check)
        except CouldNotTell as fault:
            kept.append(Withheld(check.name, fault))
    return tuple(kept)


class WithheldTrial(Workbench):
    """A workbench on which nothing is started."""

    def __init__(self, bench: Workbench, fault: CouldNotTell) -> None:
        self._bench, self._fault = bench, fault

    def artifact(self) -> Artifact:
        return self._bench.artifact()

    def trial(self) -> Endpoint:
        raise self._fault


class Withheld(Check):
    """A check that is not made."""

    def __init__(self, name: str, fault: CouldNotTell) -> None:
        self.name, self._fault = name, fault

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        raise self._fault

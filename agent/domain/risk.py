"""What the traits of a manifest mean under a policy: its risk, and what it asks for beyond the limits."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.capability import Capability, told
from agent.domain.decision import RISKS, Policy, Problem, Risk
from agent.domain.skill import Manifest


def risk_of(
    manifest: Manifest | None, base_manifest: Manifest | None, policy: Policy, gained: Sequence[Capability] = (), called: Sequence[Manifest] = (),
    struck: Sequence[str] = (),
) -> tuple[Risk, tuple[str, ...]]:  # fmt: skip
    """The highest risk among the traits of a manifest, and the traits that bring it, in words; high where it cannot be read.

    `gained`: what the code can do of a kind that the version before it had nothing of, as the checks saw it. `called`: the skills that it
    may come to call, whose traits are its own. `struck`: the witness cases, by name, that it is not held against any more.
    """
    if manifest is None:
        return "high", ("skill.yaml cannot be read",)
    asked, rules = manifest.permissions, policy.risk
    wild = [str(rule) for rule in asked.rules if not rule.exact]
    wider = asked.wider_than(base_manifest.permissions) if base_manifest else ()
    traits: tuple[tuple[Risk, bool, str], ...] = (
        (rules.network, bool(asked.network), f"reaches {', '.join(asked.network)}"),
        (rules.network_any, bool(wild), f"reaches whatever {', '.join(wild)} allows"),
        (rules.secrets, bool(asked.held), f"reads the secrets {', '.join(asked.held)}"),
        (rules.brokered, bool(asked.broker), f"uses, without reading them, the secrets {', '.join(map(str, asked.broker))}"),
        (rules.storage, asked.storage != "none", "keeps data"),
        (rules.dependencies, bool(manifest.dependencies), f"depends on {', '.join(manifest.dependencies)}"),
        (rules.destructive, manifest.annotations.destructive, "is destructive"),
        (rules.container, manifest.runtime == "container", "brings its own container"),
        (rules.widening, bool(wider), f"asks for more than before: {', '.join(wider)}"),
        (rules.widening, bool(gained), f"can do more than before: {told(gained)}"),
        (rules.struck, bool(struck), f"is not held against what an arbiter struck of the witness's cases: {', '.join(struck)}"),
    )
    present = [(risk, words) for risk, there, words in traits if there]
    for each in called:
        risk, why = risk_of(each, None, policy)
        present.append((max(risk, rules.requires, key=RISKS.index), f"calls {each.name}" + (f", which {', and '.join(why)}" if why else "")))
    highest = max((risk for risk, _ in present), key=RISKS.index, default=RISKS[0])
    return highest, tuple(words for risk, words in present if risk == highest)


def excess_of(manifest: Manifest | None, policy: Policy) -> tuple[Problem, ...]:
    """What the manifest asks for beyond the policy's limits; one that cannot be read, or retires its skill, asks for nothing."""
    if manifest is None or manifest.status == "retired":
        return ()
    limits, asked, permitted = policy.limits, manifest.resources, manifest.permissions
    found = []
    if asked.memory_bytes > limits.memory_bytes:
        found.append(f"resources.memory is {asked.memory}, and at most {limits.memory} is allowed")
    if asked.cpu > limits.cpu:
        found.append(f"resources.cpu is {asked.cpu:g}, and at most {limits.cpu:g} is allowed")
    if asked.timeout_seconds > limits.timeout_seconds:
        found.append(f"resources.timeout is {asked.timeout}, and at most {limits.timeout} is allowed")
    for rule in permitted.rules:
        if not any(allowed.covers(rule) for allowed in limits.rules):
            found.append(f"network {rule} is not among the hosts that are allowed: {', '.join(limits.hosts) or 'none'}")
    if permitted.storage != "none" and not limits.storage:
        found.append("storage is not allowed")
    path = f"skills/{manifest.name}/skill.yaml"
    return tuple(Problem(source="policy", message=message, path=path) for message in found)

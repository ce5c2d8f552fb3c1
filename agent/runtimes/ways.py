"""Where a running skill is let out to: the hosts that it declares, and the way back (`way_back.py`) to the skills that it requires."""

from __future__ import annotations

from collections.abc import Mapping

from agent.domain.skill import Manifest
from agent.egress.rules import Rule

RULE = Rule("gateway.skillops.internal", 80)
ADDRESS = f"http://{RULE.host}"  # what $SKILL_GATEWAY is


def rules_of(manifest: Manifest) -> tuple[Rule, ...]:
    """All that a running skill is let out to: the hosts that it declares, and the way back where it requires others."""
    return (*manifest.permissions.rules, *((RULE,) if manifest.requires else ()))


def variables_of(manifest: Manifest) -> Mapping[str, str]:
    """What it finds in its environment for that."""
    return {"SKILL_GATEWAY": ADDRESS} if manifest.requires else {}

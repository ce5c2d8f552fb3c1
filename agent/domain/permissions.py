"""What a skill may reach: hosts, secrets and a storage, as its manifest asks for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from agent.domain import Frozen
from agent.egress.rules import Rule


def _network_rule(text: str) -> str:
    try:
        return str(Rule.parse(text))
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


MOST_HOSTS = 250  # that are named singly: each has a loopback address of its own in 127.77.0.0/24 (agent/runtimes/way_out.py)
NetworkRule = Annotated[str, AfterValidator(_network_rule)]
SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]


class Brokered(Frozen):
    """A secret that is only ever sent to one HTTPS host, `host:port`: the skill holds a placeholder, and the broker puts the value in."""

    secret: SecretName
    host: NetworkRule

    def __str__(self) -> str:
        return f"{self.secret} at {self.host}"


class Permissions(Frozen):
    """What a skill may reach. `network` holds `host:port`, where the host may be `*` or begin with `*.`; `secrets` names in the vault,
    of which those in `broker` never reach the skill itself, and those in `personal` are each caller's own."""

    network: tuple[NetworkRule, ...] = ()
    secrets: tuple[SecretName, ...] = ()
    storage: Literal["none", "persistent"] = "none"
    broker: tuple[Brokered, ...] = ()
    personal: tuple[SecretName, ...] = ()

    @model_validator(mode="after")
    def _of_what_is_asked_for(self) -> Permissions:
        for each in self.broker:
            if each.secret not in self.secrets:
                raise ValueError(f"{each.secret} is brokered, and secrets does not name it")
            if not Rule.parse(each.host).exact or each.host not in self.network:
                raise ValueError(f"{each.secret} is brokered to {each.host}, which network does not name as a single host")
        if len({each.secret for each in self.broker}) < len(self.broker):
            raise ValueError("a secret is brokered to one host, and one is named twice")
        for name in self.personal:
            if name not in self.secrets:
                raise ValueError(f"{name} is personal, and secrets does not name it")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `broker` and `personal` where they say nothing, so that the digest of what was written before there were any stays."""
        return {name: value for name, value in dump(self).items() if name not in ("broker", "personal") or value}

    @property
    def shared(self) -> tuple[str, ...]:
        """The secrets that are the same whoever calls."""
        return tuple(name for name in self.secrets if name not in self.personal)

    @property
    def held(self) -> tuple[str, ...]:
        """The secrets that the skill itself can read."""
        return tuple(name for name in self.secrets if name not in {each.secret for each in self.broker})

    @property
    def brokered_places(self) -> frozenset[tuple[str, int]]:
        rules = [Rule.parse(each.host) for each in self.broker]
        return frozenset((rule.host, rule.port) for rule in rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(map(Rule.parse, self.network))

    def wider_than(self, other: Permissions) -> tuple[str, ...]:
        """What this asks for that `other` did not have, in words."""
        hosts = [f"network {rule}" for rule in self.rules if not any(before.covers(rule) for before in other.rules)]
        secrets = [f"secret {name}" for name in self.secrets if name not in other.secrets]
        held = [f"secret {name} in its own hands" for name in self.held if name in other.secrets and name not in other.held]
        before = {each.secret: each.host for each in other.broker}
        moved = [f"secret {each}" for each in self.broker if each.secret not in other.held and before.get(each.secret, each.host) != each.host]
        theirs = [f"secret {name} of each caller" for name in self.personal if name in other.shared]
        ours = [f"secret {name}, one for all callers" for name in self.shared if name in other.personal]
        storage = ["persistent storage"] if self.storage != "none" and other.storage == "none" else []
        return tuple(hosts + secrets + held + moved + theirs + ours + storage)

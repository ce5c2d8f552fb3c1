"""Which placeholder stands for which secret, and at which host alone: what one start of a skill was given."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.domain import Frozen
from agent.domain.skill import Manifest
from agent.egress.rules import Rule
from agent.errors import CouldNotTell
from agent.ports import Secrets

if TYPE_CHECKING:
    import ssl

    from agent.broker.carrying import Broker
    from agent.egress.proxy import Carrier


class Key(Frozen):
    """`placeholder` is what the skill holds in place of `secret`, and is of no use but to the broker, on the way to `host` (host:port).

    A `personal` one stands for the secret of `person`, and for nothing where there is nobody.
    """

    secret: str
    host: str
    placeholder: str
    personal: bool = False
    person: str = ""

    @property
    def place(self) -> tuple[str, int]:
        rule = Rule.parse(self.host)
        return rule.host, rule.port


def keys_of(manifest: Manifest, person: str = "") -> tuple[Key, ...]:
    """Fresh ones, for one start, for the calls of `person` where secrets are personal."""
    asked = manifest.permissions
    return tuple(
        Key(
            secret=each.secret, host=each.host, placeholder=f"placeholder-{secrets.token_hex(16)}", personal=each.secret in asked.personal,
            person=person if each.secret in asked.personal else "",
        )
        for each in asked.broker
    )  # fmt: skip


def given(values: Mapping[str, str], keys: Sequence[Key]) -> dict[str, str]:
    """What the skill finds in $SKILL_SECRETS: the secrets that it holds, and the placeholders of those that it does not."""
    return {**values, **{key.secret: key.placeholder for key in keys}}


class Brokers:
    """Makes the carriers of a skill. A value is read from the vault when a request needs it, so that what is revoked is so at once."""

    def __init__(self, vault: Secrets | None, authorities: str = "") -> None:
        """`authorities`: as the setting broker_authorities."""
        self._vault, self._authorities = vault, authorities
        self._trust: ssl.SSLContext | None = None

    def carriers(self, skill: str, keys: Sequence[Key]) -> dict[tuple[str, int], Carrier]:
        """Raises CouldNotTell where the file of authorities cannot be used."""
        return {place: self._broker(skill, place, [key for key in keys if key.place == place]) for place in {key.place for key in keys}}

    def _broker(self, skill: str, place: tuple[str, int], keys: Sequence[Key]) -> Broker:
        from agent.broker.carrying import Broker

        def values() -> dict[str, str]:
            vault = self._vault
            if vault is None:
                return {}
            return {key.placeholder: vault.values(skill, [key.secret], key.person)[key.secret] for key in keys if key.person or not key.personal}

        return Broker(*place, values, self._trusted())

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            import ssl

            trust = ssl.create_default_context()
            try:
                if self._authorities:
                    trust.load_verify_locations(self._authorities)
            except OSError as error:
                raise CouldNotTell(
                    f"The broker cannot read the authorities in {self._authorities}.", why=str(error),
                    next_step="Set `broker_authorities` to a file of certificates (PEM), or to nothing.",
                ) from None  # fmt: skip
            self._trust = trust
        return self._trust

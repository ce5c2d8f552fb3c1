"""Who is calling: `Authorization: Bearer KEY` becomes a Key, without asking the disk each time."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.gateway.problems import Forbidden, Unauthorized
from agent.keys import Key, Keys, Scope

TRUST = 1.0  # seconds that a key is taken for good after it was looked up: how long one lives after it was revoked
NOTED = 60.0  # seconds between two notes of when a key was used
MANY = 10_000
_CHALLENGE = {"www-authenticate": 'Bearer realm="skillops"'}


class Authority:
    """The keys, as the gateway asks for them. `clock` gives monotonic seconds."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._clock = keys, clock
        self._known: dict[str, tuple[Key, float]] = {}
        self._noted: dict[str, float] = {}

    def known(self, authorization: str) -> Key | None:
        """The key of an Authorization header that was looked up a moment ago."""
        found = self._known.get(authorization.partition(" ")[2].strip())
        return found[0] if found and self._clock() < found[1] else None

    def key(self, authorization: str | None) -> Key:
        """The key of an Authorization header. Unauthorized where there is none, or none that counts."""
        if not authorization:
            raise Unauthorized("A key is needed.", next_step="Send `Authorization: Bearer KEY`; `skillops key create` makes one.", headers=_CHALLENGE)
        if known := self.known(authorization):
            return known
        method, _, secret = authorization.partition(" ")
        secret, now = secret.strip(), self._clock()
        self._known.pop(secret, None)
        key = self._keys.find(secret) if method.lower() == "bearer" and secret else None
        if key is None:
            raise Unauthorized("This key is not right, or was revoked.", next_step="`skillops key create` makes a new one.", headers=_CHALLENGE)
        if len(self._known) > MANY:
            self._known.clear()
        self._known[secret] = key, now + TRUST
        if now - self._noted.get(key.id, -NOTED) >= NOTED:
            self._noted[key.id] = now
            self._keys.note_use(key.id)
        return key


def demand(key: Key, scope: Scope) -> None:
    """Raises Forbidden where the key may not."""
    if not key.may(scope):
        raise Forbidden(
            "This key may not do that.",
            why=f"It has the scope {' and '.join(key.scopes)}; {scope} is needed.",
            next_step=f"`skillops key create --scope {scope}` makes one that may.",
        )

"""The vault's key in the keyring of the operating system (the setting vault_key): no file of this machine holds it."""

from __future__ import annotations

import secrets
from pathlib import Path
from types import ModuleType

from agent.errors import ConfigurationError
from agent.key_file import LENGTH

SERVICE = "skillops"


class RingKey:
    """The key of the vault in `folder`, by which the keyring knows it. Raises ConfigurationError where the keyring cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._account = str(folder.resolve())

    def __str__(self) -> str:
        return f"{SERVICE} {self._account} in the keyring"

    def read(self) -> bytes | None:
        """The key; None where there is none."""
        ring = _ring()
        try:
            found = ring.get_password(SERVICE, self._account)
        except ring.errors.KeyringError as error:
            raise _unusable(type(error).__name__) from None
        if found is None:
            return None
        try:
            key = bytes.fromhex(found)
        except ValueError:
            key = b""
        if len(key) != LENGTH:
            raise ConfigurationError(f"{self} is no key.", why=f"A key has {LENGTH} bytes.", next_step="Bring it back from a backup.")
        return key

    def make(self) -> bytes:
        """The key, made where there is none. A keyring cannot make one only where there is none: of two who begin at once, the last one's stays."""
        ring = _ring()
        if (key := self.read()) is None:
            try:
                ring.set_password(SERVICE, self._account, secrets.token_hex(LENGTH))
            except ring.errors.KeyringError as error:
                raise _unusable(type(error).__name__) from None
            key = self.read()
        if key is None:
            raise _unusable("it did not keep what it was given")
        return key


def _ring() -> ModuleType:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise ConfigurationError(
            "vault_key = keyring needs the package keyring.", next_step="`pip install 'skillops-agent[keyring]'`, or set vault_key = file."
        ) from None
    return keyring


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(
        "The keyring of the operating system cannot be used.", why=why, next_step="Unlock it, or set vault_key = file before the first secret is set."
    )

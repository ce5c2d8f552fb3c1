"""A file that holds one random key: made once, whole or not at all, and readable by nobody but its owner."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from agent.errors import ConfigurationError

LENGTH = 32  # bytes


def read_key(path: Path) -> bytes | None:
    """The key; None where there is no file. ConfigurationError where somebody else may read it, or it is no key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"The key {path} cannot be read.", why=f"{error.strerror}.", next_step="See that it is yours, and no link."
        ) from None
    with open(descriptor, "rb") as file:
        found, key = os.fstat(descriptor), file.read(LENGTH + 1)
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"The key {path} is not for you alone.",
            why="Whoever reads it can read every secret of the vault.",
            next_step=f"`chmod 600 {path}`; where somebody may have read it already, remove the key and the vault and set the secrets anew.",
        )
    if len(key) != LENGTH:
        raise ConfigurationError(f"{path} is no key.", why=f"A key has {LENGTH} bytes.", next_step="Bring it back from a backup.")
    return key


def make_key(path: Path) -> bytes:
    """The key of `path`, made where there is none; of many who make it at once one does, and the others get that one."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(LENGTH))
                file.flush()
                os.fsync(descriptor)
            os.link(draft, path)  # which, unlike a rename, never takes the place of another's
        finally:
            draft.unlink()
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"The key {path} cannot be made.", why=f"{error.strerror}.", next_step="See that the folder is yours.") from None
    key = read_key(path)
    assert key is not None, "it was there a moment ago"
    return key


class FileKey:
    """The key of `path`, as whoever needs one asks for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        return read_key(self._path)

    def make(self) -> bytes:
        return make_key(self._path)

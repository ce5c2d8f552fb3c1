"""A mailbox over IMAP with TLS. Nothing in it is changed: folders are opened to be read, messages are peeked at (RFC 3501, 6.3.2 and 6.4.5)."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError, LoginError

from faults import (
    BadCertificateError,
    NoSecretError,
    NoSuchFolderError,
    NoSuchMessageError,
    RefusedLoginError,
    ServerError,
    SlowError,
    UnreachableError,
)

TIMEOUT = SocketTimeout(connect=10, read=20)  # seconds
LARGEST = 8 * 2**20  # bytes of a message that is fetched whole
START = 2**20  # bytes that are fetched of a larger one
SUMMARY = "BODY.PEEK[HEADER.FIELDS (FROM TO CC REPLY-TO SUBJECT DATE MESSAGE-ID)]"


def secret(name: str) -> str:
    """From the vault, without the line's end that an editor may have added."""
    try:
        text = (Path(os.environ["SKILL_SECRETS"]) / name).read_text().rstrip("\r\n")
    except (KeyError, OSError):
        text = ""
    if not text or not text.isprintable():
        raise NoSecretError(f"the vault holds no usable {name}: set it with `skillops secret set {name}`")
    return text


@contextmanager
def opened(host: str, port: int) -> Iterator["Mailbox"]:
    """A session, logged in, that ends with the block. Raises what `faults` has."""
    user, password = secret("EMAIL_USER"), secret("EMAIL_PASSWORD")
    try:
        with IMAPClient(host, port, ssl=True, ssl_context=ssl.create_default_context(), timeout=TIMEOUT) as client:
            client.login(user, password)
            yield Mailbox(client)
    except LoginError:
        raise RefusedLoginError(f"{host} refuses EMAIL_USER and EMAIL_PASSWORD of the vault") from None
    except ssl.SSLCertVerificationError as error:
        raise BadCertificateError(f"{host} cannot prove who it is: {error.verify_message}") from None
    except TimeoutError:
        raise SlowError(f"{host} did not answer in time") from None
    except (OSError, IMAPClientAbortError) as error:
        raise UnreachableError(f"{host}:{port} could not be reached, or ended the session: {error}") from None
    except IMAPClientError as error:
        raise ServerError(f"{host} refuses what was asked: {error}") from None


class Mailbox:
    """What can be asked of a session."""

    def __init__(self, client: IMAPClient) -> None:
        self._client = client

    def folders(self) -> list[str]:
        """The names of folders that can be opened."""
        found = self._client.list_folders()
        return sorted(str(name) for flags, _, name in found if b"\\noselect" not in {flag.lower() for flag in flags})

    def open(self, folder: str) -> None:
        try:
            self._client.select_folder(folder, readonly=True)
        except IMAPClientAbortError:
            raise
        except IMAPClientError:
            raise NoSuchFolderError(
                f"there is no folder {folder!r}: the operation folders tells which there are"
            ) from None

    def search(self, criteria: list[Any]) -> list[int]:
        """The numbers (UIDs) of the messages that fit, the newest first."""
        plain = all(str(item).isascii() for item in criteria)
        return sorted(self._client.search(criteria, charset=None if plain else "UTF-8"), reverse=True)

    def summaries(self, uids: list[int]) -> list[dict[bytes, Any]]:
        """Flags, size and the main headers (`HEADERS`), in the order of `uids`; without what is gone meanwhile."""
        found = self._client.fetch(uids, ["FLAGS", "INTERNALDATE", "RFC822.SIZE", SUMMARY])
        return [{b"UID": uid, **found[uid], b"HEADERS": content(found[uid])} for uid in uids if uid in found]

    def whole(self, uid: int) -> dict[bytes, Any]:
        """Flags, size and the message (`CONTENT`), of a very large one the start."""
        about = self._client.fetch([uid], ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]).get(uid)
        if about is None:
            raise NoSuchMessageError(f"there is no message {uid} in this folder")
        part = "BODY.PEEK[]" if about[b"RFC822.SIZE"] <= LARGEST else f"BODY.PEEK[]<0.{START}>"
        return {b"UID": uid, **about, b"CONTENT": content(self._client.fetch([uid], [part]).get(uid, {}))}


def content(fetched: dict[bytes, Any]) -> bytes:
    """What was peeked at: the server names it after what was asked for."""
    return next((value or b"" for name, value in fetched.items() if name.startswith(b"BODY[")), b"")

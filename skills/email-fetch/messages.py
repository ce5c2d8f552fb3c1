"""A message as plain values: its headers, its text, and what is attached (RFC 5322, 2045 to 2047, 2183)."""

from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from html_text import text_of

LONGEST = 2000  # characters of a header
MOST = 100  # addresses of a header, and attachments of a message


def summary(fetched: dict[bytes, Any]) -> dict[str, Any]:
    return {**flags(fetched), **headers(message_from_bytes(fetched[b"HEADERS"]), fetched.get(b"INTERNALDATE"))}


def told(fetched: dict[bytes, Any], most: int) -> dict[str, Any]:
    """At most `most` characters of its text."""
    message = message_from_bytes(fetched[b"CONTENT"])
    text, attachments = body(message)
    incomplete = len(fetched[b"CONTENT"]) < fetched[b"RFC822.SIZE"]
    return {
        **flags(fetched),
        **headers(message, fetched.get(b"INTERNALDATE")),
        "text": text[:most],
        "truncated": len(text) > most or incomplete,
        "attachments": attachments[:MOST],
    }


def flags(fetched: dict[bytes, Any]) -> dict[str, Any]:
    known = {flag.lower() for flag in fetched[b"FLAGS"]}
    names = {"seen": b"\\seen", "flagged": b"\\flagged", "answered": b"\\answered"}
    return {
        "uid": fetched[b"UID"],
        "bytes": fetched[b"RFC822.SIZE"],
        **{name: flag in known for name, flag in names.items()},
    }


def headers(message: Message, arrived: datetime | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "from": addresses(message, "From"),
        "to": addresses(message, "To"),
        "cc": addresses(message, "Cc"),
        "reply_to": addresses(message, "Reply-To"),
        "subject": decoded(message.get("Subject")),
        "message_id": decoded(message.get("Message-ID")),
        "date": date(message.get("Date"), arrived),
    }
    return {name: value for name, value in found.items() if value or name in ("from", "to", "subject", "date")}


def addresses(message: Message, name: str) -> list[dict[str, str]]:
    found = getaddresses([str(value) for value in message.get_all(name, [])])
    return [{"name": decoded(who), "address": address[:LONGEST]} for who, address in found if address][:MOST]


def decoded(header: Any) -> str:
    """The words of a header, on one line; as they stand where their encoding is broken."""
    try:
        text = str(make_header(decode_header(str(header or ""))))
    except (HeaderParseError, LookupError, ValueError):
        text = str(header)
    return " ".join(text.split())[:LONGEST]


def date(header: Any, arrived: datetime | None) -> str:
    """ISO 8601: when it was written, or came where it does not say."""
    try:
        return parsedate_to_datetime(str(header)).isoformat()
    except (ValueError, TypeError):
        return arrived.isoformat() if arrived else ""


def body(message: Message) -> tuple[str, list[dict[str, Any]]]:
    """Its plain text, or that of its HTML where it has no other; and what is attached."""
    plain: list[str] = []
    html: list[str] = []
    attachments: list[dict[str, Any]] = []
    for part in parts(message):
        kind, name = part.get_content_type(), part.get_filename()
        if name or part.get_content_disposition() == "attachment" or part.get_content_maintype() != "text":
            attachments.append({"name": decoded(name), "type": kind, "bytes": len(payload(part))})
        elif kind == "text/html":
            html.append(text_of(text(part)))
        else:
            plain.append(text(part).replace("\r\n", "\n"))
    found = "\n".join(plain)
    return (found if found.strip() else "\n".join(html)).strip(), attachments


def parts(message: Message) -> Iterator[Message]:
    """Its leaves. A message in the message is one of them: what it holds is another's."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting += reversed(part.get_payload())  # type: ignore[arg-type]
        else:
            yield part


def payload(part: Message) -> bytes:
    inner = part.get_payload()
    if isinstance(inner, list):
        return b"".join(item.as_bytes() for item in inner if isinstance(item, Message))
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def text(part: Message) -> str:
    try:
        return payload(part).decode(part.get_content_charset() or "utf-8", errors="replace")
    except LookupError:
        return payload(part).decode(errors="replace")

"""Finds and reads the mail of one mailbox, and leaves it as it is."""

import os
from datetime import date
from typing import Any

from inbox import opened
from messages import summary, told

WORDS = ("from", "to", "subject", "text")
DATES = ("since", "before")
MOST_READ = 10


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    operation = inputs.get("operation")
    if operation not in ("folders", "search", "read"):
        raise ValueError("operation is one of folders, search, read")
    folder = word(inputs, "folder", "INBOX")
    criteria = criteria_of(inputs)
    uids = uids_of(inputs) if operation == "read" else []
    limit, most = number(inputs, "limit", 20, 100), number(inputs, "max_chars", 20_000, 200_000)
    with opened(os.environ["IMAP_HOST"], int(os.environ["IMAP_PORT"])) as mailbox:
        if operation == "folders":
            return {"folders": mailbox.folders()}
        mailbox.open(folder)
        if operation == "read":
            return {"messages": [told(mailbox.whole(uid), most) for uid in uids]}
        found = mailbox.search(criteria)
        return {"messages": [summary(one) for one in mailbox.summaries(found[:limit])], "total": len(found)}


def criteria_of(inputs: dict[str, Any]) -> list[Any]:
    """As IMAP's SEARCH has them (RFC 3501, 6.4.4); all of them hold."""
    found: list[Any] = [flag.upper() for flag in ("unseen", "flagged") if inputs.get(flag)]
    for name in DATES:
        if name in inputs:
            found += [name.upper(), day(inputs, name)]
    for name in WORDS:
        if name in inputs:
            found += [name.upper(), word(inputs, name, "")]
    return found or ["ALL"]


def day(inputs: dict[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(inputs[name])
    except (ValueError, TypeError):
        raise ValueError(f"{name} is a day, like 2025-04-03") from None


def word(inputs: dict[str, Any], name: str, otherwise: str) -> str:
    value = inputs.get(name, otherwise)
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise ValueError(f"{name} is a text of 1 to 200 letters on one line")
    return value


def uids_of(inputs: dict[str, Any]) -> list[int]:
    uids = inputs.get("uids")
    good = (
        isinstance(uids, list)
        and 1 <= len(uids) <= MOST_READ
        and all(type(uid) is int and 1 <= uid < 2**32 for uid in uids)
    )
    if not good:
        raise ValueError(f"read needs uids: 1 to {MOST_READ} numbers, as search gives them")
    return list(dict.fromkeys(uids))


def number(inputs: dict[str, Any], name: str, otherwise: int, most: int) -> int:
    value = inputs.get(name, otherwise)
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} is a whole number from 1 to {most}")
    return value

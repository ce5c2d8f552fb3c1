"""How a secret's value may stand in a text: as it is, and as usual notations write it. Pure.

Of JSON not only ours counts: PHP escapes `/`, Go `<>&`, Gson `=` and `'` too, .NET `+` and in capitals; and JSON may stand in JSON. In base64 it
is found where it is part of more, as in the credentials of Basic (RFC 7617), but for the bytes that share a group of four with what is beside it.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

SHORTEST_CORE = 8  # bytes of a value that is looked for within longer base64: less could be anything
_PERCENT = re.compile("%[0-9A-F]{2}")


def notations(value: str) -> frozenset[str]:
    """Every way to write `value`, itself among them; none of what is empty."""
    return frozenset(form for form in _ways(value) if form) if value else frozenset()


def _ways(value: str) -> Iterator[str]:
    data = value.encode()
    yield from (value, repr(value)[1:-1], repr(data)[2:-1], data.hex(), data.hex().upper())
    for written in _as_json(value):
        yield from (written, json.dumps(written)[1:-1], json.dumps(written, ensure_ascii=False)[1:-1])
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield from (encoded, _PERCENT.sub(lambda found: found[0].lower(), encoded))
    for quoted in (True, False):
        yield html.escape(value, quote=quoted)
    yield _numbered(html.escape(value, quote=False), "\"'")
    yield _numbered(html.escape(value, quote=False), "\"'+")
    yield from _as_base64(data)


def _as_json(value: str) -> Iterator[str]:
    for plain in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield from (plain, plain.replace("/", "\\/"), _escaped(plain, "<>&"), _escaped(plain, "<>&='"))
    yield json.dumps(value.replace('"', "\0"))[1:-1].replace("\\u0000", "\\u0022").translate(
        {ord(sign): f"\\u{ord(sign):04X}" for sign in "+'<>&`"}
    )  # fmt: skip


def _escaped(text: str, signs: str) -> str:
    return text.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in signs})


def _numbered(text: str, signs: str) -> str:
    return text.translate({ord(sign): f"&#{ord(sign)};" for sign in signs})


def _as_base64(data: bytes) -> Iterable[str]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        if len(data) >= SHORTEST_CORE:
            for before in range(3):  # bytes that share the first group of base64 with it
                yield encode(b"\0" * before + data)[(0, 2, 3)[before] : (before + len(data)) * 8 // 6].decode()

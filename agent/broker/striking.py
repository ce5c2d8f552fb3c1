"""Takes known values out of a stream of bytes, however it is cut into pieces. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping

from agent.redactor import forms

SHORTEST_CORE = 8  # bytes of a value that is looked for within longer base64: less could be anything


class Strike:
    """`known`: what is looked for, and what is put in its place. Only what may be the beginning of something known is held back."""

    def __init__(self, known: Mapping[bytes, bytes]) -> None:
        self._known = {form: place for form, place in known.items() if form}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None
        self._held = b""

    def __call__(self, piece: bytes, *, last: bool = False) -> bytes:
        """What can be told of all that was fed until now; everything, where this is the last."""
        if self._pattern is None:
            return piece
        text = self._held + piece
        limit, at, out = len(text) if last else len(text) - self._begun(text), 0, []
        for match in self._pattern.finditer(text):
            if match.start() >= limit:
                break
            out += [text[at : match.start()], self._known[match[0]]]
            at = match.end()
        out.append(text[at : max(at, limit)])
        self._held = text[max(at, limit) :]
        return b"".join(out)

    def whole(self, text: bytes) -> bytes:
        """Of a text that stands by itself, like the value of a header."""
        return self._pattern.sub(lambda match: self._known[match[0]], text) if self._pattern else text

    def _begun(self, text: bytes) -> int:
        """How many bytes at the end may be the beginning of something known."""
        most = 0
        for form in self._known:
            at = text.find(form[:1], max(0, len(text) - len(form) + 1))
            while at >= 0 and len(text) - at > most:
                if form.startswith(text[at:]):
                    most = len(text) - at
                    break
                at = text.find(form[:1], at + 1)
        return most


def echoes(values: Mapping[str, str]) -> dict[bytes, bytes]:
    """`Strike.known` for placeholder -> value: the value as it is, as usual notations write it, and within longer base64."""
    return {form: placeholder.encode() for placeholder, value in values.items() for form in _written(value)}


def _written(value: str) -> Iterable[bytes]:
    for piece in {value, value.strip()}:
        yield from (form.encode() for form in forms(piece))
        plain = piece.encode()
        yield plain.hex().encode()
        yield plain.hex().upper().encode()
        if len(plain) >= SHORTEST_CORE:
            for before in range(3):  # bytes that share the first group of base64 with it
                core = base64.b64encode(b"\0" * before + plain)[(0, 2, 3)[before] : (before + len(plain)) * 8 // 6]
                yield from (core, core.translate(bytes.maketrans(b"+/", b"-_")))

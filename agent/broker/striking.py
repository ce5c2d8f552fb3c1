"""Takes known values out of a stream of bytes, however it is cut into pieces. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.notations import notations


class Strike:
    """`known`: what is looked for, and what is put in its place.

    What is held back says nothing of what is looked for: as many bytes as the longest of it could have begun in, whatever they are, and none of
    a line that has ended where no form of it goes over lines. If only what may be the beginning of something known were held back, whoever has
    a host repeat a guess would see by what comes late whether it is one.
    """

    def __init__(self, known: Mapping[bytes, bytes]) -> None:
        self._known = {form: place for form, place in known.items() if form}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None
        self._longest = len(longest_first[0]) if longest_first else 0
        self._in_lines = not any(b"\n" in form for form in self._known)
        self._held = b""

    def __call__(self, piece: bytes, *, last: bool = False) -> bytes:
        """What can be told of all that was fed until now; everything, where this is the last."""
        if self._pattern is None:
            return piece
        text = self._held + piece
        limit, at, out = len(text) if last else self._whole(text), 0, list[bytes]()
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

    def _whole(self, text: bytes) -> int:
        """How many bytes at the beginning nothing that is still to come can be part of."""
        ended = text.rfind(b"\n") + 1 if self._in_lines else 0
        return max(ended, len(text) - self._longest + 1)


def echoes(values: Mapping[str, str]) -> dict[bytes, bytes]:
    """`Strike.known` for placeholder -> value: the value in all its notations."""
    return {
        form.encode(): placeholder.encode() for placeholder, value in values.items() for piece in {value, value.strip()} for form in notations(piece)
    }

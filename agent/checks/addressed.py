"""Text that speaks to whoever judges: orders to models, roles of a conversation, approvals in advance. No model is asked.

What is found goes to a person and blocks nothing: a skill about prompts has such text with good reason. What is searched is each line, and what
it holds in base64, hexadecimal, or escaped; names of files; and two lines together. Whoever writes an order in riddles is not found.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

LONGEST = 2000  # characters that are looked at together
HALF = 500  # characters of each of two lines that are looked at together
MOST = 10  # findings of one skill
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}|(?:[0-9a-fA-F]{2}){20,}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_PATTERNS = Path(__file__).with_name("addressed.txt")


@cache
def _patterns() -> tuple[re.Pattern[str], tuple[tuple[str, re.Pattern[str]], ...]]:
    """What each has a part of, and each with what it is."""
    rows = (line.partition(" :: ") for line in _PATTERNS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    (_, hint), *patterns = ((what, re.compile(pattern, re.IGNORECASE)) for what, _, pattern in rows)
    return hint, tuple(patterns)


def addressed(files: Mapping[str, str]) -> Iterator[tuple[str, int | None, str]]:
    """Path, line and what stands there, of each that is found, MOST of them at most; a file's name has no line."""
    found = 0
    for path, text in sorted(files.items()):
        for line, what in _of_file(path, text):
            found += 1
            if found > MOST:
                return
            yield path, line, what


def _of_file(path: str, text: str) -> Iterator[tuple[int | None, str]]:
    if what := said(re.sub(r"[-_./]+", " ", path)):
        yield None, what
    lines = text.split("\n")
    told = set[int]()
    for number, line in enumerate(lines, 1):
        if what := said(line):
            told.add(number)
            yield number, what
    for number, (line, after) in enumerate(pairwise(lines), 1):
        if number in told or number + 1 in told or not line.strip() or not after.strip():
            continue
        if what := said(f"{line[-HALF:]} {after.lstrip(' #*/>|-;')[:HALF]}"):
            told.update((number, number + 1))
            yield number, what


def said(text: str) -> str | None:
    """What a text says to whoever judges, in a few words, or None."""
    hint, patterns = _patterns()
    for piece in (text[start : start + LONGEST] for start in range(0, max(len(text), 1), LONGEST - 200)):
        for spelled, how in _spellings(piece):
            if hint.search(spelled) and (what := next((what for what, pattern in patterns if pattern.search(spelled)), None)):
                return what + how
    return None


def _spellings(text: str) -> Iterator[tuple[str, str]]:
    """The text as it is read, and what is encoded in it."""
    yield _plain(text), ""
    if any(sign in text for sign in "\\%&") and (unescaped := unquote(html.unescape(_ESCAPED.sub(_char, text)))) != text:
        yield _plain(unescaped), ", escaped"
    for match in _ENCODED.finditer(text):
        for decode in (_from_base64, binascii.unhexlify):
            try:
                yield _plain(decode(match[0]).decode()), ", encoded"
            except ValueError:
                continue


def _char(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_" if "-" in text or "_" in text else None)


def _plain(text: str) -> str:
    """In normal form, without what nobody sees, with single spaces."""
    if text.isascii():
        return " ".join(text.split())
    seen = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    return " ".join(seen.split())

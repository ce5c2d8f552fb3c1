"""Names in code that read as other names than they are: letters of two scripts in one word, or of another script that look Latin.

Comments and texts may be in any language; here only what a language takes for code is looked at (Unicode Technical Standard 39, UAX 31).
"""

from __future__ import annotations

import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator

# Comments and texts of languages that quote alike, and the patterns of JavaScript where one may stand.
_CURLY = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=[=(,:;!&|?{}\n])[ \t]*/(?:[^/\\\n*]|\\.)(?:[^/\\\n]|\\.)*/",
    re.DOTALL,
)
_SHELL = re.compile(r"(?:^|(?<=\s))#[^\n]*|\"(?:[^\"\\]|\\.)*\"|'[^']*'", re.DOTALL)
_QUOTING = {".js": _CURLY, ".mjs": _CURLY, ".cjs": _CURLY, ".go": _CURLY, ".sh": _SHELL, ".bash": _SHELL}
_WORD = re.compile(r"[^\W\d]\w*")
# Scripts that are written together (UTS 39, "Highly Restrictive").
_TOGETHER = (frozenset(("CJK", "HIRAGANA", "KATAKANA")), frozenset(("CJK", "HANGUL")), frozenset(("CJK", "BOPOMOFO")))
# Letters of other scripts that are drawn like Latin ones, and those.
_PAIRS = (
    "аa еe оo рp сc уy хx іi јj ѕs һh ԁd ԛq ԝw вb кk мm нh тt гr АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS ԚQ ԜW "  # Cyrillic
    "αa οo ρp νv ιi κk υu χx γy τt ωw ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "  # Greek
    "ոn սu ցg հh օo ԼL ՏS"  # Armenian
)
_DRAWN = str.maketrans({pair[0]: pair[1] for pair in _PAIRS.split()})


def misleading(path: str, text: str) -> Iterator[tuple[int, str]]:
    """The line of each such name in a file of code, and what is wrong with it; nothing of other files."""
    if text.isascii():
        return
    for line, word in _words(path, text):
        if why := _wrong(word):
            yield line, why


def _words(path: str, text: str) -> Iterator[tuple[int, str]]:
    suffix = path[path.rfind(".") :]
    if suffix == ".py":
        try:
            for token in tokenize.generate_tokens(io.StringIO(text).readline):
                if token.type in (tokenize.NAME, tokenize.ERRORTOKEN):
                    yield token.start[0], token.string
        except (tokenize.TokenError, SyntaxError):
            return  # the check security says that it cannot be read
    elif quoting := _QUOTING.get(suffix):
        code = quoting.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        for number, line in enumerate(code.split("\n"), 1):
            yield from ((number, word) for word in _WORD.findall(line))
            yield from ((number, char) for char in line if unicodedata.category(char) == "Cf")


def _wrong(word: str) -> str | None:
    if word.isascii() or not word.strip():
        return None
    shown = word[:40].encode("unicode_escape").decode()
    if any(unicodedata.category(char) == "Cf" for char in word):
        return f"an invisible character ({shown}) stands in the code"
    if unicodedata.normalize("NFKC", word) != word:
        return f"the name {word[:40]!r} ({shown}) is another in its normal form, which is how it is read"
    scripts = frozenset(unicodedata.name(char, "UNKNOWN").split()[0] for char in word if char.isalpha())
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        return f"the name {word[:40]!r} ({shown}) mixes letters of {' and '.join(sorted(scripts)).title()}"
    if "LATIN" not in scripts and (drawn := word.translate(_DRAWN)).isascii():
        return f"the name {word[:40]!r} ({shown}) is drawn like {drawn!r} and is another"
    return None

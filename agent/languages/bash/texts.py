"""Programs that a script holds as text, for awk, sed and jq: what they start, read and look up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.languages.bash.banned import DYNAMIC, ENVIRONMENT
from agent.languages.bash.meaning import UNKNOWN
from agent.languages.places import FILES, outside

AWKS = ("awk", "gawk", "mawk")
Found = Iterator[tuple[str, str]]  # rule and message

_AWK_RUNS = re.compile(r"\bsystem\s*\(|\|&|(?<!\|)\|(?!\|)|/inet|@\s*(?:load|include|[A-Za-z_]\w*\s*\()")
_AWK_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_AWK_PATTERN = re.compile(r"(?:^|(?<=[~(,{;&|!\n]))\s*/(?:[^/\\\n\[]|\\.|\[[^\]\n]*\])+/")
_ADDRESS = r"(?:\d+|\$|/(?:[^/\\\n]|\\.)*/[IM]*)"
_SED_RUNS = re.compile(rf"(?:^|[;{{\n])\s*(?:{_ADDRESS}(?:\s*,\s*[+~]?{_ADDRESS})?)?\s*!?\s*e(?:\s|$|[;}}])")
_SED_SUBSTITUTES = re.compile(r"s([^\w\s\\])(?:(?!\1)[^\\\n]|\\.)*\1(?:(?!\1)[^\\\n]|\\.)*\1[gpiImM0-9]*e", re.DOTALL)
_SED_FILES = re.compile(r"(?:^|[;{\n/0-9$\s])[rRwW]\s*(/\S+|\.\./\S*|~\S*)")
_JQ_LOOKS = re.compile(r"\$ENV\b|(?<![\w.\"$-])env\b(?!\s*[:\"])")
_AWK_OPTIONS = re.compile(r"-[fliE].*|--(?:file|load|include|exec)\b.*")
_SED_OPTIONS = re.compile(r"-[nrEsuz]*f.*|--file\b.*")


def found(name: str, words: Sequence[str]) -> Found:
    """`words`: what a program is given, each as it is meant."""
    if name in AWKS:
        yield from _awk(name, words)
    elif name == "sed":
        yield from _sed(words)
    elif name == "jq" and any(_JQ_LOOKS.search(_without_texts(word)) for word in words if not word.startswith("-")):
        yield ENVIRONMENT[0], f"`jq` with env or $ENV {ENVIRONMENT[1]}"


def _awk(name: str, words: Sequence[str]) -> Found:
    if any(_AWK_OPTIONS.fullmatch(word) for word in words):
        yield DYNAMIC[0], f"`{name}` with a program from a file {DYNAMIC[1]}: write it in the script"
    for word in _program(words, "vF", ("-e", "--source")):
        if word.strip(UNKNOWN) == "" and word:
            yield DYNAMIC[0], f"`{name}` with a program that is computed {DYNAMIC[1]}"
        code = _AWK_TEXT.sub('""', _AWK_PATTERN.sub(" ", word))
        if _AWK_RUNS.search(code) or any(text.startswith("/inet") for text in _AWK_TEXT.findall(word)):
            yield DYNAMIC[0], f"`{name}` with system(), a pipe or a call by a name {DYNAMIC[1]}"
        if re.search(r"\b(?:ENVIRON|PROCINFO|SYMTAB)\b", code):
            yield ENVIRONMENT[0], f"`{name}` with ENVIRON {ENVIRONMENT[1]}"
        for text in _AWK_TEXT.findall(word) if re.search(r"getline|>|\bARGV\b", code) else ():
            if len(text) > 1 and outside(text):
                yield FILES[0], f"{text[:60]!r} {FILES[1]}"


def _sed(words: Sequence[str]) -> Found:
    if any(_SED_OPTIONS.fullmatch(word) for word in words):
        yield DYNAMIC[0], f"`sed` with a program from a file {DYNAMIC[1]}: write it in the script"
    for word in _program(words, "lE", ("-e", "--expression")):
        if _SED_RUNS.search(word) or _SED_SUBSTITUTES.search(word):
            yield DYNAMIC[0], f"`sed` with the command or the flag e {DYNAMIC[1]}"
        for path in _SED_FILES.findall(word):
            if outside(path) and not re.search(r"[\\/][gpI\d]*$", path):
                yield FILES[0], f"{path[:60]!r} {FILES[1]}"


def _program(words: Sequence[str], takes: str, by_option: Sequence[str]) -> list[str]:
    """The programs among the words: those of the options that take one, else the first word that is no option."""
    told, at = list[str](), 0
    first = ""
    while at < len(words):
        word = words[at]
        if word in by_option:
            told += words[at + 1 : at + 2]
            at += 1
        elif match := re.match(r"-[nrEsuz]*e(.+)|--(?:expression|source)=(.*)", word, re.DOTALL):
            told.append(match[1] or match[2])
        elif re.fullmatch(rf"-[{takes}]", word):
            at += 1
        elif not word.startswith("-") and not first:
            first = word
        at += 1
    return told or [first]


def _without_texts(program: str) -> str:
    return _AWK_TEXT.sub('""', re.sub(r"#[^\n]*", "", program))

"""What a script decides by, and whether that tells what it should: characteristics of people, patterns without their ends (CWE-777), addresses with
numbers of any size (CWE-1286), keys that stand twice (CWE-462)."""

from __future__ import annotations

import re

from agent.languages.bash.doubts.seen import TESTS, Found, Script, bare, comparisons, variables
from agent.languages.sensitive import about_addresses, classed, protected, validates

_LOOKED_UP = re.compile(r"\$\{\w+\[([^]]*[A-Za-z][^]]*)\]")
_ANY_NUMBER = re.compile(r"(?:\[0-9\]|\\d|\[\[:digit:\]\])(?:\+|\*|\{\d*,?\d*\})?\)?(?:\\\.|\[\.\])")
_PAIR = re.compile(r"[\"']?([\w .-]+)[,:=|][^\"']*[\"']?$")
_KEYED = re.compile(r"\[[\"']?([^]\"']+)[\"']?\]=")
_ARRAY = re.compile(r"\b(\w+)\+?=\(([^()]*)\)", re.DOTALL)
_READS_PAIRS = re.compile(r"IFS=\S*[^\n]*\bread\b|%%[,:=|]|\bcut\b[^\n]*-d|\[0\]|\[\w+\s*\+\s*1\]|\[\$\(\(|\+= ?2")


def found(script: Script) -> Found:
    yield from _people(script)
    yield from _patterns(script)
    yield from _doubled(script)


def _people(script: Script) -> Found:
    for line, name in (*_compared(script), *_looked_up(script)):
        message = f"decides by `{name}`, a characteristic that people may not be treated by: is there a lawful reason?"
        yield line, "protected-characteristic", message


def _compared(script: Script) -> list[tuple[int, str]]:
    told = []
    for command in script.commands:
        first = command.words[0]
        if first.text in TESTS:
            for left, _, right in comparisons(command):
                if bare(left.text) and bare(right.text):  # whether something is there at all makes no difference between people
                    texts = not bare(right.text).isdigit() and not right.text.startswith("$")
                    told += [(command.line, name) for name in variables(f"{left.text} {right.text}") if protected(name) or (texts and classed(name))]
        elif first.text == "case" and len(command.words) > 1:
            told += [(command.line, name) for name in variables(command.words[1].text) if protected(name) or classed(name)]
    return told


def _looked_up(script: Script) -> list[tuple[int, str]]:
    """A table's element by what somebody is, and what somebody is as a part of a sum."""
    told = []
    for number, line in enumerate(script.lines, 1):
        code = line.partition(" #")[0]
        for match in _LOOKED_UP.finditer(code):
            inner = match[1]
            told += [(number, name) for name in variables(inner) or [inner] if "$" in inner and (protected(name) or classed(name))]
        for sum_ in re.findall(r"\(\(([^()]*[-+*][^()]*)\)\)", code):
            told += [(number, name) for name in re.findall(r"[A-Za-z_]\w*", sum_) if protected(name) and len(re.findall(r"\w+", sum_)) > 1]
    return told


def _patterns(script: Script) -> Found:
    for command in script.commands:
        if command.words[0].text not in TESTS:
            continue
        for left, how, right in comparisons(command):
            if how != "=~":
                continue
            named = variables(right.text)
            pattern = script.literals.get(named[0], ("", 0))[0] if len(named) == 1 and re.fullmatch(r"\$\{?\w+\}?", right.text) else right.text
            around = [script.function_at(command.line), *variables(left.text), *named]
            if any(map(validates, around)) and pattern and not _whole(pattern):
                yield command.line, "loose-pattern", "lets through what stands before or after the pattern: a validation has ^ and $ (CWE-777)"
            elif any(map(about_addresses, around)) and _ANY_NUMBER.search(pattern) and "25[0-5]" not in pattern:
                yield command.line, "loose-pattern", "takes numbers beyond 255 for a part of an IPv4 address (CWE-1286)"


def _whole(pattern: str) -> bool:
    plain = pattern.strip("\"'")
    return plain.lstrip("(").startswith("^") and plain.rstrip(")").endswith("$")


def _doubled(script: Script) -> Found:
    """A list that is searched by key, in which a key stands twice; a table in which one is written twice, so that the first is lost."""
    source = "\n".join(script.lines)
    keys: dict[str, list[tuple[str, int]]] = {}
    for match in _ARRAY.finditer(source):
        line = source.count("\n", 0, match.start()) + 1
        written = re.findall(r"'[^']*'|\"[^\"]*\"|[^\s'\"]+", match[2])
        pairs = [found for part in written if (found := _PAIR.match(part))]
        tables = _KEYED.findall(match[2])
        if tables:
            keys.setdefault(f"{match[1]}[]", []).extend((key, line) for key in tables)
        elif len(pairs) == len(written) and _READS_PAIRS.search(source):
            keys.setdefault(match[1], []).extend((pair[1], line) for pair in pairs)
        elif len(written) % 2 == 0 and re.search(r"\[\$?\w+\s*\+\s*1\]|\[\$\(\(|\+=? ?2\)\)|\+2\b", source):
            keys.setdefault(match[1], []).extend((bare(part), line) for part in written[::2])
    for told in keys.values():
        seen: set[str] = set()
        for key, line in told:
            if key in seen and "$" not in key:
                yield line, "doubled-key", f"{key[:40]!r} is there twice, and a search by key finds one of them (CWE-462)"
                break
            seen.add(key)

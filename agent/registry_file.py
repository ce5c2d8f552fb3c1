"""registry.yaml <-> Registry, byte-stable.

The file is a header (apiVersion, kind, revision), the line `skills:` and one block a skill: a line of two spaces and the
name, and below it lines of at least four. Blocks are sorted by name and found by these lines alone, so that one can be exchanged
without reading or changing the others, and each is the same piece of YAML on its own as in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from pydantic import Field

from agent.domain import Frozen
from agent.domain.registry import Entry, Registry
from agent.domain.schema import Json
from agent.domain.skill import API_VERSION, Permissions
from agent.errors import InvalidFile
from agent.strict_yaml import dump, fitted, load, load_as, locate

PATH = "registry.yaml"
SIZE = 16 * 2**20  # bytes

_NAME = r"[a-z][a-z0-9-]*"
_SKILLS = re.compile(r"^skills:[ \t]*(\{\}[ \t]*)?(?:#[^\n]*)?(?:\n|\Z)", re.MULTILINE)
_REVISION = re.compile(r"^revision:[ \t]*(\d+)", re.MULTILINE)
_BLOCK = re.compile(rf'  (?P<quote>"?)(?P<name>{_NAME})(?P=quote):[^\n]*(?:\n|\Z)(?:(?:[ \t]*\n)*    [^\n]*(?:\n|\Z))*')
_HEADER = re.compile(rf'^  "?({_NAME})"?:', re.MULTILINE)
_CUT = re.compile(r'\n(?=  ["a-z])')
_BETWEEN = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


class Block(NamedTuple):
    """One skill's lines in the file, the first of them line `line`."""

    name: str
    text: str
    line: int


class Section(NamedTuple):
    """A run of blocks, `start` characters into the file's text `whole`."""

    text: str
    whole: str
    start: int

    @property
    def line(self) -> int:
        return self.whole.count("\n", 0, self.start) + 1


class _Head(Frozen):
    apiVersion: Literal["skillops/v1"]
    kind: Literal["Registry"]
    revision: int = Field(ge=0)
    skills: dict[str, Json] | None = Field(default=None, max_length=0)


def parse(text: str | bytes, path: str = PATH) -> Registry:
    """The whole file. Raises InvalidFile with the line, and what was expected there."""
    text = _text(text, path)
    entries = tuple(entry_of(block, path) for block in blocks(text, path))
    return Registry(revision=revision_of(text, path), skills=entries)


def render(registry: Registry) -> str:
    """The file, from nothing."""
    head = f"apiVersion: {API_VERSION}\nkind: Registry\nrevision: {registry.revision}\n"
    skills = "".join(block_of(entry) for entry in sorted(registry.skills, key=lambda entry: entry.name))
    return f"{head}skills:\n{skills}" if skills else f"{head}skills: {{}}\n"


def splice(text: str, entry: Entry | None, *, name: str, revision: int | None = None) -> str:
    """`text` with the block of the skill `name` replaced or put in its place, or removed where `entry` is None.

    All other bytes stay as they are, but for the revision: one more, or the one given.
    """
    return _spliced(text, {name: entry}, revision)


def splice_all(text: str, entries: Sequence[Entry], gone: Sequence[str] = ()) -> str:
    """As `splice`, for several skills (those in `gone` are removed) with one rise of the revision."""
    return _spliced(text, dict.fromkeys(gone) | {entry.name: entry for entry in entries}, None)


def cut(text: str, firsts: Sequence[str], path: str = PATH) -> list[Section]:
    """What is below the line `skills:`, cut before the first block that is not below each of the names `firsts` (sorted)."""
    start = _skills_line(text, path).end()
    places = [start]
    for name in firsts:
        there = text.find(f"\n  {name}:", places[-1] - 1) + 1  # mostly there, and found sooner than by halving
        places.append(there or _not_below(name, text, start))
    places.append(len(text))
    return [Section(text[one:next], text, one) for one, next in pairwise(places)]


def pieces(section: str) -> list[str]:
    """A section cut before each line that names a skill, unread. Joined they are the section."""
    cuts = [0, *(match.end() for match in _CUT.finditer(section)), len(section)]
    return [section[one:next] for one, next in pairwise(cuts) if one < next]


def block_in(piece: str, line: int, path: str = PATH) -> Block | None:
    """The block of a piece that starts on `line`; None where it is comments alone. InvalidFile where a line belongs to nothing."""
    block = _BLOCK.match(piece)
    at = block.end() if block else 0
    while at < len(piece):
        match = _BETWEEN.match(piece, at)
        if match is None:
            wrong = line + piece.count("\n", 0, at)
            raise InvalidFile(path, "expected a skill's name after two spaces, or lines of its block after four", line=wrong)
        at = match.end()
    return Block(block["name"], block[0], line) if block else None


def blocks(text: str, path: str = PATH) -> Iterator[Block]:
    """The file's blocks in their order, unread. InvalidFile where a line belongs to none, or the order is another."""
    (section,) = cut(text, (), path)
    line, above = section.line, ""
    for piece in pieces(section.text):
        if block := block_in(piece, line, path):
            check_order(above, block.name, line, path)
            yield block
            above = block.name
        line += piece.count("\n")


def check_order(above: str, name: str, line: int, path: str = PATH) -> None:
    """InvalidFile where a block is not in its place."""
    if name == above:
        raise InvalidFile(path, f"the skill {name!r} is already there; expected it once", line=line)
    if name < above:
        raise InvalidFile(path, f"expected the skills sorted by name, and {name!r} stands below {above!r}", line=line)


def entry_of(block: Block, path: str = PATH) -> Entry:
    """The entry that a block holds. Raises InvalidFile."""
    held = load(block.text, path, first_line=block.line)
    if not isinstance(held, dict) or block.name not in held:  # like `  name:x`, which YAML reads as one word
        raise InvalidFile(path, f"expected `{block.name}:` and its block below", line=block.line)
    value = held[block.name]
    named = {"name": block.name, **value} if isinstance(value, dict) else value
    return fitted(Entry, named, path, lambda place: _line_in(block, place))


def block_of(entry: Entry) -> str:
    """An entry's block: every key that says something, in the order of Entry."""
    said = entry.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    said = {key: value for key, value in said.items() if value != []}
    if entry.permissions == Permissions():
        del said["permissions"]
    return "".join(f"  {line}\n" if line else "\n" for line in dump({entry.name: said}).removesuffix("\n").split("\n"))


def revision_of(text: str, path: str = PATH) -> int:
    """The revision, from the header alone. Raises InvalidFile where the header is not a registry's."""
    return load_as(_Head, text[: _skills_line(text, path).end()], path).revision


def _text(text: str | bytes, path: str) -> str:
    if len(text) > SIZE:
        raise InvalidFile(path, f"the file has {len(text):,} bytes; at most {SIZE:,} are read")
    try:
        return text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as error:
        raise InvalidFile(path, "expected text in UTF-8", line=error.object.count(b"\n", 0, error.start) + 1) from None


def _skills_line(text: str, path: str = PATH) -> re.Match[str]:
    if match := _SKILLS.search(text):
        return match
    load(text, path, size=SIZE)
    raise InvalidFile(path, "expected the line `skills:` after apiVersion, kind and revision", line=min(text.count("\n") + 1, 4))


def _spliced(text: str, entries: Mapping[str, Entry | None], revision: int | None) -> str:
    now, skills = revision_of(text), _skills_line(text)
    number = _REVISION.search(text, 0, skills.start())
    if number is None:
        raise InvalidFile(PATH, "expected `revision:` and a number on one line", line=1)
    if not text.endswith("\n"):
        text += "\n"
    edits = [(number.start(1), number.end(1), str(now + 1 if revision is None else revision))]
    edits += [_edit(text, skills.end(), name, entry) for name, entry in sorted(entries.items())]
    parts, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[0]):
        parts += [text[at:start], new]
        at = end
    return _listed("".join((*parts, text[at:])))


def _edit(text: str, start: int, name: str, entry: Entry | None) -> tuple[int, int, str]:
    """From where to where what is to stand."""
    new = "" if entry is None else block_of(entry)
    at = _not_below(name, text, start)
    header = _HEADER.match(text, at)
    if header is None or header[1] != name:
        at = _above_comments(text, start, at)
        return at, at, new
    block = _BLOCK.match(text, at)
    return at, block.end() if block else at, new


def _not_below(name: str, text: str, start: int) -> int:
    """Where the first block stands whose name is not below `name`; the end where there is none."""
    low, high, at = start, len(text), len(text)
    while low < high:
        middle = (low + high) // 2
        header = _HEADER.search(text, middle)
        if header and header.start() < high and header[1] < name:
            low = header.end()
        else:
            high, at = middle, header.start() if header and header.start() < high else at
    return at


def _above_comments(text: str, start: int, at: int) -> int:
    while at < len(text) and (line := text.rfind("\n", start - 1, at - 1) + 1) and _BETWEEN.fullmatch(text, line, at):
        at = line
    return at


def _listed(text: str) -> str:
    """`skills: {}` where no block is left, and `skills:` where one is there."""
    skills = _skills_line(text)
    empty = _HEADER.search(text, skills.end()) is None
    if empty == bool(skills[1]):
        return text
    colon = skills.start() + len("skills:")
    return f"{text[:colon]} {{}}{text[colon:]}" if empty else text[:colon] + text[colon:].lstrip(" \t").removeprefix("{}")


def _line_in(block: Block, place: Sequence[str | int]) -> int:
    pointer = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in ("", block.name, *place))
    return block.line - 1 + (locate(block.text, pointer) or 1)

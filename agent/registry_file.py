"""registry.yaml <-> Registry, byte-stable.

The file is a header (apiVersion, kind, revision), the line `skills:` and one block a skill: a line of two spaces and the
name, and below it lines of at least four. Blocks are found by these lines alone, so that one can be exchanged without reading
or changing the others, and each is the same piece of YAML on its own as in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
_BETWEEN = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


class Block(NamedTuple):
    """One skill's lines in the file, the first of them line `line`."""

    name: str
    text: str
    line: int


class _Head(Frozen):
    apiVersion: Literal["skillops/v1"]
    kind: Literal["Registry"]
    revision: int = Field(ge=0)
    skills: dict[str, Json] | None = Field(default=None, max_length=0)


def parse(text: str | bytes, path: str = PATH) -> Registry:
    """The whole file. Raises InvalidFile with the line, and what was expected there."""
    text = _text(text, path)
    found: dict[str, Entry] = {}
    for block in blocks(text, path):
        if block.name in found:
            raise InvalidFile(path, f"the skill {block.name!r} is already there; expected it once", line=block.line)
        found[block.name] = entry_of(block, path)
    return Registry(revision=revision_of(text, path), skills=tuple(found[name] for name in sorted(found)))


def render(registry: Registry) -> str:
    """The file, from nothing."""
    head = f"apiVersion: {API_VERSION}\nkind: Registry\nrevision: {registry.revision}\n"
    skills = "".join(block_of(entry) for entry in sorted(registry.skills, key=lambda entry: entry.name))
    return f"{head}skills:\n{skills}" if skills else f"{head}skills: {{}}\n"


def splice(text: str, entry: Entry | None, *, name: str, revision: int | None = None) -> str:
    """`text` with the block of the skill `name` replaced or put in its place, or removed where `entry` is None.

    All other bytes stay as they are, but for the revision: one more, or the one given.
    """
    return _with_revision(_spliced(text, name, entry), revision)


def splice_all(text: str, entries: Sequence[Entry], gone: Sequence[str] = ()) -> str:
    """As `splice`, for several skills (those in `gone` are removed) with one rise of the revision."""
    for name in gone:
        text = _spliced(text, name, None)
    for entry in entries:
        text = _spliced(text, entry.name, entry)
    return _with_revision(text, None)


def blocks(text: str, path: str = PATH) -> Iterator[Block]:
    """The file's blocks in their order, unread. InvalidFile where a line belongs to none."""
    start = _skills_line(text, path).end()
    line = text.count("\n", 0, start) + 1
    while start < len(text):
        match = _BLOCK.match(text, start)
        if match:
            yield Block(match["name"], match[0], line)
        elif not (match := _BETWEEN.match(text, start)):
            raise InvalidFile(path, "expected a skill's name after two spaces, or lines of its block after four", line=line)
        line += match[0].count("\n")
        start = match.end()


def entry_of(block: Block, path: str = PATH) -> Entry:
    """The entry that a block holds. Raises InvalidFile."""
    value = load(block.text, path, first_line=block.line)[block.name]
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


def _with_revision(text: str, revision: int | None) -> str:
    now = revision_of(text)
    match = _REVISION.search(text, 0, _skills_line(text).start())
    if match is None:
        raise InvalidFile(PATH, "expected `revision:` and a number on one line", line=1)
    return f"{text[: match.start(1)]}{now + 1 if revision is None else revision}{text[match.end(1) :]}"


def _spliced(text: str, name: str, entry: Entry | None) -> str:
    start = _skills_line(text).end()
    at = max(text.find(f"\n  {name}:", start - 1), text.find(f'\n  "{name}":', start - 1)) + 1
    block = "" if entry is None else block_of(entry)
    if at:
        end = _BLOCK.match(text, at).end()  # type: ignore[union-attr]
        return _listed(text[:at] + block + text[end:])
    if entry is None:
        return text
    at = _place_for(name, text, start)
    return _listed(text[:at] + ("\n" if text[at - 1] != "\n" else "") + block + text[at:])


def _place_for(name: str, text: str, start: int) -> int:
    """Where the block of a new name goes: before the first greater name and the comments above that."""
    low, high, at = start, len(text), len(text)
    while low < high:
        middle = (low + high) // 2
        header = _HEADER.search(text, middle)
        if header and header.start() < high and header[1] < name:
            low = header.end()
        else:
            high, at = middle, header.start() if header and header.start() < high else at
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

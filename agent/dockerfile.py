"""A Dockerfile as lines of instructions: reading one that a person wrote, and the words of one that we write.

Only what we need to know of one is read (docs.docker.com/reference/dockerfile); whether it is right the engine says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

NAME = "Dockerfile"
_WORD = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_FROM = re.compile(r"(?:--\S+\s+)*(?P<image>\S+)(?:\s+[Aa][Ss]\s+(?P<stage>\S+))?\s*")


class Instruction(NamedTuple):
    """One instruction: its word in capitals, what follows on one line, and its first and last line, counted from 1."""

    word: str
    rest: str
    line: int
    last: int


def instructions(text: str) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile; a line that is none is left out."""
    return tuple(_read(text.split("\n")))


def bases(found: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """Its FROMs whose image is neither an earlier stage nor `scratch`; `rest` is the image alone."""
    stages, images = {"scratch"}, []
    for each in found:
        match = _FROM.fullmatch(each.rest) if each.word == "FROM" else None
        if match and match["image"].lower() not in stages:
            images.append(each._replace(rest=match["image"]))
        if match and match["stage"]:
            stages.add(match["stage"].lower())
    return tuple(images)


def arguments(found: tuple[Instruction, ...]) -> frozenset[str]:
    """The names that it declares with ARG."""
    return frozenset(word.partition("=")[0] for each in found if each.word == "ARG" for word in each.rest.split())


def marked(text: str, label: str) -> str:
    """The Dockerfile with a label at the start of every stage: all that a build makes on its way then has it."""
    lines = text.rstrip("\n").split("\n")
    for each in reversed([each for each in instructions(text) if each.word == "FROM"]):
        lines.insert(each.last, f"LABEL {label}")
    return "\n".join(lines) + "\n"


def with_bases(text: str, images: Mapping[str, str]) -> str:
    """The Dockerfile on other images: each that is a key is named by its value instead, and stays what it is called where it names a stage."""
    lines = text.split("\n")
    for each in bases(instructions(text)):
        if named := images.get(each.rest):
            for number in range(each.line - 1, each.last):
                lines[number] = re.sub(rf"(?<!\S){re.escape(each.rest)}(?!\S)", lambda _: named, lines[number], count=1)
    return "\n".join(lines)


def label(pairs: Mapping[str, str]) -> str:
    """One LABEL for them all."""
    return "LABEL " + " \\\n      ".join(f"{key}={quoted(value)}" for key, value in sorted(pairs.items()))


def quoted(value: str) -> str:
    """A word of a Dockerfile that stands for `value`, on one line: nothing in it is an instruction or a variable."""
    line = re.sub(r"[\r\n\0]+", " ", value)
    return '"' + re.sub(r'(["\\$])', r"\\\1", line) + '"'


def _read(lines: list[str]) -> Iterator[Instruction]:
    number = 0
    while number < len(lines):
        first, text = number + 1, lines[number]
        number += 1
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        while text.rstrip().endswith("\\") and number < len(lines):
            following = lines[number]
            number += 1
            if not following.lstrip().startswith("#"):  # a comment between the lines of an instruction is none of it
                text = text.rstrip()[:-1] + " " + following.strip()
        if match := _WORD.fullmatch(text):
            yield Instruction(match[1].upper(), match[2].strip(), first, number)

"""Programs for seccomp(2): puts decisions about system calls into the kernel's classic BPF (linux/filter.h, linux/bpf_common.h).

A program sees `struct seccomp_data` (linux/seccomp.h): the number at 0, the architecture at 4, the six arguments from 16 on, 8 bytes
each, of which the lower half is looked at here. Both architectures that we know are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

LOAD, AND, JUMP, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE = 0, 4
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
X32 = 0x40000000  # a bit of the number: the x32 ABI, with numbers and argument sizes of its own

Instruction = tuple[int, int, int, int]
Condition = tuple[int, int, int]  # argument, mask, and the value that is left of it then
Leaf = int | tuple[int, Sequence[Sequence[Condition]]]  # an answer, or one with the alternatives under which the call is allowed instead


def refusal(errno: int) -> int:
    return ERRNO | errno


def assembled(architecture: int, leaves: Mapping[int, Leaf], default: int) -> bytes:
    """A program that answers each call by `leaves`, others by `default`, and kills what comes in another architecture's way."""
    segments: list[tuple[int, Leaf]] = [(0, default)]
    for number in sorted(leaves):
        if segments[-1][0] == number:
            segments.pop()
        segments += [(number, leaves[number]), (number + 1, default)]
    merged = [segment for before, segment in zip([(0, None), *segments], segments, strict=False) if segment[1] != before[1]]
    return packed([
        (LOAD, 0, 0, ARCHITECTURE), (IF_EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER), (IF_AT_LEAST, 0, 1, X32), (RETURN, 0, 0, KILL),
        *_search(merged),
    ])  # fmt: skip


def packed(program: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _search(segments: Sequence[tuple[int, Leaf]]) -> list[Instruction]:
    """By halves: which of the segments, each known by its first number, the loaded number lies in."""
    if len(segments) == 1:
        leaf = segments[0][1]
        return [(RETURN, 0, 0, leaf)] if isinstance(leaf, int) else _weighed(*leaf)
    middle = len(segments) // 2
    below, above = _search(segments[:middle]), _search(segments[middle:])
    if len(below) < 256:
        return [(IF_AT_LEAST, len(below), 0, segments[middle][0]), *below, *above]
    return [(IF_AT_LEAST, 0, 1, segments[middle][0]), (JUMP, 0, 0, len(below)), *below, *above]


def _weighed(otherwise: int, alternatives: Sequence[Sequence[Condition]]) -> list[Instruction]:
    """Allowed where all conditions of one alternative hold."""
    program: list[Instruction] = []
    for conditions in alternatives:
        tail: list[Instruction] = [(RETURN, 0, 0, ALLOW)]
        for argument, mask, value in reversed(conditions):
            tail = [(LOAD, 0, 0, 16 + 8 * argument), (AND, 0, 0, mask), (IF_EQUAL, 0, len(tail), value), *tail]
        program += tail
    return [*program, (RETURN, 0, 0, otherwise)]


def answer(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What a program of ours answers to a call: the kernel's interpreter in small, for tests and for `skillops doctor`."""
    data = struct.pack("<iIQ6Q", number if number < 2**31 else number - 2**32, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = place = 0
    while True:
        operation, when, unless, value = code[place]
        place += 1
        if operation == RETURN:
            return value
        if operation == LOAD:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == AND:
            accumulator &= value
        elif operation == JUMP:
            place += value
        else:
            holds = {IF_EQUAL: accumulator == value, IF_AT_LEAST: accumulator >= value, IF_ANY_BIT: bool(accumulator & value)}[operation]
            place += when if holds else unless

"""The forwarder's names: what its small DNS server answers, and which address stands for which host."""

from __future__ import annotations

import struct

import pytest

from agent.egress.forwarder import NAMES, Names, answer


def names(*wildcards: str) -> Names:
    return Names({"127.77.0.1": "api.example.com"}, list(wildcards))


def a_query(name: str, kind: int = 1, *, flags: int = 0x0100, questions: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, flags, questions, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def told(reply: bytes) -> tuple[int, list[str]]:
    """The response code, and the addresses."""
    number, flags, _, count = struct.unpack("!HHHH", reply[:8])
    assert number == 7 and flags & 0x8000
    return flags & 0xF, [".".join(map(str, reply[-4:]))] if count else []


def test_a_declared_host_has_its_address_in_any_case_of_letters() -> None:
    reply, unknown = answer(a_query("API.example.com"), names())
    assert told(reply) == (0, ["127.77.0.1"]) and unknown == ""


def test_other_kinds_of_record_are_there_and_empty() -> None:
    assert told(answer(a_query("api.example.com", kind=28), names())[0]) == (0, [])


def test_an_undeclared_name_does_not_exist_and_is_told() -> None:
    reply, unknown = answer(a_query("evil.example.com"), names())
    assert told(reply) == (3, []) and unknown == "evil.example.com"


def test_a_wildcard_gives_each_name_an_address_of_its_own_that_stays() -> None:
    known = names("*.example.org")
    first, second = (told(answer(a_query(name), known)[0])[1][0] for name in ("a.example.org", "b.example.org"))
    assert first != second and told(answer(a_query("a.example.org"), known)[0])[1] == [first]
    assert (known.host(first), known.host(second), known.host("127.77.0.1")) == ("a.example.org", "b.example.org", "api.example.com")
    assert known.address("example.org") is None and known.address("example.net") is None


def test_names_without_end_do_not_fill_the_memory() -> None:
    known = names("*")
    given = [known.address(f"n{number}.example.org") for number in range(NAMES + 50)]
    assert given[NAMES - 1] and given[NAMES:] == [None] * 50
    assert len(set(given[:NAMES])) == NAMES


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"\0" * 5,
        b"\0" * 12,
        a_query("api.example.com")[:-5],
        a_query("api.example.com", flags=0x8000),
        a_query("api.example.com", questions=2),
        a_query("api.example.com").replace(b"\x03api", b"\xc0\x0cpi"),
        struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + b"\x02\xff\xff\0\0\1\0\1",
    ],
)
def test_what_is_no_query_gets_no_answer(query: bytes) -> None:
    assert answer(query, names("*"))[0] == b"" or query == b"\0" * 12

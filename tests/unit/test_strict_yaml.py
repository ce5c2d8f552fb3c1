"""YAML without its surprises."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.skill import same_json
from agent.errors import InvalidFile
from agent.strict_yaml import dump, load, locate

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "yes",
        "no",
        "on",
        "null",
        "~",
        "",
        "007",
        "1e5",
        "2024-01-01",
        "12:30",
        ".nan",
        "a: b",
        "a #b",
        "- a",
        "a\nb",
        "a\n\n b\n",
        " a\nb",
        "a\n",
        "\n",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=15)


@UNTIMED
@given(JSON)
def test_what_was_written_is_read_back_the_same(value: Any) -> None:
    read = load(dump(value), "x.yaml")

    assert same_json(read, value)
    assert json.dumps(read) == json.dumps(value), "the keys keep their order"


@UNTIMED
@given(TEXT)
def test_another_yaml_reader_takes_our_text_for_text_too(text: str) -> None:
    assert yaml.load(dump({"text": text}), yaml.CSafeLoader) == {"text": text}


@UNTIMED
@given(st.text(st.sampled_from("ab \n\t:#-|"), max_size=12))
def test_text_of_several_lines_survives_however_its_lines_begin_and_end(text: str) -> None:
    assert load(dump({"a": [text, {"b": text}], "c": text}), "x.yaml") == {"a": [text, {"b": text}], "c": text}


def test_several_lines_are_written_as_a_block_that_a_person_can_read() -> None:
    text = dump({"examples": [{"text": "a,b\n1,2\n", "none": [], "version": "1.0.0"}, [1.5, "on"]]})

    assert text == 'examples:\n  - text: |\n      a,b\n      1,2\n    none: []\n    version: 1.0.0\n  - - 1.5\n    - "on"\n'


def test_a_key_too_long_for_one_line_is_read_back() -> None:
    value = {"k" * 5000: {"a": [1]}, "b": 2}

    assert load(dump(value), "x.yaml") == value


@pytest.mark.parametrize("text", ["on", "yes", "No", "off", "y", "2024-01-01", "12:30:45", "007", "0x1F", "1_000", "+1", "1.", "1.0.0", "<<"])
def test_what_yaml_1_1_would_turn_into_something_else_is_text(text: str) -> None:
    assert load(f"a: {text}", "x.yaml") == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'1'", "1"),
        ('"null"', "null"),
    ],
)
def test_the_scalars_of_json_are_themselves(text: str, value: Any) -> None:
    read = load(f"a: {text}", "x.yaml")["a"]

    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a: 1\nb: &x 2", 2, "anchors"),
        ("a: &x [1]\nb: *x", 1, "anchors"),
        ("a: 1\nb: !!python/object:os.system {}", 2, "tags"),
        ("a: !!str 1", 1, "tags"),
        ("a: 1\n\nb: 2\na: 3", 4, "'a' is already there"),
        ("a: {x: 1,\n x: 2}", 2, "'x' is already there"),
        ("1: a", 1, "a key that is text"),
        ("a: 1\ntrue: 2", 2, "a key that is text"),
        ("? [a]\n: 1", 1, "a key that is text"),
        ("a: 1\n---\nb: 2", 2, "one document"),
        ("a: .nan", 1, "finite"),
        ("a: -.inf", 1, "finite"),
        ("a: 1e999", 1, "finite"),
        ("a: " + "9" * 5000, 1, "finite"),
        ("a: 1\nb: [", 3, "expected YAML"),
        ("a: b: c", 1, "expected YAML"),
        ("a:\n\t- 1", 2, "expected YAML"),
        ("a: 1\nb: \x00", 2, "control characters"),
        ("a: \ud800", 1, "UTF-8"),
        (b"a: 1\nb: \xff", 2, "UTF-8"),
        ("a: " + "[" * 31 + "]" * 31, 1, "levels"),
        ("[" * 200_000, 1, "levels"),
    ],
)
def test_what_the_subset_does_not_have_is_refused_with_its_line(text: str | bytes, line: int, expected: str) -> None:
    with pytest.raises(InvalidFile, match=expected) as refusal:
        load(text, "skill.yaml")

    assert refusal.value.line == line
    assert str(refusal.value).startswith(f"skill.yaml:{line}: ")


def test_a_file_over_the_bound_is_refused_unread() -> None:
    with pytest.raises(InvalidFile, match="262,145 bytes"):
        load(b"[" * (2**18 + 1), "skill.yaml")


def test_an_empty_document_is_nothing() -> None:
    assert load("# only a comment\n", "x.yaml") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, "\ud800", 10**400, {"a": object()}])
def test_what_cannot_be_read_back_is_not_written(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        dump(value)


def test_too_many_levels_are_not_written() -> None:
    value: Any = 1
    for _ in range(31):
        value = [value]

    with pytest.raises(ValueError, match="levels"):
        dump(value)


@pytest.mark.parametrize(
    ("pointer", "line"),
    [("", 1), ("/a", 1), ("/b", 2), ("/b/c", 3), ("/b/c/1", 5), ("/b/d~1e", 6), ("/b/missing/x", 2), ("/missing", 1)],
)
def test_a_pointer_finds_its_line_or_that_of_its_holder(pointer: str, line: int) -> None:
    assert locate("a: 1\nb:\n  c:\n    - 1\n    - 2\n  d/e: 3\n", pointer) == line


def test_nothing_is_located_in_what_cannot_be_read() -> None:
    assert locate("a: [", "/a") is None

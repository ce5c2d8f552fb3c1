"""skill.yaml, tests/witness.yaml and policy.yaml: bytes <-> things."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.skill import Case, Expectation, Manifest, Permissions
from agent.errors import InvalidFile
from agent.manifest_file import read_manifest, read_policy, read_witness, witness_digest, write_manifest, write_witness
from tests.builders import a_manifest

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
PATH = "skills/word-count/skill.yaml"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3)

DESIGN = b"""\
# skill.yaml
apiVersion: skillops/v1
name: csv-to-json
version: 1.0.0                      # SemVer; every proposal that touches a skill raises it
description: Convert CSV text into a list of JSON records. Use when a table arrives as text.
status: active                      # active | deprecated | retired
runtime: python                     # python | node | go | bash | container (its own Dockerfile)
entrypoint: skill.py                # python: def execute(inputs: dict, context: dict) -> dict
inputs:  {type: object, properties: {text: {type: string}}, required: [text], additionalProperties: false}
outputs: {type: object, properties: {records: {type: array}}, required: [records]}
examples:                           # each one runs against the built skill as a contract test
  - inputs: {text: "a,b\\n1,2\\n"}
    outputs: {records: [{a: "1", b: "2"}]}
permissions: {network: [], secrets: [], storage: none}       # network: ["api.example.com:443"]; storage: none | persistent
environment: {}                     # plain settings; ports: for `container` (default 8080)
dependencies: []                    # the language's own notation, pinned; a lock file with hashes lies beside it
resources: {memory: 256Mi, cpu: 0.5, timeout: 30s}
health: {interval: 30s, timeout: 10s, retries: 3}
annotations: {readOnly: true, idempotent: true, destructive: false}
aliases: [parse csv, table to records]
requires: []                        # other skills, with version ranges
"""


def test_the_manifest_of_the_design_is_read() -> None:
    manifest = read_manifest(DESIGN, PATH)

    assert (manifest.name, manifest.version, manifest.aliases) == ("csv-to-json", "1.0.0", ("parse csv", "table to records"))
    assert manifest.examples[0].outputs == {"records": [{"a": "1", "b": "2"}]}


def test_a_manifest_is_written_in_the_order_of_the_design_without_what_says_nothing() -> None:
    keys = [line.split(":")[0] for line in write_manifest(read_manifest(DESIGN, PATH)).decode().splitlines() if line[0].isalpha()]

    assert keys == ["apiVersion", "name", "version", "description", "status", "runtime", "entrypoint",
                    "inputs", "outputs", "examples", "permissions", "aliases"]  # fmt: skip


@pytest.mark.parametrize(
    "traits",
    [
        {},
        {"status": "retired", "runtime": "node", "entrypoint": "skill.js"},
        {"permissions": {"network": ["api.example.com:443"], "secrets": ["TOKEN"]}, "environment": {"LEVEL": "1", "ON": "yes"}},
        {"resources": {"cpu": 2}, "health": {"retries": 5}, "annotations": {"readOnly": False}, "ports": [8080]},
        {"dependencies": ["requests==2.32.0"], "aliases": ["no", "2024-01-01"], "requires": ["csv-to-json>=1.0"]},
        {"description": "Several lines.\n\n  - of text: with odd # things\n"},
    ],
)
def test_what_was_written_is_read_back_the_same(traits: dict[str, Any]) -> None:
    manifest = a_manifest(**traits)

    assert read_manifest(write_manifest(manifest), PATH) == manifest


@UNTIMED
@given(OBJECTS, OBJECTS)
def test_examples_keep_their_values(inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    manifest = a_manifest(inputs={"type": "object"}, outputs={"type": "object"}, examples=[{"inputs": inputs, "outputs": outputs}])

    assert read_manifest(write_manifest(manifest), PATH) == manifest


def written(**traits: Any) -> str:
    return write_manifest(Manifest.model_construct(**{**a_manifest().__dict__, **traits})).decode()


@pytest.mark.parametrize(
    ("data", "line", "expected"),
    [
        ("", None, "expected a mapping"),
        ("[]", 1, "expected a mapping"),
        ("a: [", 2, "expected YAML"),
        (written() + "surprise: 1\n", 34, "surprise: this key is not known here"),
        (written().replace("version: 1.0.0", "version: 1.0"), 3, "version: expected text, found 1.0; put it in quotes"),
        (written().replace("version: 1.0.0", "version: one"), 3, "not a version of the form 1.2.3"),
        (written().replace("runtime: python", "runtime: cobol"), 6, "'python'"),
        (written().replace("name: word-count", "name: Word Count"), 2, "pattern"),
        (written().replace("storage: none", "storage: lots"), 33, "permissions.storage"),
        (written().replace("      words: 2", "      words: two"), 25, "example 1: its outputs do not fit the schema"),
        (written().replace("examples:", "examples: 5\naliases:"), 25, "examples"),
        (written().replace("  network: []", "  network:\n    - a.example:443\n    - nowhere"), 33, "permissions.network.1"),
        (written().replace("inputs:\n  type: object", "inputs:\n  type: list"), 8, "object schema"),
    ],
)
def test_a_broken_manifest_is_refused_with_its_line(data: str, line: int | None, expected: str) -> None:
    with pytest.raises(InvalidFile) as refusal:
        read_manifest(data.encode(), PATH)

    assert expected in str(refusal.value)
    assert refusal.value.line == line, str(refusal.value)
    assert "\n" not in str(refusal.value)


CASES = (
    Case(
        name="two words", clause="words are parted by white space", inputs={"text": "a\tb\n"}, expect=Expectation(outputs={"words": 2, "none": None})
    ),
    Case(name="not text", clause="text is asked for", inputs={"text": 1}, expect=Expectation(error="*")),
    Case(name="never less than 0", clause="a count", inputs={"text": ""}, expect=Expectation(properties={"type": "object", "minProperties": 1})),
)
GAP = "sha256:" + "a" * 64


def test_witness_cases_are_read_back_with_the_gap_that_they_were_written_from() -> None:
    assert read_witness(write_witness(GAP, CASES), "tests/witness.yaml") == (GAP, CASES)


@UNTIMED
@given(OBJECTS, OBJECTS)
def test_a_case_keeps_its_values(inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    case = Case(name="n", clause="c", inputs=inputs, expect=Expectation(outputs=outputs))

    assert read_witness(write_witness(GAP, [case]), "w.yaml")[1] == (case,)


def test_a_witness_without_a_gap_is_read() -> None:
    assert read_witness(b"apiVersion: skillops/v1\nkind: Witness\ncases: []\n", "w.yaml") == (None, ())


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("kind: Witness", "kind: Other", 2), ("error: \"*\"", "error: \"*\"\n      outputs: {}", 17), ("name: not text", "title: not text", 13)],
)  # fmt: skip
def test_a_broken_witness_is_refused_with_its_line(old: str, new: str, line: int) -> None:
    data = write_witness(GAP, CASES).decode()
    assert old in data

    with pytest.raises(InvalidFile) as refusal:
        read_witness(data.replace(old, new).encode(), "w.yaml")

    assert refusal.value.line == line, str(refusal.value)


def test_a_witness_is_known_by_the_bytes_of_its_file() -> None:
    data = write_witness(GAP, CASES)

    assert witness_digest(data) == "sha256:" + hashlib.sha256(data).hexdigest()
    assert witness_digest(data) != witness_digest(data + b"\n")


def test_a_policy_is_read_with_defaults_for_what_it_leaves_out() -> None:
    policy = read_policy(b"autonomy: manual\nquorum: {low: 1, medium: 2, high: 3}\n", "reviewers/policy.yaml")

    assert (policy.autonomy, policy.quorum.medium, policy.reviewers) == ("manual", 2, ("correctness", "security", "fit"))


def test_a_policy_with_a_misspelt_key_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidFile, match=r"reviewers/policy\.yaml:2: self-approval: this key is not known here"):
        read_policy(b"autonomy: manual\nself-approval: true\n", "reviewers/policy.yaml")


def test_permissions_are_always_written_out() -> None:
    assert a_manifest().permissions == Permissions()
    assert b"permissions:\n  network: []\n  secrets: []\n  storage: none\n" in write_manifest(a_manifest())

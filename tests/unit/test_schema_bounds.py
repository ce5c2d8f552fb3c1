"""A schema that a proposal brings asks for nothing outside of itself, and makes no more work than it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.schema import LEAST, least_value, schema_error, violations

WIDE = {f"d{number}": {"allOf": [{"$ref": f"#/$defs/d{number + 1}"}] * 2} for number in range(40)}
DEEP: dict[str, Any] = {"type": "array", "minItems": 1000, "items": {}}
for _ in range(8):
    DEEP = {"type": "array", "minItems": 1000, "items": DEEP}


def an_object(**more: Any) -> dict[str, Any]:
    return {"type": "object", **more}


@pytest.mark.parametrize(
    "schema",
    [
        an_object(properties={"a": {"$ref": "#/$defs/d0"}}, **{"$defs": {**WIDE, "d40": {"type": "integer"}}}),  # 2^40 looks at one number
        an_object(properties={"a": {"allOf": [{}] * 5000}}),
        an_object(allOf=[{"$ref": "#"}]),  # itself, for the very same value
        an_object(allOf=[an_object(properties={"a": {"$ref": "#"}}), an_object(properties={"a": {"$ref": "#"}})]),  # twice as many at each level
        an_object(**{"$defs": {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(5000)}, "$ref": "#/$defs/d0"}),
    ],
)
def test_a_schema_that_would_take_for_ever_is_none(schema: dict[str, Any]) -> None:
    began = time.process_time()
    assert schema_error(schema)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "schema",
    [
        an_object(properties={"children": {"type": "array", "items": {"$ref": "#"}}, "left": {"$ref": "#"}, "right": {"$ref": "#"}}),
        an_object(properties={"a": {"$ref": "#/$defs/%78~1y"}}, **{"$defs": {"x/y": {"oneOf": [{"type": "integer"}, {"$ref": "#"}]}}}),
        an_object(**{"$schema": "https://json-schema.org/draft/2020-12/schema"}, properties={"id": {"type": "string"}, "$id": {"type": "string"}}),
    ],
)
def test_a_schema_that_refers_to_itself_with_reason_is_one(schema: dict[str, Any]) -> None:
    assert schema_error(schema) is None
    assert violations(schema, {}) == ()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The address of a server of this machine, and who came to it."""
    from tests.redteam.conftest import Listener

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    listener = Listener()
    yield listener
    listener.close()


def test_a_schema_has_nothing_fetched(asked: Any) -> None:
    place = f"http://127.0.0.1:{asked.port}/schema"
    for more in ({"$schema": place}, {"$id": place}, {"$ref": place}, {"$dynamicRef": place}, {"$defs": {"a": {"$schema": place, "$id": "x"}}}):
        assert schema_error(an_object(**more))
        assert schema_error(an_object(properties={"a": more}))
    assert schema_error(an_object(**{"$schema": "file:///etc/hostname"}))
    assert asked.heard == []


@pytest.mark.parametrize("schema", [DEEP, {"type": "string", "minLength": 10**12}, {"type": "array", "minItems": 10**12}])
def test_the_least_value_of_a_schema_is_bounded(schema: dict[str, Any]) -> None:
    began = time.process_time()
    found = least_value(an_object(required=["a"], properties={"a": {"anyOf": [schema, {"type": "integer"}]}}))
    assert len(json.dumps(found)) < 20 * LEAST and time.process_time() - began < 5

import pytest

from skill import execute


def problems(schema, document):
    answer = execute({"operation": "validate", "document": document, "schema": schema}, {})
    assert answer["valid"] == (not answer["problems"])
    return [(problem["pointer"], problem["message"]) for problem in answer["problems"]]


def code_of(schema, document):
    with pytest.raises(ValueError) as caught:
        problems(schema, document)
    return type(caught.value).code


@pytest.mark.parametrize(
    ("schema", "right", "wrong", "message"),
    [
        ({"type": "null"}, [None], [0, False], "must be of the type null"),
        ({"type": "boolean"}, [True], [0], "must be of the type boolean"),
        ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1"], "must be of the type integer"),
        ({"type": "number"}, [1, 1.5], [False, "1"], "must be of the type number"),
        ({"type": ["string", "null"]}, ["", None], [1], "must be of the type string or null"),
        ({"type": "array"}, [[]], [{}], "must be of the type array"),
        ({"type": "object"}, [{}], [[]], "must be of the type object"),
        ({"const": 1}, [1, 1.0], [True, "1"], "must be 1"),
        ({"const": {"a": [1, 2]}}, [{"a": [1.0, 2]}], [{"a": [2, 1]}, {"a": [1, 2], "b": 1}], 'must be {"a": [1, 2]}'),
        ({"enum": ["a", None]}, ["a", None], ["b", 0], 'must be one of ["a", null]'),
        ({"minimum": 2}, [2, "1"], [1.9], "must be at least 2"),
        ({"maximum": 2}, [2, "3"], [2.1], "must be at most 2"),
        ({"exclusiveMinimum": 2}, [2.1], [2], "must be more than 2"),
        ({"exclusiveMaximum": 2}, [1.9], [2], "must be less than 2"),
        ({"multipleOf": 0.1}, [0.3, 1, "x"], [0.35], "must be a multiple of 0.1"),
        ({"minLength": 2}, ["ab", 1], ["a"], "must have at least 2 characters"),
        ({"maxLength": 2}, ["ab", 100], ["abc"], "must have at most 2 characters"),
        ({"pattern": "^a+"}, ["a", "ab", 5], ["b"], 'must match "^a+"'),
        ({"minItems": 1}, [[0], ""], [[]], "must have at least 1 items"),
        ({"maxItems": 1}, [[0], "abc"], [[0, 0]], "must have at most 1 items"),
        (
            {"uniqueItems": True},
            [[1, True, "1"], "aa"],
            [[1, 1.0], [{"a": 1}, {"a": 1}]],
            "must not hold an item twice",
        ),
        ({"uniqueItems": False}, [[1, 1]], [], ""),
        ({"minProperties": 1}, [{"a": 1}, []], [{}], "must have at least 1 properties"),
        ({"maxProperties": 1}, [{"a": 1}, [1, 2]], [{"a": 1, "b": 2}], "must have at most 1 properties"),
        ({"anyOf": [{"type": "null"}, {"minimum": 5}]}, [None, 5], [4], "must fit at least one of anyOf"),
        ({"oneOf": [{"minimum": 5}, {"maximum": 9}]}, [4, 10], [7], "must fit exactly one of oneOf, and fits 2"),
        ({"not": {"type": "string"}}, [1], ["x"], "must not fit the schema of not"),
        ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [1, 3], [4], "must be at most 3"),
        (False, [], [None], "must not be there"),
        (True, [None], [], ""),
    ],
)
def test_each_keyword_says_what_is_wrong(schema, right, wrong, message):
    assert [problems(schema, value) for value in right] == [[] for _ in right]
    assert [problems(schema, value) for value in wrong] == [[("", message)] for _ in wrong]


def test_tells_each_problem_with_its_place():
    schema = {
        "type": "object",
        "title": "what describes is passed over",
        "properties": {"tags": {"items": {"type": "string"}}, "a/b": {"minimum": 0}, "not there": {"minimum": 0}},
        "required": ["name"],
        "additionalProperties": False,
    }
    document = {"tags": ["x", 1, None], "a/b": -1, "extra": 1}
    assert problems(schema, document) == [
        ("/tags/1", "must be of the type string"),
        ("/tags/2", "must be of the type string"),
        ("/a~1b", "must be at least 0"),
        ("", 'the property "name" is missing'),
        ("/extra", "must not be there"),
    ]
    assert (
        problems(
            {"properties": {"a": False}, "required": ["a"], "additionalProperties": False, "items": False}, "no object"
        )
        == []
    )


def test_additional_properties_may_have_a_schema():
    assert problems({"additionalProperties": {"type": "integer"}}, {"a": 1, "b": "x"}) == [
        ("/b", "must be of the type integer")
    ]


def test_the_first_items_may_have_schemas_of_their_own():
    schema = {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "null"}}
    assert problems(schema, ["a", 1, None]) == problems(schema, ["a"]) == []
    assert problems(schema, [1, 1, 1]) == [("/0", "must be of the type string"), ("/2", "must be of the type null")]


def test_a_reference_leads_into_the_schema():
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}},
    }
    assert problems(tree, {"n": 1, "next": {"n": 2, "next": {"n": "x"}}}) == [
        ("/next/next/n", "must be of the type integer")
    ]
    assert problems({"properties": {"a": {"$ref": "#"}}, "type": "object"}, {"a": 1}) == [
        ("/a", "must be of the type object")
    ]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "text"}, 'type cannot be "text"'),
        ({"type": 5}, "type cannot be 5"),
        ({"properties": []}, "properties cannot be []"),
        ({"properties": {"a": 5}}, "a schema is an object or a boolean, not 5"),
        ({"required": [1]}, "required cannot be [1]"),
        ({"required": "a"}, 'required cannot be "a"'),
        ({"additionalProperties": {}, "properties": 5}, "properties cannot be 5"),
        ({"items": []}, "items cannot be []"),
        ({"items": {}, "prefixItems": 5}, "prefixItems cannot be 5"),
        ({"minLength": -1}, "minLength cannot be -1"),
        ({"minLength": 1.5}, "minLength cannot be 1.5"),
        ({"minimum": "1"}, 'minimum cannot be "1"'),
        ({"multipleOf": 0}, "multipleOf cannot be 0"),
        ({"enum": 1}, "enum cannot be 1"),
        ({"uniqueItems": 1}, "uniqueItems cannot be 1"),
        ({"anyOf": {}}, "anyOf cannot be {}"),
        ({"$ref": "other.json"}, '$ref cannot be "other.json"'),
        ({"$ref": "#/$defs/x"}, "#/$defs/x leads nowhere"),
        ({"const": "x" * 200, "minLength": "y" * 200}, f'minLength cannot be "{"y" * 98}…'),
    ],
)
def test_refuses_what_is_no_schema(schema, message):
    assert code_of(schema, {"a": 1}) == "invalid-schema"
    with pytest.raises(ValueError) as caught:
        problems(schema, {"a": 1})
    assert str(caught.value) == message


def test_refuses_a_pattern_that_cannot_be_read():
    with pytest.raises(
        ValueError, match=r'^the pattern "\(" cannot be read: missing \), unterminated subpattern at position 0$'
    ):
        problems({"pattern": "("}, "x")


def test_refuses_a_keyword_that_it_does_not_know():
    assert code_of({"if": {}}, 1) == "unsupported-keyword"
    with pytest.raises(ValueError, match="^the keyword 'if' is not supported$"):
        problems({"if": {}}, 1)


def test_a_schema_without_end_is_refused(monkeypatch):
    assert code_of({"$ref": "#"}, 1) == "too-complex"
    monkeypatch.setattr("validating.STEPS", 1000)
    assert problems({"items": True}, [0] * 999) == []
    assert code_of({"items": True}, [0] * 1000) == "too-complex"
    doubling = {f"n{level}": {"allOf": [{"$ref": f"#/$defs/n{level + 1}"}] * 2} for level in range(25)}
    assert code_of({"$ref": "#/$defs/n0", "$defs": {**doubling, "n25": True}}, 1) == "too-complex"


def test_tells_at_most_a_hundred_problems():
    assert len(problems({"items": {"type": "null"}}, [1] * 150)) == 100

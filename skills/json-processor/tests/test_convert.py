import pytest

from skill import execute


def converted(document, to, **options):
    return execute({"operation": "convert", "document": document, "to": to, **options}, {})


def code_of(document, to):
    with pytest.raises(ValueError) as caught:
        converted(document, to)
    return type(caught.value).code, str(caught.value)


def test_pretty_and_compact_keep_the_order_unless_told_to_sort():
    document = {"b": [1, "ä"], "a": None}
    assert converted(document, "pretty") == {"text": '{\n  "b": [\n    1,\n    "ä"\n  ],\n  "a": null\n}'}
    assert converted(document, "compact") == {"text": '{"b":[1,"ä"],"a":null}'}
    assert converted(document, "compact", sort_keys=True) == {"text": '{"a":null,"b":[1,"ä"]}'}
    assert converted({"b": 1, "a": 2}, "pretty", sort_keys=True) == {"text": '{\n  "a": 2,\n  "b": 1\n}'}


def test_lines_hold_one_value_each():
    assert converted([{"b": 1, "a": "x\ny"}, 2], "lines") == {"text": '{"b":1,"a":"x\\ny"}\n2\n'}
    assert converted([{"b": 1, "a": 2}], "lines", sort_keys=True) == {"text": '{"a":2,"b":1}\n'}
    assert converted([], "lines") == {"text": ""}


def test_csv_has_every_key_as_a_column():
    rows = [{"a": 1, "b": 'say "x", y'}, {"c": [1, {"d": 2}], "a": None}, {"b": True}]
    assert converted(rows, "csv") == {"text": 'a,b,c\n1,"say ""x"", y",\n,,"[1,{""d"":2}]"\n,true,\n'}
    assert converted([], "csv") == converted([{}], "csv") == {"text": ""}


def test_flat_maps_pointers_to_leaves():
    document = {"a": [1, {"b/c": None}], "empty": {}, "none": []}
    assert converted(document, "flat") == {"document": {"/a/0": 1, "/a/1/b~1c": None, "/empty": {}, "/none": []}}
    assert list(converted(document, "flat")["document"]) == ["/a/0", "/a/1/b~1c", "/empty", "/none"]
    assert converted(5, "flat") == {"document": {"": 5}}


def test_refuses_what_does_not_fit_the_format():
    assert code_of({}, "lines") == ("not-convertible", "only a list can become lines")
    assert code_of({}, "csv") == ("not-convertible", "only a list can become csv")
    assert code_of([{}, 1], "csv") == ("not-convertible", "only a list of objects can become csv")
    assert code_of([], "toml") == ("not-convertible", "there is no format 'toml'")

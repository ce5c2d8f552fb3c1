import json

import pytest

from skill import execute

STORE = {
    "books": [
        {"title": "Emma", "price": 5, "isbn": "1"},
        {"title": "Ulysses", "price": 12.5},
        {"title": "It's", "price": "5"},
    ],
    "a/b~c": {"x y": 1},
    "none": None,
}


def matches(path, document=STORE):
    return execute({"operation": "query", "document": document, "path": path}, {})["matches"]


def pointers(path, document=STORE):
    return [match["pointer"] for match in matches(path, document)]


def code_of(path, document=STORE):
    with pytest.raises(ValueError) as caught:
        matches(path, document)
    return type(caught.value).code


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", STORE),
        ("/books/0/title", "Emma"),
        ("/a~1b~0c/x y", 1),
        ("/none", None),
    ],
)
def test_a_pointer_gives_the_one_value(path, value):
    assert matches(path) == [{"pointer": path, "value": value}]


@pytest.mark.parametrize(
    "path", ["/books/3", "/books/-1", "/books/00", "/books/x", "/none/x", "/unheard", "/books/0/title/0"]
)
def test_a_pointer_that_leads_nowhere_is_an_error(path):
    assert code_of(path) == "not-found"


def test_says_where_a_pointer_stopped():
    with pytest.raises(ValueError, match=r"^there is no '3' at /books$"):
        matches("/books/3")
    with pytest.raises(ValueError, match=r"^there is no 'x' at the top$"):
        matches("/x")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", [""]),
        ("$.books[0]", ["/books/0"]),
        ("$.books[-1].title", ["/books/2/title"]),
        ("$.books[5]", []),
        ("$.books[0:2]", ["/books/0", "/books/1"]),
        ("$.books[1:]", ["/books/1", "/books/2"]),
        ("$.books[::-2]", ["/books/2", "/books/0"]),
        ("$.books[::0]", []),
        ("$.books[ 2 , 0 ]", ["/books/2", "/books/0"]),
        ("$.books[0, 0]", ["/books/0"]),
        ("$['books'][*]['price', \"isbn\"]", ["/books/0/price", "/books/0/isbn", "/books/1/price", "/books/2/price"]),
        ("$['a/b~c']['x y']", ["/a~1b~0c/x y"]),
        ("$.*", ["/books", "/a~1b~0c", "/none"]),
        ("$.books.*.isbn", ["/books/0/isbn"]),
        ("$..price", ["/books/0/price", "/books/1/price", "/books/2/price"]),
        ("$..[0]", ["/books/0"]),
        ("$.none.x", []),
        ("$.books.title", []),
        ("$.none[0]", []),
    ],
)
def test_a_path_selects_in_the_order_of_the_document(path, expected):
    assert pointers(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.books[?(@.price < 12.5)]", [0]),
        ("$.books[?(@.price <= 12.5)]", [0, 1]),
        ("$.books[?(@.price > 5)]", [1]),
        ("$.books[?(@.price >= 5)]", [0, 1]),
        ("$.books[?(@.price == 5.0)]", [0]),
        ("$.books[?@.price == '5']", [2]),
        ("$.books[?(@.price != 5)]", [1, 2]),
        ("$.books[?(@.isbn)]", [0]),
        ("$.books[?(@.isbn != 1)]", [0, 1, 2]),
        ("$.books[?(@['title'] == 'It\\'s')]", [2]),
        ('$.books[?(@.title == "Emma")]', [0]),
        ("$.books[?(@.title > 'F')]", [1, 2]),
        ("$.books[?(@.price < null)]", []),
    ],
)
def test_a_filter_compares_a_member(path, expected):
    assert pointers(path) == [f"/books/{index}" for index in expected]


def test_a_filter_may_look_at_the_item_itself():
    assert pointers("$[?(@ >= 2)]", [1, 2, True, "3", 3]) == ["/1", "/4"]
    assert pointers("$[?(@ == true)]", [1, True]) == ["/1"]
    assert pointers("$[?(@ == 'say \"x\"')]", ['say "x"', "x"]) == ["/0"]


def test_everything_below_is_found_once():
    document = {"a": [{"b": 1}, {"b": {"b": 2}}]}
    assert pointers("$..*", document) == ["/a", "/a/0", "/a/1", "/a/0/b", "/a/1/b", "/a/1/b/b"]
    assert matches("$..b", document)[2] == {"pointer": "/a/1/b/b", "value": 2}
    assert pointers("$..*..b", {"a": {"a": {"b": 1}}}) == ["/a/a/b"]


@pytest.mark.parametrize(
    "path",
    [
        "books",
        "/a~2",
        "$books",
        "$.",
        "$...a",
        "$.[0]",
        "$.books[",
        "$.books[]",
        "$.books[0,]",
        "$.books[,0]",
        "$.books[x]",
        "$.missing[x]",
        "$.books[0]x",
        "$['a\\q']",
        "$.books[?(@.price < x)]",
        "$.books[?(@.price < 5]",
        "$.books[?(price < 5)]",
    ],
)
def test_a_path_that_cannot_be_read_is_an_error(path):
    assert code_of(path) == "malformed-path"


def test_says_from_where_a_path_cannot_be_read():
    with pytest.raises(ValueError, match=r"^the path cannot be read from character 8: !x$"):
        matches("$.books!x")


def test_a_step_selects_a_limited_number_of_places(monkeypatch):
    assert len(matches("$[*]", [0] * 2000)) == 2000
    monkeypatch.setattr("selecting.NODES", 1000)
    assert len(matches("$[*]", [0] * 1000)) == 1000
    assert code_of("$[*]", [0] * 1001) == "too-complex"


def test_reads_text_and_lines():
    given = {"operation": "query", "path": "$..a"}
    assert execute({**given, "text": '\ufeff{"a": [1, 2.5]}'}, {})["matches"] == [{"pointer": "/a", "value": [1, 2.5]}]
    lines = execute({**given, "text": '{"a": 1}\n\n{"a": 2}\n', "text_format": "lines"}, {})
    assert lines == {"matches": [{"pointer": "/0/a", "value": 1}, {"pointer": "/1/a", "value": 2}]}


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("", "json", "Expecting value (line 1, column 1)"),
        ('{"a":\n 1,}', "json", "Expecting property name enclosed in double quotes (line 2, column 4)"),
        ('{"a": 1, "b": 2, "a": 3}', "json", "the key 'a' is there twice"),
        ("NaN", "json", "NaN is not JSON"),
        ("1e999", "json", "the number 1e999 is beyond 1.8e308"),
        ("1\n\nx", "lines", "Expecting value (line 3, column 1)"),
        ("1\nNaN", "lines", "NaN is not JSON (line 2)"),
    ],
)
def test_says_where_the_text_is_no_json(text, form, message):
    with pytest.raises(ValueError) as caught:
        execute({"operation": "query", "path": "", "text": text, "text_format": form}, {})
    assert (type(caught.value).code, str(caught.value)) == ("malformed-json", message)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "operation is one of query, validate and convert"),
        ({"operation": "query", "path": "$"}, "give the document either as document or as text"),
        (
            {"operation": "query", "path": "$", "text": "1", "document": 1},
            "give the document either as document or as text",
        ),
        ({"operation": "query", "document": 1}, "query needs path"),
        ({"operation": "validate", "document": 1}, "validate needs schema"),
        ({"operation": "convert", "document": 1}, "convert needs to"),
    ],
)
def test_says_which_input_is_missing(inputs, message):
    with pytest.raises(ValueError) as caught:
        execute(inputs, {})
    assert (type(caught.value).code, str(caught.value)) == ("missing-input", message)


def test_text_that_nests_too_deeply_is_refused():
    with pytest.raises(ValueError) as caught:
        execute({"operation": "query", "path": "", "text": "[" * 100_000}, {})
    assert type(caught.value).code == "too-complex"
    assert json.dumps(matches("")) == json.dumps([{"pointer": "", "value": STORE}])

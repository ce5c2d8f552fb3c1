import pytest

from skill import execute
from typing_fields import typed


def table(text, **options):
    return execute({"text": text, **options}, {})


def records(text, **options):
    return table(text, **options)["records"]


def fault(text, **options):
    with pytest.raises(ValueError) as caught:
        table(text, **options)
    return type(caught.value).code, str(caught.value)


def test_each_row_is_a_record():
    expected = {"columns": ["a", "b"], "records": [{"a": "1", "b": "2"}, {"a": "3", "b": ""}], "delimiter": ","}
    assert table("a,b\n1,2\n3,\n") == expected


@pytest.mark.parametrize("text", ["a,b\r\n1,2\r\n", "a,b\r1,2", "\ufeffa,b\n\n1,2\n\n", " a , b \n1,2"])
def test_line_ends_empty_lines_and_a_byte_order_mark_make_no_difference(text):
    assert table(text) == {"columns": ["a", "b"], "records": [{"a": "1", "b": "2"}], "delimiter": ","}


def test_only_line_ends_end_a_row():
    assert records("a,b\nx\u2028y,\x0bz\x85") == [{"a": "x\u2028y", "b": "\x0bz\x85"}]


def test_quoted_fields_hold_anything():
    assert records('a,b\n"x, ""y""","two\r\nlines"\n') == [{"a": 'x, "y"', "b": "two\r\nlines"}]
    assert records("a\n" + "x" * 200_000) == [{"a": "x" * 200_000}]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2", ","),
        ("a;b\n1,5;2,5", ";"),
        ("a\tb\n1\t2,5", "\t"),
        ("a|b|c\n1,2|3|4", "|"),
        ("a;b\n1;2,5\n", ";"),
        ("a,b;c\n1,2;3\n4,5;6", ","),
        ('a;b\n"x,y";1', ";"),
        ("alone\nx", ","),
        ("", ","),
    ],
)
def test_finds_the_delimiter(text, delimiter):
    assert table(text or "x")["delimiter"] == delimiter


def test_looks_at_the_first_twenty_rows_only():
    assert table("a;b\n" + "1;2\n" * 20, header=False)["delimiter"] == ";"
    assert fault("a;b\n" + "1;2\n" * 19 + "1\n") == ("ragged-row", "line 21 has 1 fields, and there are 2 columns")
    assert table("a;b\n" + "1;2\n" * 18 + "1\n")["delimiter"] == ","


def test_takes_the_delimiter_that_is_named():
    assert records("a:b\n1:2,3", delimiter=":") == [{"a": "1", "b": "2,3"}]
    assert records("a;b\n1;2", delimiter=",") == [{"a;b": "1;2"}]


def test_without_a_header_columns_are_numbered():
    expected = {"columns": ["column_1", "column_2"], "records": [{"column_1": "a", "column_2": "b"}], "delimiter": ","}
    assert table("a,b", header=False) == expected


def test_a_header_alone_is_a_table_without_records():
    assert table("a,b\n") == {"columns": ["a", "b"], "records": [], "delimiter": ","}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("", None),
        (" ", None),
        ("null", None),
        ("NULL", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        (" 7 ", 7),
        ("9007199254740992", 9007199254740992),
        ("9007199254740993", "9007199254740993"),
        ("12345678901234567", "12345678901234567"),
        ("-9007199254740992", -9007199254740992),
        ("1" + "0" * 5000, "1" + "0" * 5000),
        ("1.50", 1.5),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("2.5E-2", 0.025),
        ("0.1234567890123456", 0.1234567890123456),
        ("0.12345678901234567", "0.12345678901234567"),
        ("1e999", "1e999"),
        ("007", "007"),
        ("+1", "+1"),
        ("1,5", "1,5"),
        (".5", ".5"),
        ("1_000", "1_000"),
        ("NaN", "NaN"),
        ("inf", "inf"),
        ("0x1F", "0x1F"),
        ("yes", "yes"),
        (" text ", " text "),
        ("٣", "٣"),
    ],
)
def test_types_only_what_is_plain(field, value):
    assert typed(field) == value
    assert type(typed(field)) is type(value)


def test_types_are_made_where_asked():
    assert records("a,b\n1,true\n,x", types=True) == [{"a": 1, "b": True}, {"a": None, "b": "x"}]
    assert records("a,b\n1,true\n,x") == [{"a": "1", "b": "true"}, {"a": "", "b": "x"}]


def test_a_short_row_is_refused_or_filled():
    assert fault("a,b\n1,2\n3\n") == ("ragged-row", "line 3 has 1 fields, and there are 2 columns")
    assert records("a,b\n1\n", ragged="fill", delimiter=",") == [{"a": "1", "b": ""}]
    assert records("a,b\n1\n", ragged="fill", types=True, delimiter=",") == [{"a": 1, "b": None}]


def test_a_long_row_is_always_refused():
    assert fault('a,b\n"1\n1",2,3\n', ragged="fill") == ("ragged-row", "line 3 has 3 fields, and there are 2 columns")


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("", {}, "empty-table", "the text holds no row"),
        ("\n\n", {}, "empty-table", "the text holds no row"),
        ('a,b\n"1,2\n', {}, "malformed-csv", "line 2: unexpected end of data"),
        ('a,b\n"1"x,2\n', {}, "malformed-csv", "line 2: ',' expected after '\"'"),
        ("a,,b\n", {}, "bad-header", "column 2 has no name"),
        ("a,b, a\n", {}, "bad-header", "two columns are called 'a'"),
        ("a\n", {"delimiter": '"'}, "bad-delimiter", "'\"' cannot part fields"),
        ("a\n", {"delimiter": "\n"}, "bad-delimiter", "'\\n' cannot part fields"),
        ("a\n", {"delimiter": "x"}, "bad-delimiter", "'x' cannot part fields"),
        ("a\n", {"delimiter": "1"}, "bad-delimiter", "'1' cannot part fields"),
    ],
)
def test_says_what_is_wrong(text, options, code, message):
    assert fault(text, **options) == (code, message)

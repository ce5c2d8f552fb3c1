import pytest

from faults import BadSelectorError
from fetching import Page
from reading import LONGEST, Document

PAGE = """<!doctype html><!-- a comment -->
<html lang="de"><head><title> Pens
 and ink </title>
<meta property="og:description" content=" All of them. ">
<link rel="canonical" href="/pens"></head>
<body><h1 id="top" class="big bold">Pens &amp; <b>ink</b></h1><script>var x = "<p>no</p>"</script><style>p {}</style>
<ul><li class="pen"><a href="one?x=1#a">One</a> <span>5</span><li class="pen"><a href="//other.example.com/two"></a></ul>
<a href="one?x=1">Again</a><a href="mailto:ada@example.com">Mail</a><a name="no">No</a><a href="two"><img src="i.png"></a><a href="two"> The
 second </a><a href="http://[bad">Bad</a>
<p>Last<br>line<!-- unseen --> of<em>fice</em></p><noscript>Turn it on</noscript></body></html>"""


def document(html=PAGE, url="https://www.example.com/shop/index.html", charset=None):
    body = html if isinstance(html, bytes) else html.encode()
    return Document(Page(url, 200, body, "text/html", charset))


def test_tells_about_the_page():
    assert document().about() == {
        "title": "Pens and ink",
        "description": "All of them.",
        "language": "de",
        "canonical": "https://www.example.com/pens",
    }
    assert document("<p>nothing").about() == {}
    both = '<meta name="description" content="plain"><meta property="og:description" content="other">'
    assert document(both).about() == {"description": "plain"}


def test_finds_the_first_text_all_texts_attributes_and_what_is_inside():
    wanted = {
        "heading": "h1",
        "names": {"css": ".pen a", "all": True},
        "link": {"css": ".pen a", "take": "href"},
        "links": {"css": ".pen a", "take": "href", "all": True},
        "classes": {"css": "h1", "take": "class"},
        "inside": {"css": "h1", "take": "html"},
        "nothing": ".none",
        "none": {"css": ".none", "all": True},
        "no_attribute": {"css": "h1", "take": "href"},
        "no_attributes": {"css": "li", "take": "title", "all": True},
    }
    assert document().fields(wanted) == {
        "heading": "Pens & ink",
        "names": ["One", ""],
        "link": "https://www.example.com/shop/one?x=1#a",
        "links": ["https://www.example.com/shop/one?x=1#a", "https://other.example.com/two"],
        "classes": "big bold",
        "inside": "Pens &amp; <b>ink</b>",
        "nothing": None,
        "none": [],
        "no_attribute": None,
        "no_attributes": [],
    }


def test_finds_records():
    records = document().records(".pen", {"name": "a", "price": "span"}, 10)
    assert records == [{"name": "One", "price": "5"}, {"name": "", "price": None}]
    assert document().records(".pen", {"price": "span"}, 1) == [{"price": "5"}]


def test_refuses_what_is_no_selector():
    with pytest.raises(BadSelectorError, match=r"^'li\[' is no CSS selector: Malformed attribute selector"):
        document().fields({"x": "li["})
    with pytest.raises(BadSelectorError):
        document().fields({"x": ""})
    with pytest.raises(BadSelectorError):
        document().records(":unheard-of", {}, 1)


def test_gives_each_link_once():
    assert document().links(10) == [
        {"text": "One", "url": "https://www.example.com/shop/one?x=1"},
        {"text": "", "url": "https://other.example.com/two"},
        {"text": "The second", "url": "https://www.example.com/shop/two"},
        {"text": "Bad", "url": "http://[bad"},
    ]
    assert [link["text"] for link in document().links(1)] == ["One"]


def test_addresses_are_relative_to_the_base_of_the_page():
    html = '<base href="/other/"><a href="x">x</a><img src="y"><a href="http://[bad" class="b">'
    assert document(html).links(1) == [{"text": "x", "url": "https://www.example.com/other/x"}]
    assert document(html).fields({"y": {"css": "img", "take": "src"}, "b": {"css": ".b", "take": "href"}}) == {
        "y": "https://www.example.com/other/y",
        "b": "http://[bad",
    }


def test_gives_the_text_a_block_a_line():
    text = "Pens & ink\nOne 5\nAgainMailNo The second Bad\nLast\nline office"
    assert document().text(1000) == (text, False)
    assert document().text(4) == ("Pens", True)
    assert document().text(len(text)) == (text, False)
    assert document().text(len(text) - 1) == (text[:-1], True)
    assert document("just <i>this</i>").text(100) == ("just this", False)


def test_reads_the_charset_that_is_told():
    assert document("<p>ä".encode("latin-1"), charset="iso-8859-1").text(9) == ("ä", False)
    assert document('<meta charset="windows-1252"><p>€'.encode("cp1252")).text(9) == ("€", False)
    assert document("<p>ä".encode()).text(9) == ("ä", False)


def test_values_have_an_end():
    html = f'<p title="{"y" * (LONGEST + 5)}">{"x" * (LONGEST + 5)}</p><meta name="description" content="{"z" * (LONGEST + 5)}">'
    found = document(html).fields(
        {"text": "p", "html": {"css": "p", "take": "html"}, "title": {"css": "p", "take": "title"}}
    )
    assert {name: len(value) for name, value in found.items()} == {"text": LONGEST, "html": LONGEST, "title": LONGEST}
    assert len(document(html).about()["description"]) == LONGEST


# ---- tables


def rows(html):
    return document(f"<table>{html}</table>").tables()[0]["rows"]


def test_a_table_has_a_caption_a_header_and_rows():
    html = """<table><caption>Prices</caption><thead><tr><th>Pen<th>Price</thead><tbody><tr><th>Dip<td>5 €<tr><td>Gel<td></tbody></table>
    <table><tr><td>1</td></tr></table>"""
    assert document(html).tables() == [
        {"caption": "Prices", "header": ["Pen", "Price"], "rows": [["Dip", "5 €"], ["Gel", ""]]},
        {"caption": "", "header": [], "rows": [["1"]]},
    ]


def test_cells_that_span_several_are_repeated():
    assert rows('<tr><td colspan="2">a<td>b<tr><td>c<td>d<td>e') == [["a", "a", "b"], ["c", "d", "e"]]
    assert rows('<tr><td rowspan="2">a<td>b<tr><td>c<tr><td>d<td>e') == [["a", "b"], ["a", "c"], ["d", "e"]]
    assert rows('<tr><td>a<td rowspan="3">b<tr><td>c<tr><td>d') == [["a", "b"], ["c", "b"], ["d", "b"]]
    assert rows('<tr><td colspan="2" rowspan="2">a<tr><td>b') == [["a", "a"], ["a", "a", "b"]]
    assert rows('<tr><td colspan="x" rowspan="-1">a<td colspan="0">b') == [["a", "b"]]


def test_of_tables_in_tables_the_inner_ones_are_told():
    html = "<table><tr><td>out<table><tr><td>in</td></tr></table></td></tr></table>"
    assert [table["rows"] for table in document(html).tables()] == [[["in"]]]


def test_a_table_that_would_grow_without_end_does_not():
    html = '<tr><td colspan="1000">a' * 100
    assert sum(map(len, rows(html))) == 50_000
    tables = document(f"<table>{html}</table><table><tr><td>b</td></tr></table>").tables()
    assert tables[1]["rows"] == []


def test_a_table_without_rows():
    assert document("<table></table>").tables() == [{"caption": "", "header": [], "rows": []}]
    assert document("<table><tr></tr><tr><td>a</table>").tables()[0]["rows"] == [["a"]]

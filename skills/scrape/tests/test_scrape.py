import tempfile

import pytest

from skill import address, execute, manners
from tests.sites import moved, page, site

HTML = '<html lang="en"><title>T</title><body><p class="a">x</p><p class="a">y</p><a href="/b">B</a><table><tr><td>1</table>'


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("SECONDS_BETWEEN_PAGES", "0")


def test_gives_what_is_asked_for_and_nothing_else():
    with site({"/": page(HTML)}) as (url, asked):
        about = {"url": f"{url}/", "status": 200, "title": "T", "language": "en"}
        assert execute({"url": f"{url}/#x"}, {}) == about
        assert execute({"url": f"{url}/", "fields": {"p": ".a"}}, {}) == {**about, "fields": {"p": "x"}}
        assert execute({"url": f"{url}/", "each": ".a", "records": {"it": {"css": ""}}}, {})["records"] == [
            {"it": "x"},
            {"it": "y"},
        ]
        assert execute({"url": f"{url}/", "links": True}, {})["links"] == [{"text": "B", "url": f"{url}/b"}]
        assert execute({"url": f"{url}/", "tables": True}, {})["tables"] == [
            {"caption": "", "header": [], "rows": [["1"]]}
        ]
        text = execute({"url": f"{url}/", "text": True}, {})
        assert (text["text"], text["truncated"]) == ("x\ny\nB\n1", False)
        short = execute(
            {"url": f"{url}/", "text": True, "max_chars": 1, "each": "p", "records": {"p": "b"}, "limit": 1}, {}
        )
        assert (short["text"], short["truncated"], short["records"]) == ("x", True, [{"p": None}])
    assert [path for path, _ in asked].count("/robots.txt") == 1
    assert {headers["User-Agent"] for _, headers in asked} == {"SkillOps-scrape/1.0"}


def test_asks_for_languages():
    with site({"/": page(HTML)}) as (url, asked):
        execute({"url": f"{url}/", "languages": "fi"}, {})
    assert {headers["Accept-Language"] for _, headers in asked} == {"fi"}


def test_follows_redirects_and_asks_each_host():
    robots = (200, {}, b"User-agent: *\nDisallow: /private\n")
    with site({"/": page(HTML), "/robots.txt": robots}) as (far, asked):
        with site({"/a": moved("/b"), "/b": moved(f"{far}/", 308), "/c": moved(f"{far}/private")}) as (url, _):
            assert execute({"url": f"{url}/a"}, {})["url"] == f"{far}/"
            assert code_of({"url": f"{url}/c"}) == "disallowed"
    assert [path for path, _ in asked] == ["/robots.txt", "/"]


def test_follows_only_so_many_redirects():
    pages = {f"/{number}": moved(f"/{number + 1}") for number in range(6)} | {"/6": page(HTML)}
    with site(pages) as (url, _):
        assert execute({"url": f"{url}/1"}, {})["status"] == 200
        with pytest.raises(ValueError, match=f"^it leads on after 5 redirects, to {url}/6$"):
            execute({"url": f"{url}/0"}, {})
    assert code_of({"url": "http://127.0.0.1:9/"}) == "disallowed"


def test_says_what_is_no_page():
    pages = {
        "/a": (404, {}, b""),
        "/b": (200, {"Content-Type": "image/png"}, b"x"),
        "/c": (399, {}, b"x"),
        "/d": (200, {"Content-Type": "text/plain"}, b"x"),
    }
    with site(pages) as (url, _):
        with pytest.raises(ValueError, match="/a answers with status 404$"):
            execute({"url": f"{url}/a"}, {})
        with pytest.raises(ValueError, match="/b is image/png, and no web page$"):
            execute({"url": f"{url}/b"}, {})
        assert execute({"url": f"{url}/c"}, {})["status"] == 399
        assert execute({"url": f"{url}/d"}, {})["status"] == 200


def code_of(inputs):
    with pytest.raises(ValueError) as caught:
        execute(inputs, {})
    return type(caught.value).code


def test_addresses_become_what_is_sent():
    assert address(" https://WWW.example.com/ä b?q=ö&c=%20#d ") == "https://WWW.example.com/%C3%A4%20b?q=%C3%B6&c=%20"
    assert address("http://müller.example:8080/") == "http://xn--mller-kva.example:8080/"
    assert address("https://example.com/~a/(b)!*'[c];d=e,$@%41") == "https://example.com/~a/(b)!*'[c];d=e,$@%41"


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        "example.com",
        "ftp://example.com/",
        "https://",
        "https://ada@example.com",
        "http://[x",
        "http://a:99999/",
        "http://a:0/",
        "http://a..b/",
    ],
)
def test_refuses_what_is_no_address(url):
    assert code_of({"url": url}) == "bad-url"


def test_takes_its_manners_from_the_settings(monkeypatch):
    monkeypatch.setenv("USER_AGENTS", " one/1 | two/2 || ")
    monkeypatch.setenv("PROXY", " http://proxy.example.com:8080 ")
    monkeypatch.setenv("SECONDS_BETWEEN_PAGES", "2.5")
    seen = {manners("de").client.agent for _ in range(64)}
    assert seen == {"one/1", "two/2"}
    made = manners("de")
    assert (made.client.proxy, made.client.languages, made.pause) == ("http://proxy.example.com:8080", "de", 2.5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"fields": ["h1"]}, "fields names at most 50 selectors"),
        ({"fields": {str(number): "p" for number in range(51)}}, "fields names at most 50 selectors"),
        ({"fields": {"a": 1}}, "fields names at most 50 selectors"),
        ({"records": {"a": "p"}}, "each says where a record is, and records what it holds: give both or none"),
        ({"each": "p"}, "each says where a record is, and records what it holds: give both or none"),
        ({"limit": 0}, "limit is a whole number from 1 to 1000"),
        ({"limit": 1001}, "limit is a whole number from 1 to 1000"),
        ({"limit": True}, "limit is a whole number from 1 to 1000"),
        ({"limit": 1.5}, "limit is a whole number from 1 to 1000"),
        ({"text": True, "max_chars": 200_001}, "max_chars is a whole number from 1 to 200000"),
    ],
)
def test_refuses_wrong_inputs(inputs, message):
    with site({"/": page(HTML)}) as (url, _), pytest.raises(ValueError) as caught:
        execute({"url": f"{url}/", **inputs}, {})
    assert str(caught.value) == message


def test_takes_the_most_of_everything():
    with site({"/": page(HTML)}) as (url, _):
        fields = {str(number): "title" for number in range(50)}
        outputs = execute({"url": f"{url}/", "fields": fields, "limit": 1000, "max_chars": 200_000, "text": True}, {})
    assert outputs["fields"]["49"] == "T"

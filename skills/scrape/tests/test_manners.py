import tempfile
import time

import pytest

import manners
from faults import DisallowedError, RateLimitedError, TooLargeError, UnreachableError
from fetching import Client, Page
from manners import Manners, absolute, known, site_of

SITE = "https://www.example.com"


class Visitor:
    """A client that answers from `pages`, and a clock that goes on only by sleeping."""

    def __init__(self, agent="SkillOps-scrape/1.0 (bot)"):
        self.agent, self.pages, self.asked, self.now = agent, {}, [], 1000.0

    def fetch(self, url):
        self.asked.append(url)
        page = self.pages.get(url, (404, b"", None))
        if isinstance(page, Exception):
            raise page
        status, body, location = page
        return Page(url, status, body, "text/plain", None, location)

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    made = Visitor()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(manners.time, "time", made.time)
    monkeypatch.setattr(manners.time, "sleep", made.sleep)
    return made


def polite(visitor, pause=1.0):
    return Manners(visitor, pause)


def robots(text, status=200, location=None):
    return {f"{SITE}/robots.txt": (status, text.encode(), location)}


def test_fetches_what_is_allowed_and_nothing_else(visitor):
    visitor.pages = robots("User-agent: *\nDisallow: /cart\nAllow: /cart/open\nDisallow: /*.pdf$\n")
    for path in ("/", "/cart/open", "/a.pdf?x"):
        polite(visitor).knock(SITE + path)
    for path in ("/cart", "/cart/x", "/a.pdf"):
        with pytest.raises(
            DisallowedError, match=f"^{SITE}/robots.txt does not allow SkillOps-scrape to fetch {SITE}{path}"
        ):
            polite(visitor).knock(SITE + path)
    assert visitor.asked == [f"{SITE}/robots.txt"]


def test_is_known_by_its_name(visitor):
    visitor.pages = robots("User-agent: skillops-scrape\nDisallow: /mine\n\nUser-agent: *\nDisallow: /theirs\n")
    polite(visitor).knock(f"{SITE}/theirs")
    with pytest.raises(DisallowedError):
        polite(visitor).knock(f"{SITE}/mine")
    assert Manners(Client("Mozilla (x) y"), 1.0).token == "Mozilla"
    assert Manners(Client("Bot/2"), 1.0).token == "Bot"


def test_asks_again_after_an_hour(visitor):
    visitor.pages = robots("User-agent: *\nDisallow: /a\n")
    polite(visitor).knock(f"{SITE}/b")
    visitor.pages = robots("")
    visitor.now += 3590
    with pytest.raises(DisallowedError):
        polite(visitor).knock(f"{SITE}/a")
    visitor.now += 20
    polite(visitor).knock(f"{SITE}/a")
    assert len(visitor.asked) == 2


@pytest.mark.parametrize("reply", [(404, b"Disallow", None), (403, b"", None), TooLargeError("x")])
def test_no_robots_txt_forbids_nothing(visitor, reply):
    visitor.pages = {f"{SITE}/robots.txt": reply}
    polite(visitor).knock(f"{SITE}/a")


@pytest.mark.parametrize("reply", [(500, b"", None), (503, b"", None), UnreachableError("x")])
def test_a_robots_txt_that_cannot_be_had_forbids_everything(visitor, reply):
    visitor.pages = {f"{SITE}/robots.txt": reply}
    with pytest.raises(DisallowedError, match=f"^{SITE}/robots.txt could not be had"):
        polite(visitor).knock(f"{SITE}/a")


def test_follows_where_robots_txt_leads(visitor):
    visitor.pages = robots("", 301, "https://example.com/robots.txt")
    visitor.pages["https://example.com/robots.txt"] = (200, b"User-agent: *\nDisallow: /\n", None)
    with pytest.raises(DisallowedError):
        polite(visitor).knock(f"{SITE}/a")
    visitor.pages = {"https://round.example.com/robots.txt": (302, b"", "/robots.txt")}
    polite(visitor).knock("https://round.example.com/")
    assert len(visitor.asked) == 2 + 5


def test_leaves_a_pause_between_two_pages_of_a_host(visitor):
    for _ in range(3):
        polite(visitor, 2.0).knock(f"{SITE}/a")
    assert visitor.now == 1004.0
    polite(visitor, 2.0).knock("https://other.example.com/")
    assert visitor.now == 1004.0
    visitor.now += 10
    polite(visitor, 2.0).knock(f"{SITE}/a")
    assert visitor.now == 1014.0


def test_leaves_the_pause_that_robots_txt_asks_for(visitor):
    visitor.pages = robots("User-agent: *\nCrawl-delay: 5\n")
    for _ in range(2):
        polite(visitor).knock(f"{SITE}/a")
    assert visitor.now == 1005.0
    visitor.pages = {"https://slow.example.com/robots.txt": (200, b"User-agent: *\nCrawl-delay: 900\n", None)}
    polite(visitor).knock("https://slow.example.com/")
    with pytest.raises(
        RateLimitedError, match=r"^https://slow\.example\.com has been visited too often: try again in 30 seconds$"
    ):
        polite(visitor).knock("https://slow.example.com/")
    visitor.now += 10
    polite(visitor).knock("https://slow.example.com/")
    assert visitor.now == 1035.0


def test_calls_share_what_they_know(visitor):
    with known("a") as told:
        assert told == {}
        told["x"] = 1
    with pytest.raises(ZeroDivisionError), known("a") as told:
        told["x"] += 1
        told["x"] /= 0
    with known("a") as told:
        assert told == {"x": 2}
    with known("b") as told:
        assert told == {}


def test_names_a_site_and_where_a_page_leads():
    assert site_of("https://ada@WWW.example.com:8443/a?b") == "https://www.example.com:8443"
    assert absolute("https://a.example/b/c", "../d?e#f") == "https://a.example/d?e"


def test_time_really_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client, start = Visitor(), time.monotonic()
    for _ in range(2):
        Manners(client, 0.2).knock(f"{SITE}/a")
    assert time.monotonic() - start >= 0.19

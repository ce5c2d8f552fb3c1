"""The bundled skills that need the outside world: deployed on the process runtime and called by the command, against local servers that
speak the real protocols (HTTP, TLS, IMAP)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agent import wiring
from agent.manifest_file import read_manifest, write_manifest
from agent.starter import found, shelf
from tests.command import Done, skillops
from tests.outside import API, SEARCH, SHOP, WEATHER, Outside, outside

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
REACHING = ("email-fetch", "http-request", "scrape", "weather", "web-search")
INSIDE = "/skill/code/authority.pem"
TRUST = dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE"), INSIDE)
JSON, HTML = {"Content-Type": "application/json"}, {"Content-Type": "text/html; charset=utf-8"}


@dataclass
class Shelf:
    """A repository with the skills, and the world that they reach."""

    root: Path
    world: Outside

    def invoke(self, name: str, **inputs: Any) -> Done:
        return skillops("invoke", name, "--input", json.dumps(inputs), "--repository", self.root, "--json")

    def outputs(self, name: str, **inputs: Any) -> dict[str, Any]:
        done = self.invoke(name, **inputs)
        assert done.code == 0, done.said
        outputs: dict[str, Any] = done.document["outputs"]
        return outputs

    def refusal(self, name: str, **inputs: Any) -> str:
        done = self.invoke(name, **inputs)
        assert done.code != 0, done.said
        return done.said


def trusting(files: Mapping[str, bytes], authority: bytes) -> dict[str, bytes]:
    """The files of the skills that reach out, made to trust an authority as those of a company with one of its own would be."""
    made = {}
    for name in REACHING:
        own = {path: data for path, data in files.items() if path.startswith(f"skills/{name}/")}
        manifest = read_manifest(own[f"skills/{name}/skill.yaml"], "skill.yaml")
        changed = manifest.model_copy(update={"environment": {**manifest.environment, **TRUST}})
        made |= {**own, f"skills/{name}/skill.yaml": write_manifest(changed), f"skills/{name}/authority.pem": authority}
    return made


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("shelf")
    with outside(folder) as world, pytest.MonkeyPatch.context() as patch:
        files = trusting(shelf.shelf_files(), world.authority)
        patch.setattr(shelf, "shelf_files", lambda: files)
        checkout = found(folder / "skills", shelf=True)
        places = "".join(f'"{place}" = "{address}"\n' for place, address in world.resolve.items())
        (checkout.root / "skillops.toml").write_text(f"[egress_resolve]\n{places}")
        assert shelf.stock(checkout) == {}
        for name, value in {"WEATHER_API_KEY": "k3y-of-ada", "EMAIL_USER": world.account.user, "EMAIL_PASSWORD": world.account.password}.items():
            assert skillops("secret", "set", name, "--for-all", "--repository", checkout.root, stdin=value).code == 0
        try:
            yield Shelf(checkout.root, world)
        finally:
            wiring.open_workplace(checkout.root).parts.runtime.shutdown()  # type: ignore[attr-defined]


@pytest.fixture
def here(stocked: Shelf) -> Shelf:
    """With nothing asked and nothing served yet."""
    stocked.world.asked.clear()
    stocked.world.pages.clear()
    return stocked


# ---- http-request


@pytest.mark.node_tools
def test_http_request_calls_an_api_over_tls(here: Shelf) -> None:
    here.world.serve(API, "/items", lambda asked: (201, JSON, b'{"got": ' + asked.body + b"}"))
    made = here.outputs("http-request", url=f"https://{API}/items?a=1", method="POST", json={"name": "pen"}, headers={"Authorization": "Bearer t"})
    assert (made["status"], made["json"], made["headers"]["content-type"]) == (201, {"got": {"name": "pen"}}, "application/json")
    (asked,) = here.world.of(API)
    assert (asked.method, asked.path, asked.headers["authorization"], asked.headers["content-type"]) == (
        "POST",
        "/items?a=1",
        "Bearer t",
        JSON["Content-Type"],
    )


@pytest.mark.node_tools
def test_http_request_follows_from_http_to_tls(here: Shelf) -> None:
    here.world.serve("www.example.com", "/old", (301, {"Location": f"https://{API}/new"}, b""))
    here.world.serve(API, "/new", (200, {"Content-Type": "image/png"}, b"\x89PNG"))
    made = here.outputs("http-request", url="http://www.example.com/old")
    assert (made["url"], made["redirects"], made["base64"]) == (f"https://{API}/new", ["http://www.example.com/old"], "iVBORw==")


@pytest.mark.node_tools
def test_http_request_reaches_no_private_place_and_no_other_port(here: Shelf) -> None:
    port = here.world.resolve["www.example.com:80"].rpartition(":")[2]
    for url in (f"http://127.0.0.1:{port}/", "http://localhost/", "http://169.254.169.254/latest", f"http://www.example.com:{port}/"):
        refusal = here.refusal("http-request", url=url, retries=0, timeout=10)
        assert "unreachable" in refusal or "unknown-host" in refusal, refusal


@pytest.mark.node_tools
def test_http_request_trusts_no_certificate_of_another_name(here: Shelf) -> None:
    assert "bad-certificate" in here.refusal("http-request", url="https://unnamed.example.com/", retries=0)


# ---- scrape


def test_scrape_reads_a_page_and_honours_robots_txt(here: Shelf) -> None:
    here.world.serve(SHOP, "/robots.txt", (200, {"Content-Type": "text/plain"}, b"User-agent: *\nDisallow: /cart\n"))
    here.world.serve(SHOP, "/pens", (200, HTML, b"<title>Pens</title><ul><li class=pen>Dip<li class=pen>Gel</ul><a href=/next>Next</a>"))
    made = here.outputs("scrape", url=f"https://{SHOP}/pens", fields={"pens": {"css": ".pen", "all": True}}, links=True)
    assert (made["title"], made["fields"], made["links"]) == ("Pens", {"pens": ["Dip", "Gel"]}, [{"text": "Next", "url": f"https://{SHOP}/next"}])
    assert "disallowed" in here.refusal("scrape", url=f"https://{SHOP}/cart")
    assert [asked.path for asked in here.world.of(SHOP)] == ["/robots.txt", "/pens"]
    assert here.world.of(SHOP)[1].headers["User-Agent"] == "SkillOps-scrape/1.0"


# ---- web-search


@pytest.mark.node_tools
def test_web_search_finds_pages(here: Shelf) -> None:
    link = '<div class="result"><a class="result__a" href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fexample.org%2Fpens">Pens</a></div>'
    here.world.serve(SEARCH, "/html/", (200, HTML, f"<html><body>{link}</body></html>".encode()))
    made = here.outputs("web-search", query="fountain pens", within="week")
    assert made["results"] == [{"title": "Pens", "url": "https://example.org/pens", "snippet": ""}]
    assert here.world.of(SEARCH)[0].path == "/html/?q=fountain+pens&kp=1&df=w"


# ---- weather


@pytest.mark.bash_tools
def test_weather_asks_with_the_key_of_the_vault(here: Shelf) -> None:
    for path, file in (("weather", "now"), ("forecast", "later")):
        here.world.serve(WEATHER, f"/data/2.5/{path}", (200, JSON, (ROOT / f"skills/weather/tests/{file}.json").read_bytes()))
    made = here.outputs("weather", place="Vienna, AT", days=1)
    assert (made["place"]["name"], made["current"]["temperature"], made["forecast"][0]["date"]) == ("Vienna", 14.3, "2025-04-03")
    assert [asked.path.partition("?")[0] for asked in here.world.of(WEATHER)] == ["/data/2.5/weather", "/data/2.5/forecast"]
    assert all(
        {"appid": ["k3y-of-ada"], "q": ["Vienna, AT"]}.items() <= parse_qs(urlsplit(asked.path).query).items() for asked in here.world.of(WEATHER)
    )


@pytest.mark.bash_tools
def test_weather_says_what_the_service_refuses(here: Shelf) -> None:
    for status, code in ((401, "refused-key"), (404, "place-not-found")):
        here.world.serve(WEATHER, "/data/2.5/weather", (status, JSON, b'{"message": "no"}'))
        assert code in here.refusal("weather", place="Nowhere", days=0)


# ---- email-fetch


def test_email_fetch_finds_reads_and_changes_nothing(here: Shelf) -> None:
    assert here.outputs("email-fetch", operation="folders") == {"folders": ["Archive", "INBOX"]}
    found = here.outputs("email-fetch", operation="search", **{"from": "ada", "unseen": True, "since": "2025-04-02", "subject": "Käse"})
    assert [(one["uid"], one["subject"], one["seen"]) for one in found["messages"]] == [(5, "Käse am Freitag", False)]
    assert [one["uid"] for one in here.outputs("email-fetch", operation="search")["messages"]] == [6, 5, 3]
    (read,) = here.outputs("email-fetch", operation="read", uids=[5])["messages"]
    assert (read["text"], read["from"], read["seen"]) == ("Um zwölf?", [{"name": "Ada", "address": "ada@example.com"}], False)
    assert [mail.flags for mail in here.world.account.folders["INBOX"]] == [{"\\Seen"}, set(), {"\\Flagged"}]
    assert not [command for command in here.world.account.commands if command.startswith(("SELECT", "UID STORE"))]


def test_email_fetch_says_what_the_server_refuses(here: Shelf) -> None:
    assert "no-such-folder" in here.refusal("email-fetch", operation="search", folder="Nowhere")
    assert "no-such-message" in here.refusal("email-fetch", operation="read", uids=[99])
    here.world.account.password, password = "another", here.world.account.password
    try:
        assert "refused-login" in here.refusal("email-fetch", operation="folders")
    finally:
        here.world.account.password = password

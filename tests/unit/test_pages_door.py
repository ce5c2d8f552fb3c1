"""The way into the pages: signing in, sessions, roles, forms that only our pages can send, and what each answer carries."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.request import RequestDraft
from agent.gateway.pages.sessions import LASTS, TRUST, Sessions
from agent.gateway.pages.visitors import inside, wants_page
from agent.keys import Keys
from agent.stages.proposing import propose_retire
from tests.browsing import SENT, Browser, text_of, token_of
from tests.gateways import House, a_house

PAGES = ("/attention", "/ask", "/requests", "/requests/2", "/proposals", "/proposals/1", "/skills", "/skills?q=words", "/skills/word-count",
         "/registry", "/ledger", "/settings", "/vault", "/skills/word-count/logs", "/sign-in")  # fmt: skip
TWINS = [path for path in PAGES if path not in ("/requests/2", "/sign-in", "/skills/word-count/logs")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        propose_retire("word-count", "bob", house.place.parts.forge, "nobody needs it")
        yield house


pytestmark = pytest.mark.anyio


async def test_whoever_has_not_signed_in_is_led_there_and_back(house: House) -> None:
    browser = Browser(house)
    start, led = await browser.open("/"), await browser.open("/proposals?state=all")
    assert (start.status_code, start.headers["location"]) == (303, "/sign-in?to=%2F")
    assert (led.status_code, led.headers["location"]) == (303, "/sign-in?to=%2Fproposals%3Fstate%3Dall")
    page = await browser.page(led.headers["location"])
    assert 'name="to" value="/proposals?state=all"' in page
    key = house.gateway.keys.create("eve", ["request"])[1]
    back = await browser.sign_in(key, "/proposals?state=all")
    assert (back.status_code, back.headers["location"]) == (303, "/proposals?state=all")
    assert "Retire word-count" in await browser.page("/proposals?state=all")


async def test_the_cookie_is_the_sessions_and_is_kept_from_scripts_and_other_sites(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key = house.gateway.keys.create("eve", ["request"])[1]
    cookie = (await Browser(house).sign_in(key)).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie and f"Max-Age={int(LASTS)}" in cookie
    assert "Secure" not in cookie and key not in cookie
    monkeypatch.setattr("agent.gateway.pages.sign_in.over_tls", lambda request, proxies: True)
    assert "Secure" in (await Browser(house).sign_in(key)).headers["set-cookie"]


@pytest.mark.parametrize("key", ["", "wrong", "skillops_", "é", "a" * 20_000])
async def test_a_wrong_key_signs_nobody_in(house: House, key: str) -> None:
    browser = Browser(house)
    answer = await browser.sign_in(key)
    assert answer.status_code in (403, 413) and "set-cookie" not in answer.headers
    assert answer.status_code == 413 or 'role="alert"' in answer.text


async def test_nobody_is_signed_in_from_another_site(house: House) -> None:
    key = house.gateway.keys.create("eve", ["request"])[1]
    answers = [
        await Browser(house).sign_in(key, **odd) for odd in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"})
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert not any("set-cookie" in answer.headers for answer in answers)


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "", "/a\nb", "/sign-out", "x" * 9000],
)
def test_nobody_is_sent_to_another_site(address: str) -> None:
    assert inside(address) == "/"


def test_an_address_of_ours_is_come_back_to() -> None:
    assert inside("/ledger?q=word-count&page=2") == "/ledger?q=word-count&page=2"


def test_sessions_end_by_time_by_signing_out_and_with_their_key(tmp_path: Path) -> None:
    clock = Clock()
    keys = Keys(tmp_path / "keys.sqlite")
    sessions = Sessions(tmp_path / "sessions.sqlite", keys, clock)
    key, secret = keys.create("eve", ["request"])

    mine, left, revoked = (sessions.sign_in(secret) or "" for _ in range(3))
    assert sessions.find(mine).key.name == "eve" and sessions.find("other") is None  # type: ignore[union-attr]
    sessions.sign_out(left)
    assert sessions.find(left) is None and sessions.find(mine)
    again = Sessions(tmp_path / "sessions.sqlite", keys, clock)
    assert again.find(mine)  # by another process, as after a restart
    assert mine.encode() not in (tmp_path / "sessions.sqlite").read_bytes()

    keys.revoke(key.id)
    clock.now += TRUST
    assert sessions.find(revoked) is None
    clock.now += LASTS
    assert again.find(mine) is None


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_an_expired_session_leads_to_signing_in_with_the_way_back(house: House) -> None:
    browser = await Browser(house).signed_in()
    sessions = house.app._pages.site.sessions  # type: ignore[union-attr]
    sessions._clock = lambda: 4e9
    led, part = (
        await browser.open("/ledger?q=x"),
        await browser.open("/skills?part=live", **{"hx-request": "true", "hx-current-url": "http://gateway/skills?q=a"}),
    )
    assert led.headers["location"] == "/sign-in?to=%2Fledger%3Fq%3Dx&said=expired"
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/sign-in?to=%2Fskills%3Fq%3Da&said=expired")
    assert "Your session is over" in text_of((await browser.open(led.headers["location"])).text)


async def test_signing_out_ends_the_session_for_good(house: House) -> None:
    browser = await Browser(house).signed_in()
    cookies = dict(browser.client.cookies)
    assert (await browser.send("/sign-out", csrf="wrong")).status_code == 403
    assert (await browser.send("/sign-out")).headers["location"] == "/sign-in?said=out"
    browser.client.cookies.update(cookies)
    assert (await browser.open("/attention")).status_code == 303


async def test_every_page_runs_nothing_of_anybody_elses(house: House) -> None:
    browser = await Browser(house).signed_in()
    house.place.parts.forge.open_request(RequestDraft(key="k", title="Count letters", text="How many letters?", requester="ada", source="cli"))
    for path in PAGES:
        if path == "/sign-in":
            browser.client.cookies.clear()
        page = await browser.open(path)
        assert page.status_code == 200, (path, page.text)
        assert page.headers.get_list("content-security-policy") == [
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        ]
        assert page.headers["cache-control"] == "no-store" and page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin" and page.headers["x-request-id"]
        assert not re.search(r"<[^>]*\s(style|on\w+|hx-on[^=]*)=|<style|javascript:", page.text), path
        assert page.text.count("<script") == page.text.count("<script src=")
        assert 'lang="en"' in page.text and page.text.count("<h1") == 1 and "csrf-" not in page.text


async def test_every_page_has_a_json_twin_for_a_session_and_for_a_key(house: House) -> None:
    browser = await Browser(house).signed_in()
    for path in TWINS:
        twin = await browser.open(path, accept="application/json")
        mine = await house.client.get(path, headers={"accept": "application/json"})
        assert (twin.status_code, mine.status_code) == (200, 200), (path, twin.text)
        assert twin.headers["content-type"].startswith("application/json")
        assert type(twin.json()) is type(mine.json())


async def test_the_twin_of_a_page_has_the_facts_that_the_page_shows_under_names_that_stay(house: House) -> None:
    browser, forge = await Browser(house).signed_in(), house.place.parts.forge
    number = forge.open_request(RequestDraft(key="k", title="Count letters", text="How many?", requester="eve", source="cli")).number

    async def twin(path: str) -> Any:
        return (await browser.open(path, accept="application/json")).json()

    proposal, request, skill = await twin("/proposals/1"), await twin(f"/requests/{number}"), await twin("/skills/word-count")
    page = text_of(await browser.page("/proposals/1"))
    assert (proposal["state"], proposal["held"], proposal["decision"]) == ("proposed", False, None)
    assert all(row["what"] in page and row["now"] in page for row in proposal["wants"]["rows"]) and proposal["wants"]["rows"]
    assert [file["path"] for file in proposal["diff"]["files"]] == ["skills/word-count/skill.yaml"] and proposal["timeline"]["bars"] == []
    assert request["progress"]["milestones"][request["progress"]["at"]] == "assessed" and (request["gap"], request["proposals"]) == (None, [])
    assert (skill["fares"]["sync"], skill["fares"]["health"], skill["calls"], skill["called_by"], skill["latency"]) == (
        "not running", "resting", [], [], [],
    )  # fmt: skip
    assert [each["number"] for each in skill["proposals"]] == [1]
    found, none = await twin("/skills?q=count the words"), await twin("/skills?status=retired&q=count")
    assert [each["name"] for each in found["skills"]] == ["word-count"] == list(found["fares"]) and none["skills"] == []
    assert await twin("/skills/word-count/logs") == {"skill": "word-count", "lines": "the last 200 lines of word-count\n"}
    await house.execute()
    called = await twin("/skills/word-count")
    assert called["latency"][-1] == [None, 1] and called["fares"]["sync"] == "running"


async def test_an_api_client_sees_no_page_whatever_it_accepts(house: House) -> None:
    for path in ("/skills", "/skills/word-count", "/proposals", "/proposals/1", "/requests"):
        for accept in ("*/*", "application/json", "text/html"):
            answer = await house.client.get(path, headers={"accept": accept})
            assert answer.headers["content-type"].startswith("application/json"), (path, accept)
    del house.client.headers["authorization"]
    assert (await house.client.get("/skills")).json()["code"] == "unauthorized"
    assert (await house.client.get("/")).headers["location"] == "/docs"


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html", True), ("text/html,application/json;q=0.9", True), ("*/*", False), ("", False), ("application/json", False),
        ("application/json, text/html", False), ("text/html;q=0.2, application/json", False), ("text/html;q=nonsense", False),
        ("text/html;q=0", False),
    ],
)  # fmt: skip
def test_a_page_is_for_whoever_prefers_one(accept: str, page: bool) -> None:
    assert wants_page({"accept": accept}) is page


async def test_a_session_changes_nothing_but_by_a_form_of_ours(house: House) -> None:
    browser = await Browser(house).signed_in("admin", name="carl")
    token, other = token_of(await browser.page("/proposals/1")), await Browser(house).signed_in("request", name="dan")
    theirs = token_of(await other.page("/proposals/1"))
    foreign = [
        await browser.send("/proposals/1/approve", csrf=""),
        await browser.send("/proposals/1/approve", csrf=theirs),
        await browser.send("/proposals/1/approve", csrf=token, origin="http://evil.example"),
        await browser.send("/proposals/1/approve", csrf=token, origin="null"),
        await browser.send("/proposals/1/approve", csrf=token, **{"sec-fetch-site": "cross-site"}),
    ]
    json = await browser.client.post("/proposals/1/approve", json={}, headers={"origin": "http://gateway"})
    bare = await browser.client.post("/proposals/1/approve", content=f"csrf={token}", headers={"content-type": SENT["content-type"]})
    assert [answer.status_code for answer in foreign] == [403] * 5
    assert (json.status_code, bare.status_code) == (401, 403)
    assert house.place.parts.forge.reviews(1, house.place.parts.forge.proposal(1).head) == ()
    done = await browser.send("/proposals/1/approve", csrf=token)
    assert (done.status_code, done.headers["location"]) == (303, "/proposals/1?said=approve")
    assert [review.reviewer for review in house.place.parts.forge.reviews(1, house.place.parts.forge.proposal(1).head)] == ["carl"]


@pytest.mark.parametrize(
    ("scopes", "seen", "hidden"),
    [
        (("invoke",), ("/skills", "/skills/word-count", "/registry"), ("/attention", "/proposals", "/ask", "/ledger", "/vault", "/settings")),
        (("request",), ("/attention", "/requests", "/proposals/1"), ("/skills", "/ask", "/ledger", "/skills/word-count/logs")),
        (("invoke", "request"), ("/ask", "/skills"), ("/vault", "/skills/word-count/logs")),
    ],
)
async def test_a_visitor_sees_what_their_key_may(house: House, scopes: tuple[str, ...], seen: tuple[str, ...], hidden: tuple[str, ...]) -> None:
    browser = await Browser(house).signed_in(*scopes)
    assert [(await browser.open(path)).status_code for path in seen] == [200] * len(seen)
    refused = [await browser.open(path) for path in hidden]
    assert [answer.status_code for answer in refused] == [403] * len(hidden)
    assert "skillops key create --scope" in text_of(refused[0].text)


async def test_what_a_key_may_not_do_its_forms_do_not_do(house: House) -> None:
    browser = await Browser(house).signed_in("invoke", "request", name="carl")
    page = await browser.page("/proposals/1")
    assert "/proposals/1/approve" not in page and "needs the scope" in text_of(page)
    for path in ("/proposals/1/approve", "/skills/word-count/rollback", "/skills/word-count/retire", "/vault/form", "/vault/API_KEY/remove"):
        assert (await browser.send(path)).status_code == 403


async def test_an_enormous_paste_is_refused_with_what_may_be_sent(house: House) -> None:
    browser = await Browser(house).signed_in()
    answer = await browser.send("/ask", {"text": "x" * 50_000_000})
    long = await browser.send("/ask", {"text": "x" * 20_001})
    assert answer.status_code == 413 and "too large" in text_of(answer.text)
    assert long.status_code == 400 and "20,000 is the most" in text_of(long.text)
    assert house.place.conversations.memory.talks("ada") == []


async def test_what_goes_wrong_says_what_why_and_what_next_with_an_id(house: House) -> None:
    browser = await Browser(house).signed_in()
    page = await browser.open("/skills/word-cuont")
    told = text_of(page.text)
    assert page.status_code == 404 and "There is no skill 'word-cuont'." in told and "word-count" in told
    assert page.headers["x-request-id"] in told and "not-found" in told
    part = await browser.open("/skills/word-cuont", **{"hx-request": "true"})
    assert part.status_code == 404 and "<html" not in part.text and 'role="alert"' in part.text
    odd = ("/proposals/99", "/proposals/x", "/ask/nobodys", "/live/nowhere", "/static/0/none")
    assert [(await browser.open(path)).status_code for path in odd] == [404, 400, 404, 404, 404]
    assert (await browser.client.post("/ledger", headers=SENT)).status_code == 405


async def test_a_fault_of_a_page_is_told_without_details(house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret detail")

    browser = await Browser(house).signed_in()
    monkeypatch.setattr(house.place.parts.catalog, "entries", fail)
    page = await browser.open("/skills")
    assert page.status_code == 503 and "secret detail" not in page.text and page.headers["x-request-id"] in page.text
    assert "the secret detail" in caplog.text


async def test_the_first_page_is_small(house: House) -> None:
    """In all, as it comes over the wire: 100 KiB is the most that it may have."""
    browser = await Browser(house).signed_in()
    page = await browser.open("/attention")
    addresses = [part.split('"')[0] for part in page.text.split('="/static/')[1:]]
    files = [await browser.open(f"/static/{address}", **{"accept-encoding": "gzip"}) for address in addresses]
    assert len(files) == 5 and all(file.status_code == 200 for file in files)
    assert len(page.content) + sum(int(file.headers["content-length"]) for file in files) < 100 * 2**10
    assert all("immutable" in file.headers["cache-control"] for file in files)


@pytest.mark.parametrize(("scopes", "first"), [(("request",), "/attention"), (("invoke",), "/skills"), (("admin",), "/attention")])
async def test_the_start_is_the_first_page_that_a_key_may_see_and_the_menu_leads_to_no_other(
    house: House, scopes: tuple[str, ...], first: str
) -> None:
    browser = await Browser(house).signed_in(*scopes, to="/")
    start = await browser.open("/")
    assert (start.status_code, start.headers["location"]) == (302, first)
    menu = re.findall(r'<li><a href="(/[a-z-]+)"', await browser.page(first))
    assert [(await browser.open(address)).status_code for address in menu] == [200] * len(menu) and first in menu


async def test_an_address_where_nothing_is_answers_a_browser_with_a_page_and_a_client_with_a_problem(house: House) -> None:
    browser = await Browser(house).signed_in("request")
    page, problem = await browser.open("/nowhere"), await browser.open("/nowhere", accept="application/json")
    assert page.status_code == problem.status_code == 404 and problem.json()["code"] == "not-found"
    assert "There is no page at /nowhere." in text_of(page.text) and "Requests" in text_of(page.text)


async def test_what_somebody_wrote_comes_back_with_the_reason_why_it_was_not_taken(house: House) -> None:
    browser = await Browser(house).signed_in(name="eve")
    there, why = {"referer": "http://gateway/proposals/1"}, {"why": "My <b>thoughts</b>.", "head": "0" * 40}
    stale = await browser.send("/proposals/1/approve", why, **there)
    assert stale.status_code == 400 and "My &lt;b&gt;thoughts&lt;/b&gt;." in stale.text and 'href="/proposals/1"' in stale.text
    assert "Write it under Reason" in (await browser.send("/proposals/1/reject", **there)).text
    foreign = await browser.send("/proposals/1/approve", why, **{"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403 and "thoughts" not in foreign.text, "a page of another site puts no words into ours"
    token = token_of(await browser.page("/attention"))
    browser.client.cookies.clear()
    out = await browser.send("/proposals/1/approve", why, csrf=token, **there)
    assert out.status_code == 401 and "My &lt;b&gt;thoughts&lt;/b&gt;." in out.text and "/sign-in?to=%2Fproposals%2F1" in out.text
    assert (await browser.send("/proposals/1/approve", csrf=token, **there)).headers["location"] == "/sign-in?to=%2Fproposals%2F1"

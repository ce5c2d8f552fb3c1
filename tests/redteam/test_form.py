"""One-time forms: who else could use a link, what it could still change, and what of it is left behind."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from tests.browsing import SENT, Browser
from tests.builders import a_manifest
from tests.gateways import House, a_house
from tests.redteam.threats import threat

CANARY, HERS = "canary-b7Qz-of-the-attacker", "what-she-works-with-9f2c"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def a_link(house: House, **wanted: object) -> str:
    made = await house.client.post("/secrets/forms", json={"name": "API_KEY", **wanted}, headers={"host": "localhost"})
    assert made.status_code == 201, made.text
    return str(made.json()["url"]).removeprefix("http://localhost")


async def proof(browser: Browser, path: str) -> str:
    found = re.search(r'name="proof" value="(\w+)"', (await browser.open(path, host="localhost")).text)
    assert found
    return found[1]


async def sent(browser: Browser, path: str, proven: str, value: str = CANARY, **headers: str) -> httpx.Response:
    told = {**SENT, "host": "localhost", "origin": "http://localhost", **headers}
    return await browser.client.post(path, content=urlencode({"proof": proven, "value": value}), headers=told)


@threat(110)
@pytest.mark.anyio
async def test_a_link_is_used_once_by_its_own_page_and_leaves_nothing_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_house(tmp_path) as house:
        house.gateway.hosts = house.gateway.hosts | {"localhost"}
        browser, vault = Browser(house), house.place.parts.vault
        path, other = await a_link(house), await a_link(house, name="OTHER")
        methods = ("HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND")
        assert {(await browser.client.request(each, path, headers={"host": "localhost"})).status_code for each in methods} == {405}
        proven = await proof(browser, path)
        for wrong in (
            {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://localhost.evil.example"}, {"sec-fetch-site": "cross-site"},
            {"host": "gateway", "origin": "http://localhost"}, {"x-forwarded-for": "192.0.2.1"}, {"content-type": "text/plain"},
        ):  # fmt: skip
            assert (await sent(browser, path, proven, **wrong)).status_code == 403, wrong
        assert (await sent(browser, path, await proof(browser, other))).status_code == 403 and vault.all() == []
        answers = await asyncio.gather(*(sent(browser, f"{path}?next=https://evil.example", proven, f"value-{number}") for number in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7
        assert not any("location" in answer.headers or "evil" in answer.text for answer in answers)
        metrics = (await browser.open("/metrics", host="localhost")).text
    (only,), token = vault.all(), path.rpartition("/")[2]
    assert only.name == "API_KEY" and [change.what for change in only.changes] == ["set"]
    logged = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))  # that of the test's own client
    assert token not in logged + metrics and not [kept for kept in tmp_path.rglob("*") if kept.is_file() and token.encode() in kept.read_bytes()]


@threat(111)
@pytest.mark.anyio
async def test_a_link_takes_nothing_from_somebody_else_and_nothing_for_what_has_changed_since(tmp_path: Path) -> None:
    """Ada sends Eve her own link, and would call with what Eve gives; an old link would bring a value back that was replaced, or widen it."""
    async with a_house(tmp_path, a_manifest(permissions={"secrets": ["TOKEN"], "personal": ["TOKEN"]})) as house:
        house.gateway.hosts = house.gateway.hosts | {"localhost"}
        vault = house.place.parts.vault
        path = await a_link(house, name="TOKEN", skills=["word-count"], person="ada")
        proven = await proof(Browser(house), path)  # who has not signed in, or comes from another site, is not known
        eve, ada = await Browser(house).signed_in("invoke", name="eve"), await Browser(house).signed_in("invoke", name="ada")
        looked = await eve.open(path, host="localhost")
        assert looked.status_code == 403 and "somebody else" in looked.text and "<form" not in looked.text
        assert (await sent(eve, path, proven)).status_code == 403 and vault.personal() == []
        assert (await sent(ada, path, proven, HERS)).status_code == 200
        assert vault.values("word-count", ["TOKEN"], "ada") == {"TOKEN": HERS}

        wide, late = await a_link(house), await a_link(house, minutes=1)
        vault.set("API_KEY", "the-value-that-counts", "ada", ["word-count"])
        for old in (wide, late):
            assert (await Browser(house).open(old, host="localhost")).status_code == 410
        narrow = await a_link(house)
        assert (await sent(ada, narrow, await proof(ada, narrow), "the-value-of-today")).status_code == 200
        assert vault.values("word-count", ["API_KEY"]) == {"API_KEY": "the-value-of-today"} and vault.all()[0].skills == ("word-count",)

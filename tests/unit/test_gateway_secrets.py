"""The vault's routes, and the form that takes a secret once from whoever has its link."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from agent.domain.release import Endpoint
from agent.gateway import secret_page
from agent.vault import Form
from tests.builders import a_manifest
from tests.gateways import House, a_house

pytestmark = pytest.mark.anyio
VALUE = 'correct "horse" & <battery>'
FORM = {"content-type": "application/x-www-form-urlencoded", "origin": "http://localhost", "host": "localhost"}
LOCAL = {"host": "localhost"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def a_link(house: House, **wanted: object) -> str:
    """The path of a new form."""
    made = await house.client.post("/secrets/forms", json={"name": "API_KEY", **wanted}, headers=LOCAL)
    assert made.status_code == 201, made.text
    return made.json()["url"].removeprefix("http://localhost")


def proof_of(page: httpx.Response) -> str:
    found = re.search(r'name="proof" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def visit(house: House, path: str, **headers: str) -> httpx.Response:
    """As a browser, which has no key."""
    return await bare(house).get(path, headers={**LOCAL, **headers})


async def send(house: House, path: str, value: str = VALUE, proof: str | None = None, **headers: str) -> httpx.Response:
    if proof is None:
        proof = proof_of(await visit(house, path))
    return await bare(house).post(path, content=urlencode({"value": value, "proof": proof}), headers={**FORM, **headers})


def bare(house: House, peer: str = "127.0.0.1") -> httpx.AsyncClient:
    app = house.client._transport.app  # type: ignore[attr-defined]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(peer, 1)), base_url="http://gateway")


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SKILLOPS_GATEWAY_PROXIES", '["10.0.0.7"]')
    async with a_house(tmp_path) as house:
        house.gateway.hosts = house.gateway.hosts | {"localhost", "127.0.0.1"}
        yield house


async def test_a_form_takes_a_value_once(house: House) -> None:
    path = await a_link(house, skills=["word-count"])
    first, again = await visit(house, path), await visit(house, path)
    sent = await send(house, path, proof=proof_of(again))
    assert (first.status_code, again.status_code, sent.status_code) == (200, 200, 200)
    assert "word-count" in first.text and "ada" in first.text and "is set" in sent.text
    assert house.place.parts.vault.values("word-count", ["API_KEY"]) == {"API_KEY": VALUE}
    assert VALUE not in sent.text
    assert [(await visit(house, path)).status_code, (await send(house, path, proof="x")).status_code] == [410, 410]


async def test_a_form_can_be_sent_by_its_own_page_alone(house: House) -> None:
    path, other = await a_link(house), await a_link(house)
    foreign = [
        await send(house, path, proof=proof_of(await visit(house, other))),
        await send(house, path, proof=""),
        await send(house, path, **{"sec-fetch-site": "cross-site"}),
        await send(house, path, origin="null"),
        await send(house, path, origin="https://evil.example.com"),
        await bare(house).post(path, json={"value": VALUE, "proof": proof_of(await visit(house, path))}, headers={**LOCAL, "origin": "http://localhost"}),
        await bare(house).post(path, content=urlencode({"value": VALUE, "proof": proof_of(await visit(house, path))}), headers={
            "content-type": FORM["content-type"], **LOCAL}),
    ]  # fmt: skip
    assert [answer.status_code for answer in foreign] == [403] * len(foreign)
    assert house.place.parts.vault.all() == []
    assert (await send(house, path)).status_code == 200  # and none of these has used it up


async def test_a_value_that_none_can_be_is_asked_for_again_and_not_quoted(house: House) -> None:
    path = await a_link(house)
    answer = await send(house, path, value="zyx")
    assert answer.status_code == 422 and 'role="alert"' in answer.text and "zyx" not in answer.text
    assert (await send(house, path, proof=proof_of(answer))).status_code == 200


async def test_an_enormous_form_is_not_taken(house: House) -> None:
    path = await a_link(house)
    assert (await send(house, path, value="x" * 300_000)).status_code == 413
    assert house.place.parts.vault.all() == []


@pytest.mark.parametrize(
    "peer, headers, served",
    [
        ("127.0.0.1", {"host": "localhost"}, True),
        ("127.0.0.1", {"host": "gateway"}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "192.0.2.1"}, False),
        ("127.0.0.1", {"host": "gateway", "x-forwarded-proto": "https"}, False),
        ("192.0.2.1", {"host": "gateway"}, False),
        ("192.0.2.1", {"host": "gateway", "x-forwarded-proto": "https"}, False),
        ("10.0.0.7", {"host": "gateway", "x-forwarded-proto": "https"}, True),
        ("10.0.0.7", {"host": "gateway", "x-forwarded-proto": "http"}, False),
        ("10.0.0.7", {"host": "gateway"}, False),
    ],
)
async def test_a_form_is_served_to_this_machine_or_over_tls(house: House, peer: str, headers: dict[str, str], served: bool) -> None:
    path = await a_link(house)
    answer = await bare(house, peer).get(path, headers=headers)
    assert answer.status_code == (200 if served else 403)
    assert ('name="value"' in answer.text) == served


async def test_a_link_that_would_be_served_in_the_clear_is_not_made(house: House) -> None:
    made = await house.client.post("/secrets/forms", json={"name": "API_KEY"})  # to http://gateway
    assert (made.status_code, made.json()["code"]) == (500, "configuration")
    behind_tls = await bare(house, "10.0.0.7").post(
        "/secrets/forms", json={"name": "API_KEY"}, headers={"x-forwarded-proto": "https", **house.key("admin")}
    )
    assert behind_tls.json()["url"].startswith("https://gateway/secrets/forms/")


async def test_the_page_runs_nothing_and_sends_nowhere_else(house: House) -> None:
    page = await visit(house, await a_link(house))
    policy = page.headers["content-security-policy"]
    assert page.headers.get_list("content-security-policy") == [policy]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "script" not in policy
    assert page.headers["referrer-policy"] == "same-origin" and page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text and 'lang="en"' in page.text and '<label for="value">' in page.text
    assert (await house.client.get("/skills")).headers["referrer-policy"] == "no-referrer"


def test_what_the_page_is_told_is_text_in_it() -> None:
    for person, asked_by in (("", "<i>eve</i>"), ("<i>eve</i>", "ada")):
        form = Form(name="API_KEY", skills=("word-count",), expires=0.0, by=asked_by, person=person)
        page = secret_page.form_page(form, '"><script>', "<i>")
        assert "<i>" not in page and "<script" not in page


async def test_names_are_listed_and_secrets_removed_with_an_admins_key_alone(house: House) -> None:
    await send(house, await a_link(house))
    listed = await house.client.get("/secrets")
    assert [secret["name"] for secret in listed.json()] == ["API_KEY"] and VALUE not in listed.text
    weak = house.key("invoke", "request", "approve")
    refused = [
        await house.client.get("/secrets", headers=weak),
        await house.client.delete("/secrets/API_KEY", headers=weak),
        await house.client.post("/secrets/forms", json={"name": "API_KEY"}, headers={**LOCAL, **weak}),
        await bare(house).post("/secrets/forms", json={"name": "API_KEY"}, headers=LOCAL),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 403, 401]
    assert (await house.client.delete("/secrets/API_KEY")).json()["name"] == "API_KEY"
    assert (await house.client.delete("/secrets/API_KEY")).status_code == 404


@pytest.mark.parametrize(
    "wanted", [{"name": "lower"}, {}, {"name": "A", "minutes": 0}, {"name": "A", "minutes": 1e9}, {"name": "A", "skills": ["a b"]}]
)
async def test_a_form_for_what_no_secret_can_be_is_refused(house: House, wanted: dict[str, object]) -> None:
    answer = await house.client.post("/secrets/forms", json=wanted, headers=LOCAL)
    assert (answer.status_code, answer.json()["code"]) == (400, "usage")


# ---- what is one person's --------------------------------------------------------------------------------------------


async def test_who_calls_without_their_own_secret_gets_a_link_for_it_and_nobody_elses(tmp_path: Path) -> None:
    own = a_manifest(permissions={"secrets": ["TOKEN"], "personal": ["TOKEN"]})
    async with a_house(tmp_path, own) as house:
        house.gateway.hosts |= {"localhost"}
        vault, asked = house.place.parts.vault, list[str]()

        def endpoint(skill: str, person: str = "") -> Endpoint:
            asked.append(person)
            vault.values(skill, ["TOKEN"], person)
            return Endpoint(socket=str(house.runtime.socket))

        house.runtime.endpoint = endpoint  # type: ignore[method-assign]
        eve = {**house.key("invoke", name="eve"), "host": "localhost"}
        told = await house.execute(headers=eve)
        (url,) = told.json()["links"].values()
        page = await visit(house, url.removeprefix("http://localhost"))
        assert (told.status_code, told.json()["code"]) == (409, "missing-secret") and "<b>eve</b>" in page.text
        assert (await send(house, url.removeprefix("http://localhost"))).status_code == 200
        assert vault.values("word-count", ["TOKEN"], "eve") == {"TOKEN": VALUE}
        answered = await house.execute(headers=eve)
        other = await house.execute(headers=LOCAL)
        elsewhere = await house.execute(headers=house.key("invoke", name="bob"))  # by http://gateway, in the clear
    assert (answered.status_code, other.status_code) == (200, 409) and other.json()["links"]["TOKEN"] != url
    assert "links" not in elsewhere.json() and "--for bob" in elsewhere.json()["next_step"]
    assert set(asked) == {"eve", "ada", "bob"} and VALUE not in told.text + other.text


async def test_a_person_sees_gives_and_takes_back_their_own(house: House) -> None:
    vault = house.place.parts.vault
    vault.set("TOKEN", VALUE, "eve", ["gone"], "eve")  # of a skill that is no longer there
    vault.set("TOKEN", VALUE, "ada", ["word-count"], "ada")
    eve = {**LOCAL, **house.key("invoke", name="eve")}
    mine = await house.client.get("/me/secrets", headers=eve)
    assert [(each["skill"], each["secret"]["person"]) for each in mine.json()] == [("gone", "eve")] and VALUE not in mine.text
    assert [(await house.client.delete("/me/secrets/gone/TOKEN", headers=eve)).status_code for _ in range(2)] == [200, 404]
    listed = (await house.client.get("/secrets")).json()
    assert [(each["name"], each["person"], each["skills"]) for each in listed] == [("TOKEN", "ada", ["word-count"])]
    assert (await house.client.delete("/secrets/TOKEN?skill=word-count&person=ada")).json()["person"] == "ada"

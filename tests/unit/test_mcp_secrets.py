"""A secret that a skill waits for is asked for by a link to its form; the value never passes through the client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import ElicitRequestURLParams, ElicitResult

from agent.gateway import mcp_secrets
from agent.gateway.mcp_answers import ERROR
from tests.builders import a_manifest
from tests.mcp_clients import MODERN, MODES, Served, a_served_house

pytestmark = pytest.mark.anyio
NEEDY = a_manifest(name="needy", permissions={"secrets": ["API_KEY"]})
VALUE = "correct-horse-battery"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def guard(served: Served) -> None:
    """The skill starts where the vault has what it needs, as in the real runtimes."""
    served.house.runtime.wake = lambda: served.house.place.parts.vault.values("needy", ("API_KEY",)) and None


async def fill_in(url: str, value: str = VALUE) -> int:
    """What a person does in a browser."""
    async with httpx.AsyncClient(timeout=60) as browser:
        page = await browser.get(url)
        proof = re.search(r'name="proof"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="proof"', page.text)
        assert page.status_code == 200 and proof, page.text
        origin = re.match(r"http://[^/]+", url)
        assert origin
        done = await browser.post(url, data={"proof": proof[1] or proof[2], "value": value}, headers={"origin": origin[0]})
        return done.status_code


class Person:
    """Who sits before the client: opens the link and fills in the form, or does not."""

    def __init__(self, action: str = "accept", fills_in: bool = True) -> None:
        self.action, self.fills_in, self.asked = action, fills_in, list[Any]()

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.asked.append(params)
        if self.fills_in:
            assert await fill_in(params.url) == 200
        return ElicitResult(action=self.action)  # type: ignore[arg-type]


async def test_a_client_of_2026_opens_the_form_and_the_call_goes_on(tmp_path: Path) -> None:
    person = Person()
    async with a_served_house(tmp_path, NEEDY) as served, served.client(MODERN, elicitation_callback=person) as client:
        guard(served)
        result = await client.call_tool("needy", {"text": "one two"})
        again = await client.call_tool("needy", {"text": "one"})
        (secret,) = served.house.place.parts.vault.all()

    assert (result.structured_content, again.structured_content) == ({"words": 2}, {"words": 1})
    (asked,) = person.asked
    assert isinstance(asked, ElicitRequestURLParams) and asked.url.startswith(f"{served.url}/secrets/forms/")
    assert (secret.name, secret.skills, secret.changes[0].by) == ("API_KEY", ("needy",), "form of ada")
    assert VALUE not in repr(result)


async def test_a_client_of_2025_is_told_the_link_and_calls_again(tmp_path: Path) -> None:
    async with a_served_house(tmp_path, NEEDY) as served, served.client("legacy", elicitation_callback=Person()) as client:
        guard(served)
        with pytest.raises(MCPError) as caught:
            await client.call_tool("needy", {"text": "one two"})
        (asked,) = UrlElicitationRequiredError.from_error(caught.value.error).elicitations
        assert asked.elicitation_id and await fill_in(asked.url) == 200
        result = await client.call_tool("needy", {"text": "one two"})
    assert result.structured_content == {"words": 2}


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_opens_no_links_is_told_the_next_step(tmp_path: Path, mode: str) -> None:
    async with a_served_house(tmp_path, NEEDY) as served, served.client(mode) as client:
        guard(served)
        result = await client.call_tool("needy", {"text": "one two"})
    assert result.is_error and (result.meta or {})[ERROR]["code"] == "missing-secret"
    assert "skillops secret set API_KEY" in result.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", MODES)
async def test_who_may_call_may_not_say_with_whose_account(tmp_path: Path, mode: str) -> None:
    """A link is made for the scope admin, as over HTTP; and none that would replace what other skills have."""
    person = Person()
    async with a_served_house(tmp_path, NEEDY) as served:
        guard(served)
        async with served.client(mode, served.house.key("invoke"), elicitation_callback=person) as client:
            plain = await client.call_tool("needy", {"text": "a"})
        served.house.place.parts.vault.set("API_KEY", VALUE, "ada", ("other",))
        async with served.client(mode, elicitation_callback=person) as client:
            theirs = await client.call_tool("needy", {"text": "a"})
    assert plain.is_error and theirs.is_error and person.asked == []
    assert "for other skills" in theirs.content[0].text  # type: ignore[union-attr]


async def test_a_person_who_says_no_or_does_nothing_ends_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_secrets, "PATIENCE", 0.6)
    async with a_served_house(tmp_path, NEEDY) as served:
        guard(served)
        for person in (Person("decline", fills_in=False), Person("accept", fills_in=False)):
            async with served.client(elicitation_callback=person) as client:
                result = await client.call_tool("needy", {"text": "a"})
            assert result.is_error and (result.meta or {})[ERROR]["code"] == "missing-secret"
            assert len(person.asked) == 1


async def test_what_is_each_callers_own_is_asked_of_whoever_calls(tmp_path: Path) -> None:
    own, person = a_manifest(name="needy", permissions={"secrets": ["API_KEY"], "personal": ["API_KEY"]}), Person()
    async with a_served_house(tmp_path, own) as served:
        vault, runtime = served.house.place.parts.vault, served.house.runtime
        answering = runtime.endpoint
        runtime.endpoint = lambda skill, who="": vault.values(skill, ["API_KEY"], who) and answering(skill)  # type: ignore[method-assign,return-value]
        async with served.client(MODERN, served.house.key("invoke", name="eve"), elicitation_callback=person) as client:
            result = await client.call_tool("needy", {"text": "one two"})
        assert vault.values("needy", ["API_KEY"], "eve") == {"API_KEY": VALUE} and vault.all() == []
    assert result.structured_content == {"words": 2} and len(person.asked) == 1

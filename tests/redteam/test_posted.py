"""A secret where it does not belong: posted on GitHub, given to a skill by mistake, returned by one; and who takes back what others asked for."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import posted, slash
from agent.domain.event import Event
from agent.domain.progress import Situation
from agent.domain.request import RequestDraft
from agent.errors import ModelUnavailable
from agent.forges.github import GitHubForge
from agent.forges.github_api import Answer, GitHubApi
from agent.memory import Memory
from agent.stages.assessing import assess
from tests.browsing import Browser
from tests.builders import a_manifest
from tests.fakes import FakeModel
from tests.gateways import a_house, reply
from tests.redteam.threats import threat
from tests.unit.test_conversation import Catalog, Model, a_world
from tests.unit.test_inner_calls import a_house_of, made

__all__ = ["made"]
KEY = "ghp_" + "A1b2C3d4E5f6G7h8I9j0" + "K1l2M3n4O5p6Q7r8"
OTHER = "AKIA" + "Q3EGRTZUXM7PL2VB"
TWO = (KEY, OTHER)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class GitHub:
    """A repository with an issue and somebody's pull request, as the API tells of them; it takes comments."""

    def __init__(self) -> None:
        user, labels = {"login": "mallory"}, [{"name": "capability"}]
        issue = {"number": 1, "title": f"Count with {KEY}", "body": f"Use\n{OTHER}\nfor it.", "user": user, "labels": labels, "state": "open",
                 "html_url": "", "id": 11}  # fmt: skip
        pull = {"number": 2, "title": f"Add x {KEY}", "body": OTHER, "user": user, "labels": [], "state": "open", "html_url": "", "draft": False,
                "head": {"sha": "a" * 40, "ref": "x", "repo": {"full_name": "o/s"}}, "base": {"repo": {"full_name": "o/s"}},
                "merged": False}  # fmt: skip
        review = {"id": 5, "user": {"login": "bob"}, "state": "CHANGES_REQUESTED", "commit_id": "a" * 40, "body": f"not with {KEY}"}
        self.comments: list[dict[str, Any]] = []
        self.comment("mallory", f"or {KEY}")
        self.comment("bob", f"/withdraw for {OTHER}")
        self.told = {
            "issues/1": issue, "issues": [issue], "issues/2": {**issue, "number": 2, "pull_request": {}}, "pulls/2": pull, "pulls": [pull],
            "pulls/2/reviews": [review], "issues/1/comments": self.comments, "issues/2/comments": [],
            "collaborators/bob/permission": {"permission": "write", "role_name": "write"},
        }  # fmt: skip
        self.forge = GitHubForge(GitHubApi("o/s", self.send), "skillops[bot]")
        self.forge.head = lambda ref: "b" * 40  # type: ignore[method-assign,assignment]
        self.forge.folders_changed = lambda base, head, folder: ["x"]  # type: ignore[method-assign,assignment]

    def comment(self, who: str, text: str) -> dict[str, Any]:
        self.comments.append({"id": 100 + len(self.comments), "user": {"login": who}, "body": text})
        return self.comments[-1]

    def send(self, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        name = path.removeprefix("/repos/o/s/").partition("?")[0]
        if (verb, name) == ("POST", "issues/1/comments"):
            return Answer(201, {}, self.comment("skillops[bot]", body["body"]))
        return Answer(200, {}, self.told[name]) if verb == "GET" and name in self.told else Answer(404, {}, None)


@threat(73)
def test_a_secret_that_is_posted_on_github_is_read_by_nobody_here_and_whoever_posted_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    hub, model, events = GitHub(), FakeModel({"assess": []}), list[Event]()
    forge, caplog.handler.level = hub.forge, logging.DEBUG
    request, said, proposal = forge.request(1), forge.comments(1), forge.proposal(2)
    read = [
        request,
        *forge.requests(),
        *said,
        proposal,
        *forge.proposals(),
        *forge.reviews(2, "a" * 40),
        *map(slash.read, [each.text for each in said]),
    ]
    with pytest.raises(ModelUnavailable):
        assess(request, said, [], model, events.append)
    for _ in range(2):
        posted.warn(SimpleNamespace(forge=forge), Situation(request=request))  # type: ignore[arg-type]

    answered = [comment["body"] for comment in hub.comments if comment["user"]["login"] == "skillops[bot]"]
    everything = repr(read) + repr([one.messages for one in model.asked]) + repr(events) + caplog.text + repr(answered)
    assert not [key for key in TWO if key in everything] and "Count with [secret]" in repr(model.asked[0].messages)
    assert [text.partition(" ")[0] for text in answered] == ["@mallory", "@bob"], "each of them once, however much they posted"
    assert all("Revoke it" in text and "one-time form" in text for text in answered)
    assert forge.comments(1)[-1].marker and proposal.title == "Add x [secret]" and proposal.pasted and forge.reviews(2, "a" * 40)[0].pasted


@threat(74)
@pytest.mark.anyio
async def test_a_secret_in_what_a_skill_is_given_goes_to_the_skill_and_stays_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def echo(call: dict[str, Any]) -> bytes:
        text = call["inputs"]["text"]
        if text.startswith("fail"):
            return json.dumps({"success": False, "error": {"code": KEY, "message": f"what is {text}?"}}).encode()
        return reply(words=len(text.split()))

    async with a_house(tmp_path) as house:
        house.skill.says = echo
        given = [{"text": f"use {KEY}"}, {"text": f"fail {KEY}"}, {"text": [KEY, OTHER]}]
        answered = [await house.execute(inputs=each) for each in given]
        browser = await Browser(house).signed_in("invoke")
        tried = [await browser.send("/skills/word-count/try", {"in.text": each["text"]}, on="/skills/word-count") for each in given[:2]]
    assert [call["inputs"] for call in house.skill.calls] == [*given[:2], *given[:2]], "as its caller sent it"
    assert [answer.status_code for answer in answered] == [200, 422, 422] and answered[0].json()["receipt"]["pasted"] == ["GitHub Token"]
    assert "holds what looks like a secret (GitHub Token)" in tried[0].text
    everything = "".join(answer.text for answer in (*answered, *tried)) + caplog.text + repr(house.gateway.meters.usage)
    assert not [key for key in TWO if key in everything]
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


@threat(75)
def test_a_secret_that_a_skill_returns_goes_to_the_next_skill_and_into_no_prompt_or_memory(tmp_path: Path) -> None:
    plan = {"steps": [
        {"id": "make", "skill": "word-count", "inputs": {"text": "make one"}},
        {"id": "use", "skill": "word-count", "inputs": {"text": {"$step": "make", "path": "/token"}}},
    ]}  # fmt: skip
    with a_world(tmp_path) as world:
        world.catalog = Catalog(a_manifest(outputs={"type": "object"}))
        table = [{"key": KEY, "of": "ada"}, {"key": OTHER, "of": "eve"}]
        world.runtime.answer = lambda inputs: {"token": KEY, "rows": table} if inputs["text"] == "make one" else {"words": 1}
        world.model = Model(plan)
        talk = world.turn("Make a token and use it.")
        world.runtime.answer = lambda inputs: (_ for _ in ()).throw(ValueError(f"{KEY} is wrong"))
        world.model.says["plan"] += [plan, {"reply": "It is wrong."}]
        world.turn("Once more.", talk.conversation)
        kept = Memory(world.path)
        turns, runs = kept.turns(talk.conversation), [kept.runs(turn.id) for turn in kept.turns(talk.conversation)]
        drawn = kept.drawings(turns[0].id)

    assert world.runtime.calls[1]["inputs"] == {"text": KEY}
    everything = repr([one.messages for one in world.model.asked] + [one.variables for one in world.model.asked]) + repr((turns, runs, world.events))
    assert not [key for key in TWO if key in everything + repr(drawn)] and "[secret]" in everything
    assert drawn[0].rows[1] == ("[secret]", "ada")
    assert not [key for key in TWO if key.encode() in b"".join(path.read_bytes() for path in tmp_path.rglob("*.sqlite*"))]


@threat(76)
@pytest.mark.anyio
async def test_a_name_like_that_of_whoever_asked_takes_nothing_back(tmp_path: Path) -> None:
    """A key of the gateway that is called as an account of GitHub is, and an account that is called as a key."""
    async with a_house(tmp_path / "house") as house:
        forge, octocat = house.place.parts.forge, house.key("request", "invoke", name="octocat")
        for source in ("issue", "gateway"):
            forge.open_request(RequestDraft(key=source, title="Count", text="Count words.", requester="octocat", source=source))  # type: ignore[arg-type]
        assert (await house.client.post("/requests/1/withdraw", headers=octocat)).status_code == 403
        spoken = await house.client.post("/conversations", json={"text": "/withdraw 1"}, headers=octocat)
        assert spoken.status_code == 409 and forge.request(1).state == "open"
        assert (await house.client.post("/requests/1/replies", json={"text": "/withdraw"}, headers=octocat)).status_code == 201
        assert "may not take" in slash.heed_request(house.place.parts, 1)[0]
        assert forge.request(1).state == "open" and (await house.client.post("/requests/2/withdraw", headers=octocat)).status_code == 200


@threat(77)
@pytest.mark.anyio
async def test_a_workflow_is_no_way_round_the_limits_of_a_key(made: Path, tmp_path: Path) -> None:
    async with a_house_of(made, tmp_path, daily=4) as served:
        house, mallory = served.house, served.house.key("invoke", name="mallory")
        house.place.parts.vault.set("TOKEN", "correct-horse-battery", "mallory", ("needy",), "mallory")
        answers = [await house.client.post("/skills/flow/execute", json={"inputs": {"text": "a"}}, headers=mallory) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 429, 429, 429]
        assert len(house.skill.calls) == 2, "the second call of the workflow was the fourth of this key"

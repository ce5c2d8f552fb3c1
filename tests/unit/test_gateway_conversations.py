"""A task for the agent over HTTP: asked, answered, and nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateways import House, a_house, a_place

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def said(house: House, path: str, text: str, **more: Any) -> dict[str, Any]:
    answer = await house.client.post(path, json={"text": text, **more.pop("body", {})}, **more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_task_is_asked_about_and_answered_and_the_conversation_says_what_it_took(tmp_path: Path) -> None:
    asks = {"question": "Which?", "choices": ["one", "two"]}
    async with a_house(tmp_path, place=a_place(tmp_path, {"plan": [asks, {"reply": "Two it is."}]})) as house:
        asked = await said(house, "/conversations", "Count.", body={"agent": "researcher"})
        path = f"/conversations/{asked['conversation']}"
        waiting = (await house.client.get(path)).json()
        wrong = await said(house, f"{path}/turns", "3")
        right = await said(house, f"{path}/turns", "2")
        told = (await house.client.get(path)).json()
        plans = (await house.client.get(f"{path}/plans")).json()

    assert (asked["kind"], asked["question"]["choices"], waiting["question"], wrong["kind"]) == ("asks", ["one", "two"], asked["question"], "asks")
    assert (right["kind"], right["text"], told["question"], told["agent"], plans) == ("answered", "Two it is.", None, "researcher", [])
    assert [line["text"] for line in told["lines"] if line["role"] == "person"] == ["Count.", "3", "two"]
    assert (told["tokens"], told["cost"]) == (20, 0.02)


async def test_what_waits_wakes_the_worker_and_the_agents_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = {"steps": [{"id": "a", "need": {"title": "Count words", "text": "Count the words of a text."}}]}
    woken: list[int] = []
    async with a_house(tmp_path, place=a_place(tmp_path, {"plan": [need]})) as house:
        monkeypatch.setattr(house.gateway, "raised", lambda: woken.append(1))
        result = await said(house, "/conversations", "Count the words.")
        agents = (await house.client.get("/agents")).json()

    assert (result["kind"], result["requests"], woken) == ("waits", [1], [1])
    assert [agent["name"] for agent in agents] == ["assistant", "code-reviewer", "researcher"]


async def test_a_conversation_is_its_callers_alone_and_wants_both_scopes(tmp_path: Path) -> None:
    async with a_house(tmp_path, place=a_place(tmp_path, {"plan": [{"reply": "Hello."}]})) as house:
        mine = await said(house, "/conversations", "Hi", headers=house.key("invoke", "request", name="bob"))
        path = f"/conversations/{mine['conversation']}"
        answers = [
            await house.client.get(path, headers=house.key("invoke", "request", name="eve")),
            await house.client.post(f"{path}/turns", json={"text": "yes"}, headers=house.key("admin", name="eve")),
            await house.client.get("/conversations/none"),
            await house.client.post("/conversations", json={"text": "Hi", "agent": "nobody"}),
            await house.client.post("/conversations", json={"text": "Hi"}, headers=house.key("invoke", name="eve")),
            await house.client.post("/conversations", json={"text": "x" * 20_001}),
            await house.client.post("/conversations", json={"text": "Hi"}),
        ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        *[(404, "not-found")] * 4, (403, "forbidden"), (400, "usage"), (503, "model-unavailable"),
    ]  # fmt: skip
    assert all(answer.json()["next_step"] for answer in answers[:-1])

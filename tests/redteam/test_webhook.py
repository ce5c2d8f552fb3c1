"""Who forges deliveries of GitHub."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import httpx
import pytest

from agent.deliveries import Deliveries
from agent.gateway import webhooks
from agent.gateway.app import make_app
from tests.gateways import a_house
from tests.redteam.threats import threat

SECRET = "a-secret-of-the-hook"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@threat(44)
@pytest.mark.anyio
async def test_a_forged_or_replayed_delivery_moves_nothing(tmp_path: Path) -> None:
    queue = Deliveries(tmp_path / "deliveries.sqlite")
    body = json.dumps({"action": "opened", "issue": {"number": 1}, "sender": {"login": "ada"}}).encode()
    other = body.replace(b"1", b"2")
    async with a_house(tmp_path, webhook_path=webhooks.PATH) as house:
        app = make_app(house.gateway, webhooks.router(house.gateway, queue, SECRET, "skillops"))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")  # type: ignore[arg-type]
        forged = ["", "sha256=", "sha256=" + "0" * 64, signed(body, ""), signed(body, "other"), signed(other), signed(body).replace("sha256", "sha1"),
                  hashlib.sha1(body, usedforsecurity=False).hexdigest(), signed(body).upper()]  # fmt: skip
        answers = [await _deliver(client, body, signature) for signature in forged]
        assert {answer.status_code for answer in answers} == {401} and queue.waiting() == []
        first = await _deliver(client, body, signed(body))
        again = [await _deliver(client, body, signed(body)) for _ in range(3)]
    assert first.json()["queued"] and not any(answer.json()["queued"] for answer in again)
    assert len(queue.waiting()) == 1


async def _deliver(client: httpx.AsyncClient, body: bytes, signature: str) -> httpx.Response:
    headers = {"x-hub-signature-256": signature, "x-github-event": "issues", "content-type": "application/json"}
    return await client.post(webhooks.PATH, content=body, headers=headers)

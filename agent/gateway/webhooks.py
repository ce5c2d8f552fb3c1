"""GitHub's webhooks: a delivery is a hint to look sooner, taken in a moment and acted on by the worker.

Signatures are GitHub's ("Validating webhook deliveries": X-Hub-Signature-256). Repeated, replayed and out-of-order deliveries are harmless:
what happens next is read off the forge, never off a delivery.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

from fastapi import APIRouter, Request

from agent.deliveries import Deliveries, Delivery
from agent.domain import Frozen
from agent.errors import UsageError
from agent.gateway.gateway import Gateway
from agent.gateway.problems import Unauthorized

PATH = "/webhooks/github"
# What may mean that there is something to do; anything else is acknowledged and forgotten.
EVENTS = frozenset(("issues", "issue_comment", "pull_request", "pull_request_review", "check_run", "check_suite", "push", "merge_group"))


class Taken(Frozen):
    """`queued` where it will be acted on; else `why` not."""

    queued: bool
    why: str = ""


def router(gateway: Gateway, deliveries: Deliveries, secret: str, login: str) -> APIRouter:
    """`secret` is the one that the webhook was made with; what `login` (we ourselves) did is no news."""
    routes = APIRouter(tags=["webhooks"])

    @routes.post(PATH, status_code=202)
    async def take_delivery(request: Request) -> Taken:
        """A delivery of a GitHub webhook, signed with the secret."""
        body = await request.body()
        _check(body, request.headers.get("x-hub-signature-256", ""), secret)
        event = request.headers.get("x-github-event", "")
        told = read(body)
        if event not in EVENTS:
            return Taken(queued=False, why=f"Nothing is done on {event[:40] or 'no event'}.")
        if _part(told, "sender").get("login") == login:
            return Taken(queued=False, why="We did that ourselves.")
        delivery = Delivery(
            digest=hashlib.sha256(body).hexdigest(), event=event, action=str(told.get("action", ""))[:40], check_run=rerun_of(event, told)
        )
        if not await asyncio.to_thread(deliveries.take, delivery):
            return Taken(queued=False, why="It was taken before.")
        gateway.raised()
        return Taken(queued=True)

    return routes


def _check(body: bytes, signature: str, secret: str) -> None:
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Unauthorized(
            "The delivery is not signed with the webhook's secret.",
            next_step="Set github_webhook_secret to the one that the webhook has on GitHub.",
        )


def read(body: bytes) -> dict[str, Any]:
    """The document of a delivery. UsageError where it is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise UsageError("The delivery is no JSON object.", next_step="Set the webhook's content type to application/json.")
    return told


def rerun_of(event: str, told: dict[str, Any]) -> int | None:
    """The check run that somebody asked GitHub to make again."""
    run = _part(told, "check_run").get("id") if event == "check_run" and told.get("action") == "rerequested" else None
    return run if isinstance(run, int) else None


def _part(told: dict[str, Any], name: str) -> dict[str, Any]:
    """An object of a delivery; empty where it has none of that name."""
    part = told.get(name)
    return part if isinstance(part, dict) else {}

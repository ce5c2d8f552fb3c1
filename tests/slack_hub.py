"""Slack on loopback for tests: the API of the npm package `emulate`, and before our gateway what Slack has there: a sender that signs.

The emulator tells of events as Slack does, but only to hooks that a program in its process registers, and without the envelope's names; so
one line is put into a copy of its program, and `Front` adds the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.hub import _wait, program
from tests.ports import free_port

SECRET, TEAM = "8f742231b10e8888abcd99yyyzzz85a5", "T000000001"
BOT, ADA, BOB, EVE = "skillops", "ada", "bob", "eve"
_MADE = "const webhooks = new WebhookDispatcher();"
_HOOK = 'webhooks.register({ url: process.env.FRONT, active: true, events: ["*"], owner: "slack" });'
_START = """
createEmulator({ service: "slack", port: Number(process.env.PORT), seed: JSON.parse(process.env.SEED) });
"""


class Sent(NamedTuple):
    """One delivery: what it was answered with, and after how many seconds."""

    status: int
    body: str
    seconds: float


def signed(body: str, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """Slack's headers ("Verifying requests from Slack")."""
    stamp = str(int(time.time() if at is None else at))
    proof = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={proof}"}


def send(url: str, body: str, headers: Mapping[str, str], kind: str = "application/json") -> Sent:
    request = urllib.request.Request(url, data=body.encode(), headers={"Content-Type": kind, **headers}, method="POST")
    started = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Sent(answer.status, answer.read().decode(), time.monotonic() - started)
    except urllib.error.HTTPError as error:
        return Sent(error.code, error.read().decode(), time.monotonic() - started)


class Front:
    """Takes the emulator's events, and sends them on to `target` in Slack's envelope, signed; `sent` is what became of them.

    A message that mentions us is sent twice over, as Slack does to an app that has asked for both kinds of event.
    """

    def __init__(self) -> None:
        self.target, self.us, self.sent = "", "", list[Sent]()
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                front._events.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        threading.Thread(target=self._go_on, daemon=True).start()

    def _go_on(self) -> None:
        while True:
            told = self._events.get()
            event = told["event"]
            if self.target and event["type"] == "message":
                self.sent.append(self.event(event))
                if f"<@{self.us}>" in event.get("text", ""):
                    self.sent.append(self.event({**event, "type": "app_mention"}))

    def event(self, event: Mapping[str, Any], **headers: str) -> Sent:
        ident = hashlib.sha256(json.dumps(dict(event)).encode()).hexdigest()[:10].upper()
        envelope = {
            "type": "event_callback", "team_id": TEAM, "api_app_id": "A1", "event_id": f"Ev{ident}", "event_time": int(time.time()),
            "authorizations": [{"team_id": TEAM, "user_id": self.us, "is_bot": True}], "event": dict(event),
        }  # fmt: skip
        body = json.dumps(envelope)
        return send(self.target, body, {**signed(body), **headers})

    def interaction(self, payload: Mapping[str, Any], at: float | None = None, secret: str = SECRET) -> Sent:
        body = urllib.parse.urlencode({"payload": json.dumps(dict(payload))})
        return send(self.target, body, signed(body, at, secret), "application/x-www-form-urlencoded")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class SlackHub:
    """The running server. `ids` are the users' by their names."""

    def __init__(self, port: int, front: Front) -> None:
        self.front, self.api = front, f"http://127.0.0.1:{port}/api/"
        self.ids = {name: self.ask(name, "auth.test")["user_id"] for name in (BOT, ADA, BOB, EVE)}
        front.us = self.ids[BOT]
        channels = self.ask(ADA, "conversations.list")["channels"]
        self.channel = next(each["id"] for each in channels if each["name"] == "work")

    def ask(self, who: str, method: str, **arguments: Any) -> dict[str, Any]:
        body = json.dumps(arguments)
        told = json.loads(send(self.api + method, body, {"Authorization": f"Bearer xox-{who}"}).body)
        assert told["ok"], (method, told)
        return dict(told)

    def says(self, who: str, text: str, thread: str | None = None) -> str:
        """Somebody mentions the agent; returns the message's ts."""
        told = self.ask(who, "chat.postMessage", channel=self.channel, text=f"<@{self.ids[BOT]}> {text}", **({"thread_ts": thread} if thread else {}))
        return str(told["ts"])

    def thread(self, ts: str) -> list[dict[str, Any]]:
        """What the agent has in a thread."""
        replies = self.ask(ADA, "conversations.replies", channel=self.channel, ts=ts)["messages"]
        return [message for message in replies if message.get("user") == self.ids[BOT]]

    def press(self, who: str, message: Mapping[str, Any], label: str, **more: Any) -> Sent:
        """A button of a message, as Slack tells of it."""
        buttons = [button for block in message["blocks"] if block["type"] == "actions" for button in block["elements"]]
        found = [button for button in buttons if label in button["text"]["text"]]
        assert found, message["blocks"]
        user = {"id": self.ids[who], "team_id": TEAM}
        action = {"type": "button", "block_id": "b", "action_ts": str(time.time()), **{name: found[0][name] for name in ("action_id", "value")}}
        payload = {"type": "block_actions", "team": {"id": TEAM}, "user": user, "channel": {"id": self.channel}, "message": dict(message)}
        return self.front.interaction({**payload, "actions": [action], "trigger_id": self.trigger(who), "api_app_id": "A1"}, **more)

    def trigger(self, who: str) -> str:
        return str(self.ask(BOT, "views.generateTriggerId", user_id=self.ids[who])["trigger_id"])


@contextmanager
def running() -> Iterator[SlackHub]:
    """A server that ends with the block."""
    path = program().parent / "with-events.mjs"
    text = (program().parent / "api.js").read_text()
    assert text.count(_MADE) == 1, "the emulator's program is another"
    if not path.is_file():
        fresh = path.with_suffix(f".{os.getpid()}.mjs")
        fresh.write_text(text.replace(_MADE, f"{_MADE} {_HOOK}") + _START)
        fresh.rename(path)
    seed = {"slack": {
        "users": [{"name": name} for name in (BOT, ADA, BOB, EVE)], "channels": [{"name": "work"}],
        "tokens": [{"token": f"xox-{name}", "user": name} for name in (BOT, ADA, BOB, EVE)],
    }}  # fmt: skip
    front, port = Front(), free_port()
    environment = {**os.environ, "FRONT": front.url, "PORT": str(port), "SEED": json.dumps(seed)}
    with tempfile.TemporaryFile() as log, subprocess.Popen(["node", str(path)], stdout=log, stderr=log, env=environment) as process:
        try:
            _wait(port, process)
            yield SlackHub(port, front)
        finally:
            process.kill()
            front.close()


__all__ = ["ADA", "BOB", "BOT", "EVE", "SECRET", "Front", "SlackHub", "running", "signed"]

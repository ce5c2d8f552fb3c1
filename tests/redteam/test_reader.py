"""Whoever reads what others wrote: in a terminal, a shell that a line is copied to, a chat, a page."""

from __future__ import annotations

import json
import shlex
import subprocess
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from agent import messages, screen
from agent.chats.posts import Button, Post
from agent.chats.slack_blocks import blocks_of, plain_of
from agent.domain.gap import Gap
from agent.domain.invocation import InvocationResult, Receipt
from agent.domain.request import RequestDraft
from tests.browsing import Browser
from tests.builders import a_gap, a_manifest, a_request, an_entry
from tests.gateways import a_house
from tests.redteam.threats import threat

TURNS = "\u202e\u202d\u2066\u2067\u2068\u2069\u202a\u202b\u202c"
MARKUP = (
    "<script src=//evil.example/x></script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)> [x](javascript:alert(1)) {{ 7*7 }}\r\rdata: <iframe>"
)
CONTROLS = "\x1b]52;c;cGFzdGU=\x07\x9b2J\x9d8;;https://evil.example\x9c\x1b]8;;https://evil.example\x07here"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    file = StringIO()
    for name in ("out", "err"):
        monkeypatch.setattr(screen, name, Console(file=file, width=200, highlight=False))
    return file


@threat(116)
def test_a_command_that_we_show_to_be_copied_runs_nothing_of_a_strangers(shown: StringIO, tmp_path: Path) -> None:
    """A model took the call from the words of a request; an example is its author's."""
    trap, text = tmp_path / "trap", f"it's; touch {tmp_path}/trap; $(touch {tmp_path}/trap) `touch {tmp_path}/trap` \\' \n'"
    inputs = {"text": text}
    covered = {"verdict": "covered", "skill": "word-count", "call": inputs, "contract": None, "base_version": None}
    gap = Gap.model_validate({**a_gap().model_dump(), **covered})
    comment = messages.gap_comment(gap, a_request())
    screen.skill_of(an_entry(), a_manifest(examples=[{"inputs": inputs, "outputs": {"words": 1}}]), ())
    for line in (comment.partition("```\n")[2].partition("\n```")[0], shown.getvalue().partition("call it    ")[2].partition("\ninputs\n")[0]):
        assert line.startswith("skillops invoke word-count --input ")
        ran = subprocess.run(["sh", "-c", f'skillops() {{ printf %s "$4"; }}; {line}'], capture_output=True, text=True, timeout=30, check=False)
        assert json.loads(ran.stdout) == inputs and not trap.exists(), (line, ran.stderr, shlex.split(line))


class Seen(HTMLParser):
    """The elements of a page, and what would run or be fetched of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.odd: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        ours = tag not in ("img", "iframe", "object", "embed", "base") and (tag != "script" or told["src"].startswith("/static/"))
        self.odd += [] if ours else [tag]
        self.odd += [f"{name}={value}" for name, value in told.items() if name.startswith("on") or value.startswith("javascript:")]


@threat(117)
@pytest.mark.anyio
async def test_what_others_wrote_is_read_in_its_order_and_does_nothing(tmp_path: Path, shown: StringIO) -> None:
    hostile = f"{MARKUP} {CONTROLS} {TURNS} end"
    screen.result_of(InvocationResult(outputs={hostile: [hostile]}, receipt=Receipt(skill="a", version="1.0.0", digest="sha256:0")))
    screen.say(hostile)
    told = shown.getvalue()
    assert not {char for char in told if (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160 or char in TURNS}
    button = Button(label=f"{TURNS}approve", action="approve", about={})
    slack = Post(text=f"<!channel> <@U1> <http://evil.example|ours> @here {hostile}", buttons=(button,))
    posted = json.dumps(blocks_of(slack, "https://ours.example"), ensure_ascii=False) + plain_of(slack)
    assert not {char for char in posted if char in TURNS} and not [call for call in ("<!", "<@", "<http", "@here") if call in posted]

    words = MARKUP + TURNS + " end"
    async with a_house(tmp_path) as house:
        forge = house.place.parts.forge
        forge.open_request(RequestDraft(key="1", title=words[:200], text=words, requester="mallory", source="gateway"))
        browser = await Browser(house).signed_in()
        sought = "%22%3E%3Cimg%20src%3Dx%20onerror%3Dx%3E"
        for path in ("/requests", "/requests/1", "/attention", f"/skills?q={sought}", f"/ledger?q={sought}"):
            answer = await browser.open(path)
            assert answer.status_code == 200 and Seen(answer.text).odd == [] and not {char for char in answer.text if char in TURNS}, path
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            twin = await browser.open(path, accept="application/json")
            assert (twin.headers["content-type"], twin.headers["x-content-type-options"]) == ("application/json", "nosniff")
        assert "&lt;script src=//evil.example/x&gt;" in (await browser.open("/requests/1")).text

"""The pages: how soon and how large the first one is, and what 200 who look on cost the gateway.

The viewers look at what needs attention, over a connection each, while the ledger gets an entry a second and a proposal waits; so each of
them is sent the page anew every second. Their own process is another, and is not counted.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from agent.domain.event import Event
from agent.ledger import SqliteLedger
from tests.benchmarks.row import Row
from tests.benchmarks.serving import Gateway, a_gateway, a_skill
from tests.browsing import ACCEPTS

MILLISECONDS, KIBIBYTES, SHARE = 200.0, 100.0, 10.0
ROUNDS, VIEWERS, SECONDS = 20, 200, 20.0


def measure(rounds: int = ROUNDS, viewers: int = VIEWERS, seconds: float = SECONDS) -> list[Row]:
    """Three rows: the first page's time and its size, and the share of a core that the viewers take."""
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder, a_skill() as skill, a_gateway(Path(folder) / "place", skill) as gateway:
        with httpx.Client(base_url=gateway.url, headers=ACCEPTS, timeout=60) as client:
            _signed_in(client, gateway)
            client.post("/requests", json={"text": "Count the letters of a text"}, headers=gateway.headers).raise_for_status()
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            taken = [_page(client) for _ in range(rounds)]
            size, made = taken[-1][1], statistics.median(seconds for seconds, _ in taken)
        ledger = SqliteLedger(Path(folder) / "place/skills.git/skillops/ledger.sqlite")
        share, sent = asyncio.run(_looked_on(gateway, cookie, ledger, viewers, seconds))
    told = {"pages sent a viewer": {"in all": sent / viewers}}
    return [
        Row("first page", made * 1000, "ms", MILLISECONDS, "ours"),
        Row("first page, with all that it refers to", size / 2**10, "KiB", KIBIBYTES, "ours"),
        Row(f"{viewers} live viewers", share * 100, "% of a core", SHARE, "ours", parts=told),
    ]


def _signed_in(client: httpx.Client, gateway: Gateway) -> None:
    origin = {"origin": gateway.url, "content-type": "application/x-www-form-urlencoded"}
    answer = client.post("/sign-in", data={"key": gateway.key, "to": "/attention"}, headers=origin)
    assert answer.status_code == 303, answer.text


def _page(client: httpx.Client) -> tuple[float, int]:
    """Seconds of the page itself, and the bytes of its body and of what it refers to, as they are sent."""
    started = time.perf_counter()
    page = client.get("/attention")
    seconds = time.perf_counter() - started
    assert page.status_code == 200 and "Count the letters" in page.text, page.text
    files = [client.get(f"/static/{part.split(chr(34))[0]}") for part in page.text.split('="/static/')[1:]]
    return seconds, len(page.content) + sum(int(file.headers["content-length"]) for file in files)


async def _looked_on(gateway: Gateway, cookie: str, ledger: SqliteLedger, viewers: int, seconds: float) -> tuple[float, int]:
    """The share of a core that the gateway took, and how many pages were sent."""
    place, counts = urlsplit(gateway.url), [0]
    head = f"GET /live/attention HTTP/1.1\r\nHost: {place.netloc}\r\nAccept: text/event-stream\r\nCookie: {cookie}\r\n\r\n"
    tasks = [asyncio.create_task(_look(place.hostname or "", place.port or 0, head.encode(), counts)) for _ in range(viewers)]
    while counts[0] < viewers:  # until each was sent its first
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    before, cpu, started = counts[0], _cpu(gateway.pid), time.monotonic()
    number = 0
    while time.monotonic() - started < seconds:
        number += 1
        ledger.record(Event(stage="people", what="held", actor="ada", request=1, note=f"look {number}"))
        await asyncio.sleep(1.0)
    share, sent = (_cpu(gateway.pid) - cpu) / (time.monotonic() - started), counts[0] - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sent > viewers, "nobody was sent what changed"
    return share, sent


async def _look(host: str, port: int, head: bytes, counts: list[int]) -> None:
    """One who looks: counts the messages that come."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(head)
        status = await reader.readline()
        assert b" 200 " in status, status
        while data := await reader.read(65536):
            counts[0] += data.count(b"\n\n")
    finally:
        writer.close()


def _cpu(pid: int) -> float:
    """Seconds of processor that a process has taken (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""`python3 -m agent.relay` in the relay's container, on two networks: the world's, at which callers come in, and the closed one, at
RELAY_ADDRESS, where skills ask to be let out. RELAY_TOKEN is what callers know.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket

from agent.egress.proxy import Verdict
from agent.relay.inward import Caller
from agent.relay.lending import Lent
from agent.relay.naming import Names
from agent.relay.outward import Outward
from agent.relay.table import Table

PORT, NAMES = 8080, 53


async def main(address: str, token: str, worldly: str) -> None:
    """Serves until SIGTERM. The way in is open at `worldly` alone: from the closed network nobody reaches it."""
    loop, ended, table, lent = asyncio.get_running_loop(), asyncio.Event(), Table(), Lent()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    outward, tasks = Outward(table, address, record, lent), set[asyncio.Task[None]]()

    def told() -> None:
        task = loop.create_task(outward.follow())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await loop.create_datagram_endpoint(lambda: Names(table, address, record), local_addr=(address, NAMES))
    server = await loop.create_server(lambda: Caller(table, token, told, lent), worldly, PORT, backlog=1024)
    async with server:
        await ended.wait()


def record(verdict: Verdict) -> None:
    """One line of the container's log for each connection, and for each name that was refused."""
    print(json.dumps({"egress": verdict.line()}), flush=True)


def worldly_address() -> str:
    """Our own address on the network that leads out. Nothing is sent (RFC 5737 keeps the address for documentation)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        outward.connect(("192.0.2.1", 9))
        return str(outward.getsockname()[0])


if __name__ == "__main__":
    asyncio.run(main(os.environ["RELAY_ADDRESS"], os.environ["RELAY_TOKEN"], worldly_address()))

"""The stand-ins of a trial in Docker: they answer here, on connections that the relay is lent (`agent/relay/lending.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from agent.domain.release import Endpoint
from agent.domain.stand_in import StandIns
from agent.egress.hosting import Egress
from agent.egress.proxy import connected
from agent.egress.splicing import Traffic, drop, splice
from agent.relay.lending import GIVEN, key_of
from agent.stand_ins import Stage
from agent.supervisor_client import short_folder

READY = 4  # connections that wait at the relay for each host: as many begin at once without waiting for another to be dialled
PAUSE = 0.2  # seconds between two attempts to reach a relay
IDLE = 300.0  # seconds without a byte after which a connection ends
log = logging.getLogger("agent.supervisor")
Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class LentStage:
    """Open from when it is made until `close`. `certificates` (PEM) is what the skill has to trust; empty without TLS. `plain`: as in Stage.

    Raises OSError where its sockets cannot be had.
    """

    def __init__(self, stand_ins: StandIns, plain: Collection[tuple[str, int]] = ()) -> None:
        self.places = tuple(one.host for one in stand_ins.hosts)
        self._folder = tempfile.TemporaryDirectory(prefix="skillops-", dir=short_folder(), ignore_cleanup_errors=True)
        self._stage = Stage(stand_ins.hosts, Path(self._folder.name), plain)
        self._thread = Egress(lambda verdict: None)  # its loop alone: the relay is the proxy
        self._lending: list[Future[None]] = []  # asyncio holds its tasks weakly
        self.certificates, self._closed = self._stage.certificates, False
        try:
            self._thread.do(self._stage.open())
        except OSError:
            self.close()
            raise

    def lend(self, relay: Endpoint, address: str) -> None:
        """From now on the skill at `address` of the closed network finds the stand-ins, as soon as the relay's table names them."""
        for place, target in zip(self.places, self._stage.targets.values(), strict=True):
            for _ in range(READY):
                self._lending.append(self._thread.begin(lend(relay, key_of(address, place), partial(connected, target))))

    def close(self) -> None:
        """Ends the stand-ins with all their connections. Closing twice does no harm."""
        if not self._closed:
            self._closed = True
            self._thread.do(self._stage.close())
            self._thread.stop()
            self._folder.cleanup()


async def lend(relay: Endpoint, key: str, dial: Dial) -> None:
    """Waits at the relay, leads who comes to what `dial` gives, and waits again, until it is cancelled."""
    serving = set[asyncio.Task[None]]()
    while True:
        try:
            reader, writer = await _waited(relay, key)
        except (OSError, EOFError, ValueError) as error:
            log.debug("no connection could be lent for %s: %s", key, error)
            await asyncio.sleep(PAUSE)
            continue
        task = asyncio.get_running_loop().create_task(_serve(reader, writer, dial))
        serving.add(task)
        task.add_done_callback(serving.discard)


async def _waited(relay: Endpoint, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that a skill was put through on. Raises OSError, EOFError, or ValueError where the relay answers something else."""
    url = urlsplit(relay.url)
    reader, writer = await connected(relay.socket or (url.hostname or "", url.port or 80))
    with contextlib.ExitStack() as undo:
        undo.callback(drop, writer)
        writer.write(f"POST /lend/{key} HTTP/1.1\r\nhost: {relay.host}\r\n\r\n".encode())
        said = await reader.readuntil(b"\r\n\r\n")
        if said != GIVEN:
            raise ValueError(said[:100])
        undo.pop_all()
    return reader, writer


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dial: Dial) -> None:
    with contextlib.suppress(OSError):
        near_reader, near_writer = await dial()
        try:
            await splice(near_reader, near_writer, reader, writer, IDLE, Traffic())
        finally:
            drop(near_writer)
    drop(writer)

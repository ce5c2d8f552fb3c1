"""The broker of a container's secrets: it works here, on connections that the relay is lent (`agent/relay/lending.py`), so that no key
is ever on the engine's machine. Its requests leave from this machine.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from agent.broker.keys import Brokers, Key
from agent.domain.release import Endpoint
from agent.egress.hosting import Egress
from agent.egress.proxy import Door, connected
from agent.egress.rules import Rule
from agent.egress.splicing import drop
from agent.errors import SkillOpsError
from agent.relay.lending import key_of
from agent.runtimes.docker_stand_ins import READY, lend
from agent.supervisor_client import short_folder


class LentBroker:
    """The door of one container to the hosts that `keys` are for; `egress` is shared by all. Raises OSError, CouldNotTell.

    In place of the stand-ins that a trial has.
    """

    certificates = b""

    def __init__(self, egress: Egress, brokers: Brokers, skill: str, keys: Sequence[Key]) -> None:
        self.places = tuple(sorted({key.host for key in keys}))
        self._egress = egress
        self._folder = tempfile.TemporaryDirectory(prefix="skillops-", dir=short_folder(), ignore_cleanup_errors=True)
        self._path, self._lending = Path(self._folder.name) / "door", list[Future[None]]()
        self._door: Door | None = None
        try:
            self._door = egress.open(skill, [Rule.parse(place) for place in self.places], self._path, brokers.carriers(skill, keys))
        except (SkillOpsError, OSError):
            self.close()
            raise

    def lend(self, relay: Endpoint, address: str) -> None:
        """From now on the container at `address` of the closed network is led here."""
        for place in self.places:
            for _ in range(READY):
                self._lending.append(self._egress.begin(lend(relay, key_of(address, place), partial(self._entered, place))))

    def close(self) -> None:
        """Ends it with all its connections. Closing twice does no harm."""
        for lending in self._lending:
            lending.cancel()
        if self._door:
            self._egress.close(self._door)
        self._folder.cleanup()

    async def _entered(self, place: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection through the door. Raises OSError where it does not let us through; it has told why in the log."""
        reader, writer = await connected(str(self._path))
        writer.write(f"{place.replace(':', ' ')}\n".encode())
        if await reader.readline() != b"ok\n":
            drop(writer)
            raise ConnectionRefusedError
        return reader, writer

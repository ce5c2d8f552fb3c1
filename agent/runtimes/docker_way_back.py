"""The way back of a container: it works here, on connections that the relay is lent (`agent/relay/lending.py`), so that the closed network
needs no way to whoever calls skills."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Protocol

from agent.domain.release import Endpoint
from agent.egress.hosting import Egress
from agent.egress.proxy import connected
from agent.relay.lending import key_of
from agent.runtimes.docker_stand_ins import READY, lend
from agent.runtimes.way_back import WayBack
from agent.runtimes.ways import RULE
from agent.supervisor_client import short_folder


class Lent(Protocol):
    """What is lent to the relay for one container: the stand-ins of a trial, the broker, the way back, or several of them."""

    @property
    def places(self) -> Sequence[str]: ...
    @property
    def certificates(self) -> bytes: ...
    def lend(self, relay: Endpoint, address: str) -> None: ...
    def close(self) -> None: ...


class LentWayBack:
    """That of the skill's one container; `egress` is shared by all. Raises OSError."""

    places, certificates = (str(RULE),), b""

    def __init__(self, egress: Egress, skill: str, state: Path) -> None:
        self._egress, self._lending = egress, list[Future[None]]()
        self._folder = tempfile.TemporaryDirectory(prefix="skillops-", dir=short_folder(), ignore_cleanup_errors=True)
        try:
            self._back = WayBack(egress, skill, state, Path(self._folder.name) / "back")
        except OSError:
            self._folder.cleanup()
            raise

    def lend(self, relay: Endpoint, address: str) -> None:
        """From now on the container at `address` of the closed network is led here."""
        for _ in range(READY):
            waiting = lend(relay, key_of(address, str(RULE)), partial(connected, str(self._back.path)))
            self._lending.append(self._egress.begin(waiting))

    def close(self) -> None:
        """Closing twice does no harm."""
        for lending in self._lending:
            lending.cancel()
        self._back.close()
        self._folder.cleanup()


class LentTogether:
    """Several as one."""

    def __init__(self, lent: Sequence[Lent]) -> None:
        self._lent = tuple(lent)

    @property
    def places(self) -> Sequence[str]:
        return [place for each in self._lent for place in each.places]

    @property
    def certificates(self) -> bytes:
        return b"".join(each.certificates for each in self._lent)

    def lend(self, relay: Endpoint, address: str) -> None:
        for each in self._lent:
            each.lend(relay, address)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            for each in self._lent:
                stack.callback(each.close)

"""What the relay decided about connections to the world, from its log into the supervisor's."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.docker_engine import faults
from agent.egress.proxy import Verdict
from agent.errors import CouldNotTell

if TYPE_CHECKING:
    from docker.models.containers import Container


def follow(container: Container, record: Callable[[Verdict], None]) -> None:
    """Records what the relay says from now on, in a thread that ends with the relay."""
    threading.Thread(target=_follow, args=(container, record, int(time.time())), daemon=True, name="verdicts").start()


def _follow(container: Container, record: Callable[[Verdict], None], since: int) -> None:
    rest = b""
    # What urllib3 makes of a stream that is cut is a ValueError or an AttributeError of its own.
    with contextlib.suppress(CouldNotTell, ValueError, AttributeError), faults("follow the relay's log"):
        for piece in container.logs(stream=True, follow=True, since=since):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if verdict := parse(line):
                    record(verdict)


def parse(line: bytes) -> Verdict | None:
    """The verdict in a line of the relay's log; None where it says something else."""
    try:
        told = json.loads(line)["egress"]
        return Verdict(**{key: value for key, value in told.items() if key != "time"})
    except (ValueError, KeyError, TypeError):
        return None

"""Ports on loopback for servers that cannot be handed a socket: programs that are told a number, and bind it some time later."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from functools import cache

# Below those that the kernel gives to whoever asks for any (32768 and more: ip_local_port_range), so that nobody is given one meanwhile; of these,
# each worker of the tests has its own.
FIRST, LAST = 12_000, 32_000
WORKERS = 64


def free_port() -> int:
    """One at which nobody listens, and that nobody else in this run of the tests is told."""
    for port in _own():
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            continue
    raise AssertionError("there is no end of them")


@cache
def _own() -> Iterator[int]:
    """This process's, round and round, from somewhere among them."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    ports = range(FIRST + worker, LAST, WORKERS)
    return itertools.islice(itertools.cycle(ports), random.randrange(len(ports)), None)

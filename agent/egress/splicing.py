"""Two connections as one: both directions, with back-pressure, until both have ended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

PIECE = 65536  # bytes that are read at once
LAST_WORDS = 5.0  # seconds that the end of a connection may take to be heard


@dataclass
class Traffic:
    """Bytes, and when the last of them came."""

    sent: int = 0
    received: int = 0
    last: float = field(default_factory=time.monotonic)


async def splice(
    near_reader: asyncio.StreamReader,
    near_writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
    idle: float,
    traffic: Traffic,
) -> str:
    """Both directions, until both have ended, one breaks, or nothing came from either for `idle` seconds; why, where it was cut short."""
    up = asyncio.create_task(_pour(near_reader, far_writer, traffic, "sent"))
    down = asyncio.create_task(_pour(far_reader, near_writer, traffic, "received"))
    both = {up, down}
    try:
        while True:
            left = traffic.last + idle - time.monotonic()
            if left <= 0:
                return f"nothing came for {idle:g} s"
            done, waiting = await asyncio.wait(both, timeout=left, return_when=asyncio.FIRST_EXCEPTION)
            if broken := next((task.exception() for task in done if task.exception()), None):
                return f"it broke: {broken}"
            if not waiting:
                return ""
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: Traffic, counter: str) -> None:
    """To the end, no faster than the other side takes it; then the end is passed on."""
    while piece := await reader.read(PIECE):
        traffic.last = time.monotonic()
        setattr(traffic, counter, getattr(traffic, counter) + len(piece))
        writer.write(piece)
        await writer.drain()
        traffic.last = time.monotonic()
    if writer.can_write_eof():
        writer.write_eof()


def drop(writer: asyncio.StreamWriter) -> None:
    """Closes; what is still unsent goes first, where the other side takes it soon."""
    writer.close()
    asyncio.get_running_loop().call_later(LAST_WORDS, writer.transport.abort)

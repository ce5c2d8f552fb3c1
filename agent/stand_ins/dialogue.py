"""A scripted server of lines over TCP, such as IMAP, POP3 or SMTP speak them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agent.domain.stand_in import LONGEST_LINE, Step

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_of(steps: Sequence[Step]) -> Serve:
    """What serves one connection; a line that no step expects ends it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _talk(steps, reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass  # the skill has gone, or says what is no line
        finally:
            writer.close()

    return serve


async def _talk(steps: Sequence[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if steps[0].expect is None:
        writer.write(_lines(steps[0].send))
    answered: dict[str, int] = {}
    while line := await reader.readline():
        said = line.decode(errors="replace").rstrip("\r\n")
        turn = chosen(steps, said, answered) if len(line) <= LONGEST_LINE else None
        if turn is None:
            return
        step, names = turn
        writer.write(_lines(step.answer(names)))
        await writer.drain()
        if step.close:
            return


def chosen(steps: Sequence[Step], line: str, answered: dict[str, int]) -> tuple[Step, dict[str, str]] | None:
    """The step that answers, with its names; `answered` counts for this connection how often each expectation was met."""
    for step in steps:
        names = step.match(line)
        if names is None or step.expect is None:
            continue
        alike = [one for one in steps if one.expect == step.expect]
        number = answered.get(step.expect, 0)
        answered[step.expect] = number + 1
        return alike[min(number, len(alike) - 1)], names
    return None


def _lines(text: str) -> bytes:
    """As the protocols of the internet part lines: CR LF."""
    return "".join(f"{line}\r\n" for line in text.splitlines()).encode()

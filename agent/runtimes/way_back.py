"""The way back: how a running skill reaches those that it requires, at $SKILL_GATEWAY, and nothing else there.

The name leads, as a host does, through the skill's own way out to a socket outside that is this very instance's. Here a request is read
whole, held against the gateway's limits, and handed to the process that called the skill (`agent/switchboard.py`), with the word of
whose instance it came from. Which process that is stands in the ticket; whether it is worth anything is for that process to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import h11

from agent.depth import DEEPEST, too_deep
from agent.domain.invocation import MAX_BODY
from agent.egress.hosting import Egress
from agent.egress.proxy import Target
from agent.egress.splicing import drop
from agent.runtimes.ways import RULE
from agent.switchboard import SKILL, TICKET, place_of, refused

HEAD_SECONDS, BODY_SECONDS = 10.0, 30.0  # in which each must have arrived
LONGEST_HEAD, BITE = 2**14, 2**16  # bytes
AT_ONCE = 64  # requests of one instance
LINGER = 2.0  # seconds for a skill to stop sending what was refused
_HINT = re.compile(rb'"call"\s*:\s*"(%b)"' % TICKET.pattern.replace("(", "(?:").encode())


class WayBack:
    """Open from when it is made until `close`, at the socket `path`. Raises OSError."""

    def __init__(self, egress: Egress, skill: str, state: Path, path: Path) -> None:
        self._egress, self._skill, self._state, self.path = egress, skill, state, path
        self._under_way, self._closed = 0, False
        path.unlink(missing_ok=True)
        self._server = egress.do(asyncio.start_unix_server(self._serve, str(path), limit=BITE, backlog=128))

    @property
    def pinned(self) -> dict[tuple[str, int], Target]:
        """As `Proxy.open` takes it."""
        return {(RULE.host, RULE.port): str(self.path)}

    def close(self) -> None:
        """Nobody gets in any more; what is under way ends with the skill's connections. Closing twice does no harm."""
        if not self._closed:
            self._closed = True
            self._egress.do(self._ended())

    async def _ended(self) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._under_way += 1
        try:
            if self._under_way > AT_ONCE:
                return
            try:
                await self._carried(*await _asked(reader, writer), writer)
            except Unfit as unfit:
                writer.write(_reply(unfit.status, refused(unfit.code, unfit.why)))
                writer.write_eof()
                with contextlib.suppress(TimeoutError):  # what is closed with bytes unread is reset, and the answer with it
                    async with asyncio.timeout(LINGER):
                        while await reader.read(BITE):
                            pass
        except (OSError, EOFError, TimeoutError, h11.RemoteProtocolError):
            pass  # the skill has gone, or says what is no HTTP
        finally:
            self._under_way -= 1
            drop(writer)

    async def _carried(self, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        hint = _HINT.search(body)
        place = place_of(self._state, hint[1].decode()) if hint else None
        if place is None:
            raise Unfit(403, "no-call", "the body has no context of a call that is under way: pass on the one that the skill was called with")
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(place, limit=BITE)
        except OSError:
            raise Unfit(403, "no-call", "whoever called the skill has gone") from None
        try:
            head = f"POST {target} HTTP/1.1\r\nHost: skill\r\n{SKILL}: {self._skill}\r\nContent-Length: {len(body)}\r\n\r\n"
            far_writer.write(head.encode() + body)
            await far_writer.drain()
            while piece := await far_reader.read(BITE):
                writer.write(piece)
                await writer.drain()
        finally:
            drop(far_writer)


class Unfit(Exception):
    """What is not passed on: with a status, and with the code and the message that the skill is told."""

    def __init__(self, status: int, code: str, why: str) -> None:
        super().__init__(why)
        self.status, self.code, self.why = status, code, why


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
    """The target and the whole body of a POST. Raises Unfit, RemoteProtocolError, EOFError, TimeoutError."""
    http, body = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD), bytearray()
    async with asyncio.timeout(HEAD_SECONDS):
        request = await _event(http, reader, writer)
    if not isinstance(request, h11.Request):
        raise EOFError
    if request.method != b"POST":
        raise Unfit(405, "not-found", "there is POST /skills/NAME/execute, and nothing else")
    async with asyncio.timeout(BODY_SECONDS):
        while isinstance(event := await _event(http, reader, writer), h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise Unfit(413, "too-large", f"the body may have {MAX_BODY} bytes")
    if not isinstance(event, h11.EndOfMessage):
        raise EOFError
    if too_deep(bytes(body)):
        raise Unfit(400, "invalid-request", f"the body is nested deeper than {DEEPEST} levels")
    return request.target.decode("ascii", "replace"), bytes(body)


async def _event(http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        if http.they_are_waiting_for_100_continue and (go := http.send(h11.InformationalResponse(status_code=100, headers=[]))):
            writer.write(go)
        http.receive_data(await reader.read(BITE))
    return event


def _reply(status: int, body: bytes) -> bytes:
    reply: Sequence[str] = (
        f"HTTP/1.1 {status} {'Forbidden' if status == 403 else 'Refused'}", "Content-Type: application/json", f"Content-Length: {len(body)}",
        "Connection: close",
    )  # fmt: skip
    return "\r\n".join(reply).encode() + b"\r\n\r\n" + body

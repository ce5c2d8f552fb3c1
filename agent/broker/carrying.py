"""One brokered connection: plain HTTP/1.1 on the skill's side, TLS on the host's, one exchange after the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import h11

from agent.broker.heads import Unfit, homeward, outward
from agent.broker.striking import Strike, echoes
from agent.egress.splicing import Traffic
from agent.errors import SkillOpsError

LONGEST_HEAD, BITE = 32768, 16384  # bytes of a head, give or take what is read at once
HANDSHAKE = 10.0  # seconds
LINGER = 2.0  # seconds that a skill which was refused may take to hear of it
Event = Any  # h11 has no name for them together


class Broker:
    """A `Carrier` to one host. `values` gives what each placeholder stands for, now; `trust` is whom its certificate has to be from."""

    def __init__(self, host: str, port: int, values: Callable[[], Mapping[str, str]], trust: ssl.SSLContext) -> None:
        self.host, self.port, self.values, self.trust = host, port, values, trust

    async def __call__(self, near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter, far_reader: asyncio.StreamReader,
                       far_writer: asyncio.StreamWriter, idle: float, traffic: Traffic) -> str:  # fmt: skip
        """As `splice`."""
        near = Side(h11.SERVER, near_reader, near_writer, traffic, "sent")
        far = Side(h11.CLIENT, far_reader, far_writer, traffic, "received")
        talk = asyncio.create_task(self._talk(near, far))
        try:
            while not talk.done():
                left = traffic.last + idle - time.monotonic()
                if left <= 0:
                    return f"nothing came for {idle:g} s"
                await asyncio.wait({talk}, timeout=left)
            return talk.result()
        except (OSError, EOFError) as error:
            return f"it broke: {type(error).__name__}"  # what the error says may quote a head
        finally:
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)

    async def _talk(self, near: Side, far: Side) -> str:
        """Exchanges, until one of the two has closed; why, where something was not carried."""
        try:
            while request := await self._request(near, far):
                if not far.encrypted:
                    await self._encrypt(far)
                values = await asyncio.to_thread(self._values)
                sent, packed = outward(request, self.host, self.port, values)
                await far.send(sent)
                strike = Strike({**echoes(values), **packed})
                await _both(_up(near, far), self._down(near, far, request.method, strike))
                if not (near.again() and far.again()):
                    break
            return ""
        except Unfit as unfit:
            await near.refuse(unfit)
            return unfit.why
        except h11.RemoteProtocolError as error:
            wrong = Unfit(502, "what the host says is no HTTP/1.1 that can be carried")
            if near.http.their_state is h11.ERROR:
                wrong = Unfit(error.error_status_hint, "what the skill says is no HTTP/1.1 that can be carried, which here is without TLS")
            await near.refuse(wrong)
            return wrong.why

    async def _request(self, near: Side, far: Side) -> h11.Request | None:
        """The next; None where the skill has closed, or the host has while nothing was asked of it."""
        asking = asyncio.create_task(near.event())
        ending = asyncio.create_task(far.reader.read(1)) if far.encrypted else asyncio.create_task(asyncio.Event().wait())
        try:
            await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
            event = asking.result() if asking.done() and not ending.done() else None
        finally:
            for task in (asking, ending):
                task.cancel()
            await asyncio.gather(asking, ending, return_exceptions=True)
        return event if isinstance(event, h11.Request) else None

    async def _encrypt(self, far: Side) -> None:
        try:
            await far.writer.start_tls(self.trust, server_hostname=self.host, ssl_handshake_timeout=HANDSHAKE)
        except ssl.SSLCertVerificationError as error:
            raise Unfit(502, f"the host's certificate is not to be trusted: {error.verify_message}") from None
        except (OSError, EOFError):
            raise Unfit(502, "TLS with the host could not be agreed on") from None
        far.encrypted = True

    def _values(self) -> Mapping[str, str]:
        try:
            return self.values()
        except SkillOpsError as error:
            raise Unfit(502, f"the key is not to be had: {error.fault}") from None

    async def _down(self, near: Side, far: Side, method: bytes, strike: Strike) -> None:
        while isinstance(answer := await far.event(), h11.InformationalResponse):
            pass
        if not isinstance(answer, h11.Response):
            raise Unfit(502, "the host closed the connection without an answer")
        await near.send(homeward(answer, method, self.host, self.port, strike))
        while isinstance(event := await far.event(), h11.Data):
            if told := strike(bytes(event.data)):
                await near.send(h11.Data(data=told))
        if rest := strike(b"", last=True):
            await near.send(h11.Data(data=rest))
        await near.send(h11.EndOfMessage())


class Side:
    """One side of it; `counter` is that of `traffic` for what comes from there."""

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER], reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 traffic: Traffic, counter: str) -> None:  # fmt: skip
        self.http = h11.Connection(role, max_incomplete_event_size=LONGEST_HEAD)
        self.reader, self.writer, self.encrypted = reader, writer, False
        self._traffic, self._counter = traffic, counter

    async def event(self) -> Event:
        """What comes next. Raises RemoteProtocolError, OSError."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            piece = await self.reader.read(BITE)
            self._traffic.last = time.monotonic()
            setattr(self._traffic, self._counter, getattr(self._traffic, self._counter) + len(piece))
            self.http.receive_data(piece)
        return event

    async def send(self, event: Event) -> None:
        """No faster than the other side takes it."""
        if data := self.http.send(event):
            self.writer.write(data)
            await self.writer.drain()
            self._traffic.last = time.monotonic()

    async def refuse(self, unfit: Unfit) -> None:
        """Answers in the host's place, where no answer was begun, and has the connection end."""
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": f"skillops: {unfit.why}"}).encode()
            headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
            for event in (h11.Response(status_code=unfit.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                await self.send(event)
            self.writer.write_eof()
            with contextlib.suppress(TimeoutError):  # what is closed with bytes unread is reset, and the answer with it
                async with asyncio.timeout(LINGER):
                    while await self.reader.read(BITE):
                        pass
        else:
            self.writer.transport.abort()  # the skill has to see that the answer is not whole

    def again(self) -> bool:
        """Whether another exchange can follow."""
        if {self.http.our_state, self.http.their_state} != {h11.DONE}:
            return False
        self.http.start_next_cycle()
        return True


async def _up(near: Side, far: Side) -> None:
    while isinstance(event := await near.event(), h11.Data):
        await far.send(h11.Data(data=bytes(event.data)))
    if not isinstance(event, h11.EndOfMessage):
        raise ConnectionResetError
    await far.send(h11.EndOfMessage())


async def _both(*works: Coroutine[Any, Any, None]) -> None:
    """Side by side; the first that fails ends the other."""
    tasks: set[asyncio.Task[None]] = {asyncio.create_task(work) for work in works}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

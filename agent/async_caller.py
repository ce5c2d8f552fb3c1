"""The async driver of invoking: calls of one running skill over kept connections, bounded in time and in bytes.

As in the sync driver (`agent/caller.py`), what a skill does wrong is a value, and the codes of NoAnswer are the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp

from agent.caller import NoAnswer
from agent.domain.invocation import MAX_BODY, Invocation, Reply
from agent.domain.release import Endpoint

IDLE = 15.0  # seconds that a connection is kept: well below the 75 that a skill's server keeps one
_HEADERS = {"Content-Type": "application/json"}


class AsyncCaller:
    """Calls the skill at `endpoint`, over at most `connections` at once. Made and used in one event loop."""

    def __init__(self, endpoint: Endpoint, connections: int = 100) -> None:
        self._place, self._url = endpoint.socket or endpoint.url, f"{endpoint.url.rstrip('/')}/execute"
        self._session = aiohttp.ClientSession(
            connector=_connector(endpoint, connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        self._calls, self._retired = 0, False

    async def execute(self, invocation: Invocation, *, repeatable: bool = False, again: Callable[[], Awaitable[object]] | None = None) -> Reply:
        """Calls the skill. Whatever it does comes back as a Reply.

        Where nobody listens, `again` sees to it that somebody does, and the call is made once more. Where the exchange
        broke off, that is done for a `repeatable` call alone: nobody knows how far the skill had come.
        """
        started = time.monotonic()
        body = invocation.body()
        self._calls += 1
        try:
            try:
                reply = await self._exchange(body, invocation.deadline_seconds)
            except NoAnswer as trouble:
                if again is None or (trouble.code != "unreachable" and not (repeatable and trouble.code == "bad-reply")):
                    raise
                await again()
                reply = await self._exchange(body, invocation.deadline_seconds)
        except NoAnswer as trouble:
            return Reply(success=False, error_code=trouble.code, error_message=trouble.message, seconds=time.monotonic() - started)
        finally:
            self._calls -= 1
            if self._retired:
                await self.retire()
        return Reply.parse(reply, seconds=time.monotonic() - started)

    async def retire(self) -> None:
        """Closes the connections once the last call is answered."""
        self._retired = True
        if not self._calls:
            await self._session.close()

    async def _exchange(self, body: bytes, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout), self._session.post(self._url, data=body, headers=_HEADERS, allow_redirects=False) as response:
                if (response.content_length or 0) > MAX_BODY:
                    raise NoAnswer("too-large", f"the reply has {response.content_length} bytes; {MAX_BODY} are allowed")
                return await _bounded(response.content)
        except TimeoutError:
            raise NoAnswer("timeout", f"no answer within {timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise NoAnswer("unreachable", f"nobody answers at {self._place}: {error.strerror or error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer("bad-reply", f"the exchange broke off: {str(error) or type(error).__name__}") from None


def _connector(endpoint: Endpoint, connections: int) -> aiohttp.BaseConnector:
    if endpoint.socket:
        return aiohttp.UnixConnector(endpoint.socket, limit=connections, keepalive_timeout=IDLE)
    return aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE)


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    content = bytearray()
    async for part in stream.iter_any():
        content += part
        if len(content) > MAX_BODY:
            raise NoAnswer("too-large", f"the reply has more than {MAX_BODY} bytes")
    return bytes(content)

"""MCP over any transport: the low-level Server of the `mcp` library, with the skills as its tools.

Loading the library takes most of a second, so this module is imported where a client speaks MCP, never before.
"""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourcesListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequestURLParams,
    NotificationParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agent import __version__
from agent.errors import MissingSecret, SkillOpsError
from agent.gateway import mcp_capability, mcp_secrets
from agent.gateway.authority import demand
from agent.gateway.gateway import Call, Gateway
from agent.gateway.mcp_answers import Fault, failed, structured, told
from agent.gateway.mcp_offer import TEMPLATE, Offer, Shelfful, instructions, page
from agent.keys import Key

PRIVATE = CacheHint(ttl_ms=0, scope="private")  # what is listed depends on the key, and a merge may change it at any time
LOOK_EVERY = 0.5  # seconds between two looks for a change, while somebody wants to hear of one
INSTRUCTIONS = (
    "Each tool is a skill that was written, checked and reviewed by pull request. Where none does what is needed, "
    "request_capability asks for a new one, capability_status follows it, withdraw_capability cancels it, and it appears among the tools once "
    "it is merged. "
    "The resource skill://NAME/SKILL.md tells how a skill is used."
)
Context = ServerRequestContext[Any, Any]
Caller = tuple[Key, Call]
Who = Callable[[Context], Caller]


class SkillServer(Server[Any]):
    """The handlers. `who` tells whose key a request comes with, and what it says of itself; `address` where its client reaches us."""

    def __init__(self, gateway: Gateway, who: Who, address: Callable[[Context], str]) -> None:
        self._gateway, self._who, self._address, self.shelfful = gateway, who, address, Shelfful(gateway)
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._listening = 0
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()  # connections of the handshake era
        self._watch: asyncio.Task[None] | None = None
        super().__init__(
            "skillops", version=__version__, title="SkillOps", instructions=INSTRUCTIONS, get_tool_input_schema=self._schema,
            cache_hints=dict.fromkeys(("tools/list", "resources/list", "resources/templates/list", "resources/read"), PRIVATE),
            on_list_tools=self._list_tools, on_call_tool=self._call_tool, on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates, on_read_resource=self._read_resource, on_subscriptions_listen=self._listened,
        )  # fmt: skip
        self.add_notification_handler("notifications/initialized", NotificationParams, self._initialized)

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *more: Any, **named: Any
    ) -> InitializationOptions:
        changes = notification_options or NotificationOptions(tools_changed=True, resources_changed=True)
        return super().create_initialization_options(changes, *more, **named)

    def close(self) -> None:
        """Ends every subscription, so that nobody's open stream keeps the gateway from ending."""
        self._listen.close()
        if self._watch:
            self._watch.cancel()

    # ---- tools ------------------------------------------------------------------------------------------------------

    async def _list_tools(self, context: Context, params: PaginatedRequestParams | None) -> dict[str, Any]:
        key, _ = self._who(context)
        cursor = params.cursor if params else None
        offer = await self._offer()
        tools, after = page(offer.tools if key.may("invoke") else {}, cursor)
        first = list(mcp_capability.TOOLS.values()) if cursor is None and key.may("request") else []
        return _listing("tools", first + tools, after)

    async def _call_tool(self, context: Context, params: CallToolRequestParams) -> dict[str, Any]:
        key, call = self._who(context)
        name, arguments = params.name, params.arguments or {}

        async def progress(at: float, message: str) -> None:
            await context.session.report_progress(at, message=message)

        try:
            if name in mcp_capability.TOOLS:
                return structured(await mcp_capability.call(name, arguments, key, self._gateway, progress), name)
            demand(key, "invoke")
            try:
                return told(await self._gateway.invoke(name, arguments, key, call))
            except MissingSecret as missing:  # of this skill, or of one that it calls
                manifest = (await self._gateway.shelf.listed(missing.skill or name)).manifest
                if answers := params.input_responses:
                    agreed = all(getattr(answer, "action", "") == "accept" for answer in answers.values())
                    if agreed and await mcp_secrets.filled_in(manifest, key, self._gateway, progress):
                        return told(await self._gateway.invoke(name, arguments, key, call))
                elif _opens_links(context) and (found := await mcp_secrets.links(manifest, key, self._gateway, self._address(context))):
                    return _asked(context, manifest.name, found)
                raise
        except SkillOpsError as error:
            return _answered(failed(error))

    def _schema(self, name: str) -> dict[str, Any] | None:
        """For the check of a call's `Mcp-Param-…` headers."""
        tool = self.shelfful.last.tools.get(name)
        return tool["inputSchema"] if tool else None

    # ---- resources --------------------------------------------------------------------------------------------------

    async def _list_resources(self, context: Context, params: PaginatedRequestParams | None) -> dict[str, Any]:
        key, _ = self._who(context)
        offer = await self._offer()
        return _listing("resources", *page(offer.resources if key.may("invoke") else {}, params.cursor if params else None))

    async def _list_templates(self, context: Context, params: PaginatedRequestParams | None) -> dict[str, Any]:
        key, _ = self._who(context)
        return _listing("resourceTemplates", [TEMPLATE] if key.may("invoke") else [], None)

    async def _read_resource(self, context: Context, params: ReadResourceRequestParams) -> dict[str, Any]:
        uri = str(params.uri)
        try:
            demand(self._who(context)[0], "invoke")
            text = await asyncio.to_thread(instructions, uri, self._gateway)
        except SkillOpsError as error:
            raise _protocol(error) from None
        return {"contents": [{"uri": uri, "mimeType": "text/markdown", "text": text}], "resultType": "complete"}

    async def _offer(self) -> Offer:
        try:
            return await self.shelfful.now()
        except SkillOpsError as error:
            raise _protocol(error) from None

    # ---- changes ----------------------------------------------------------------------------------------------------

    async def _initialized(self, context: Context, params: NotificationParams) -> None:
        """A client of the handshake era hears of changes on its session's own stream, without asking."""
        self._sessions.add(context.session._connection)  # which the library keeps for as long as the session lasts
        await self._watched()

    async def _listened(self, context: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """One of 2026-07-28 hears of them on the stream that it opens for them."""
        await self._watched()
        self._listening += 1
        try:
            return await self._listen(context, params)
        finally:
            self._listening -= 1

    async def _watched(self) -> None:
        """Sees to it that somebody looks for changes, from what there is now on."""
        if not self.shelfful.last.blob:
            await self._offer()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look_out(self.shelfful.last.mark))

    async def _look_out(self, mark: str) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._listening and not self._sessions:
                return
            with suppress(SkillOpsError):  # a registry that is broken just now changes nothing that is served
                await self.shelfful.now()
            if self.shelfful.last.mark != mark:
                mark = self.shelfful.last.mark
                await self._ring()

    async def _ring(self) -> None:
        await self._bus.publish(ToolsListChanged())
        await self._bus.publish(ResourcesListChanged())
        for connection in list(self._sessions):
            await connection.send_tool_list_changed()
            await connection.send_resource_list_changed()


def _opens_links(context: Context) -> bool:
    can = context.session.client_capabilities
    return can is not None and can.elicitation is not None and can.elicitation.url is not None


def _asked(context: Context, skill: str, found: dict[str, str]) -> dict[str, Any]:
    """The call goes on once the links were opened; a client of the handshake era is told in an error, and calls again."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return mcp_secrets.questions(skill, found)
    raise UrlElicitationRequiredError(
        [
            ElicitRequestURLParams(
                message=mcp_secrets.message(skill, name), url=url, elicitation_id=f"{mcp_secrets.PREFIX}{name}-{secrets.token_hex(8)}"
            )
            for name, url in found.items()
        ]
    )


def _listing(what: str, items: list[dict[str, Any]], after: str | None) -> dict[str, Any]:
    return {what: items, "resultType": "complete"} | ({"nextCursor": after} if after else {})


def _answered(answer: dict[str, Any] | Fault) -> dict[str, Any]:
    if isinstance(answer, Fault):
        raise MCPError(answer.code, answer.message, answer.data)
    return answer


def _protocol(error: SkillOpsError) -> MCPError:
    """The error of a request that is no call of a tool."""
    answer = failed(error)
    if isinstance(answer, Fault):
        return MCPError(answer.code, answer.message, answer.data)
    return MCPError(-32603, str(error), error.told())

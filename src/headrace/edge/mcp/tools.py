"""What the gathered server answers: the tools that a caller may see, and calls of them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, CallToolResult, ListToolsResult, TextContent

from headrace import __version__
from headrace.data.audit import AuditSink
from headrace.data.audit_event import AuditEvent
from headrace.edge.mcp.door import VISITOR, Visitor
from headrace.gateway.tool_access import ToolRights, gathered, parted, permits
from headrace.gateway.tool_limits import Denied, ToolLimits
from headrace.gateway.tool_metering import (
    ARGUMENTS_TOO_LARGE,
    AWAY,
    ERROR,
    LEFT,
    LIMITED,
    OK,
    TIMEOUT,
    TOO_LARGE,
    Ended,
    ToolCall,
    ToolMetering,
)
from headrace.services.tool_server import AnswerTooLarge, Away, ToolServerLink

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, PaginatedRequestParams

log = logging.getLogger("headrace.mcp")


class SizeLimits(NamedTuple):
    """Of one call, as JSON."""

    argument_bytes: int
    answer_bytes: int


class Asked(NamedTuple):
    """A call that a client makes. `name` is the tool's here, `tool` its server's own."""

    visitor: Visitor
    name: str
    link: ToolServerLink
    tool: str
    arguments: dict[str, Any] | None
    argument_bytes: int


class Toolbox:
    """All servers as one. `rights` change with the configuration."""

    def __init__(
        self,
        links: Mapping[str, ToolServerLink],
        rights: ToolRights,
        limits: ToolLimits,
        sizes: SizeLimits,
        metering: ToolMetering,
        audit: AuditSink,
    ) -> None:
        self._links = links
        self.rights = rights
        self._limits = limits
        self._sizes = sizes
        self._metering = metering
        self._audit = audit

    def server(self) -> Server[Any]:
        """The server of the SDK that answers by this."""
        return Server(
            "headrace", version=__version__, on_list_tools=self._list, on_call_tool=self._call
        )

    async def _list(
        self, context: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        patterns = self.rights.of(_visitor(context).caller)
        found = [
            tool.model_copy(update={"name": name})
            for server, link in self._links.items()
            for own, tool in link.tools.items()
            if permits(patterns, name := gathered(server, own))
        ]
        return ListToolsResult(tools=found)

    async def _call(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        visitor, name = _visitor(context), params.name
        caller = visitor.caller
        server, tool = parted(name)
        link = self._links.get(server)
        if link is None or not tool or not permits(self.rights.of(caller), name):
            raise self._unknown(visitor, name)
        if link.tools and tool not in link.tools:
            raise self._unknown(visitor, name)
        # Of a server that is away nobody knows which tools it has: what clients call them makes no
        # names in the ledger.
        known = name if tool in link.tools else server
        call = ToolCall(visitor.request_id, caller, known, server, time.monotonic())
        size = len(msgspec.json.encode(params.arguments or {}))
        asked = Asked(visitor, name, link, tool, params.arguments, size)
        if size > self._sizes.argument_bytes:
            self._tell(visitor, name, size, "refused")
            self._metering.settle(call, ARGUMENTS_TOO_LARGE, call.began)
            raise _error(
                INVALID_PARAMS,
                f"The arguments of {name!r} have {size:,} bytes, and at most "
                f"{self._sizes.argument_bytes:,} are allowed.",
                visitor,
            )
        taken = self._limits.take(caller, name, call.began)
        if isinstance(taken, Denied):
            self._tell(visitor, name, size, "refused")
            self._metering.settle(call, LIMITED, call.began)
            return _failed(_limited(name, taken), visitor)
        try:
            return await self._made(asked, call)
        finally:
            self._limits.give_back(taken)

    async def _made(self, asked: Asked, call: ToolCall) -> CallToolResult:
        """The call itself, once it may be made: told before it is sent, settled whatever comes."""
        visitor, name, ended = asked.visitor, asked.name, ERROR
        self._tell(visitor, name, asked.argument_bytes, "done")
        self._intend(call, visitor)
        try:
            result = await asked.link.call(asked.tool, asked.arguments)
            ended = self._ended(result)
            if ended is TOO_LARGE:
                raise AnswerTooLarge
            return result
        except AnswerTooLarge:
            ended = TOO_LARGE
            most = f"{self._sizes.answer_bytes:,} bytes, the most that is allowed"
            return _failed(f"The answer of {name} is over {most}. Ask for less of it.", visitor)
        except TimeoutError:
            ended = TIMEOUT
            return _failed(f"{name} did not answer within {asked.link.timeout_s:g} s.", visitor)
        except Away:
            ended = AWAY
            return _failed(f"The server of {name} is away just now. Please try again.", visitor)
        except asyncio.CancelledError:
            ended = LEFT
            raise
        finally:
            self._metering.settle(call, ended, time.monotonic())

    def _ended(self, result: CallToolResult) -> Ended:
        told = result.model_dump_json(by_alias=True, exclude_none=True).encode()
        if len(told) > self._sizes.answer_bytes:
            return TOO_LARGE
        return ERROR if result.is_error else OK

    def _intend(self, call: ToolCall, visitor: Visitor) -> None:
        """Raises MCPError: what cannot be accounted is not done."""
        try:
            self._metering.intend(call)
        except OSError as error:
            log.error("the journal cannot be written", extra={"cause": str(error)})
            raise _unwritable("ledger", visitor) from error

    def _unknown(self, visitor: Visitor, name: str) -> MCPError:
        """The same for a tool that is not there and for one that is not the caller's."""
        self._tell(visitor, name, 0, "refused")
        return _error(
            INVALID_PARAMS,
            f"There is no tool {name[:160]!r} here for your key. `tools/list` tells which it has.",
            visitor,
        )

    def _tell(self, visitor: Visitor, name: str, size: int, outcome: Any) -> None:
        """Writes a row of the audit log. Raises MCPError: what cannot be told is not done."""
        caller = visitor.caller
        event = AuditEvent(
            action="tools.call",
            actor=f"key:{caller.key_id}",
            target=name,
            outcome=outcome,
            ip=visitor.ip,
            tenant=caller.tenant,
            detail={"request": visitor.request_id, "argument_bytes": str(size)},
        )
        try:
            self._audit.append(event)
        except OSError as error:
            log.error("an audit event cannot be written", extra={"cause": str(error)})
            raise _unwritable("audit log", visitor) from error


def _visitor(context: ServerRequestContext[Any]) -> Visitor:
    assert context.request is not None
    visitor: Visitor = context.request.scope[VISITOR]
    return visitor


def _error(code: int, text: str, visitor: Visitor) -> MCPError:
    return MCPError(code, f"{text} (request id: {visitor.request_id})")


def _unwritable(what: str, visitor: Visitor) -> MCPError:
    return _error(
        INTERNAL_ERROR,
        f"The gateway cannot write its {what} just now, so it calls no tools. Please try again "
        "shortly.",
        visitor,
    )


def _limited(name: str, denied: Denied) -> str:
    again = "when one that runs has ended"
    if denied.retry_after_s is not None:
        again = f"in {math.ceil(denied.retry_after_s):,} s"
    return f"{name} was not called, a limit is reached ({denied.detail}). Please try again {again}."


def _failed(text: str, visitor: Visitor) -> CallToolResult:
    """A failure as the protocol wants it: inside the result, where the model sees it."""
    said = TextContent(type="text", text=f"{text} (request id: {visitor.request_id})")
    return CallToolResult(content=[said], is_error=True)

"""What the gathered server answers: the tools that a caller may see, and calls of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, CallToolResult, ListToolsResult, TextContent

from headrace import __version__
from headrace.data.audit import AuditSink
from headrace.data.audit_event import AuditEvent
from headrace.edge.mcp.door import VISITOR, Visitor
from headrace.gateway.telemetry.tool_meters import ToolMeters
from headrace.gateway.tool_access import ToolRights, gathered, parted, permits
from headrace.services.tool_server import Away, ToolServerLink

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, PaginatedRequestParams

log = logging.getLogger("headrace.mcp")


class Toolbox:
    """All servers as one. `rights` change with the configuration."""

    def __init__(
        self,
        links: Mapping[str, ToolServerLink],
        rights: ToolRights,
        meters: ToolMeters,
        audit: AuditSink,
        argument_limit_bytes: int,
    ) -> None:
        self._links = links
        self.rights = rights
        self._meters = meters
        self._audit = audit
        self._limit = argument_limit_bytes

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
        size = len(msgspec.json.encode(params.arguments or {}))
        if size > self._limit:
            self._tell(visitor, name, size, "refused")
            self._meters.ended(caller.key_id, name, "refused", 0.0)
            raise _error(
                INVALID_PARAMS,
                f"The arguments of {name!r} have {size:,} bytes, and at most {self._limit:,} are "
                "allowed.",
                visitor,
            )
        self._tell(visitor, name, size, "done")
        began = time.monotonic()
        outcome = "error"
        try:
            result = await link.call(tool, params.arguments)
            outcome = "error" if result.is_error else "ok"
            return result
        except TimeoutError:
            outcome = "timeout"
            return _failed(f"{name} did not answer within {link.timeout_s:g} s.", visitor)
        except Away:
            outcome = "away"
            return _failed(f"The server of {name} is away just now. Please try again.", visitor)
        finally:
            self._meters.ended(caller.key_id, name, outcome, time.monotonic() - began)

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
            raise _error(
                INTERNAL_ERROR,
                "The gateway cannot write its audit log just now, so it calls no tools. Please "
                "try again shortly.",
                visitor,
            ) from error


def _visitor(context: ServerRequestContext[Any]) -> Visitor:
    assert context.request is not None
    visitor: Visitor = context.request.scope[VISITOR]
    return visitor


def _error(code: int, text: str, visitor: Visitor) -> MCPError:
    return MCPError(code, f"{text} (request id: {visitor.request_id})")


def _failed(text: str, visitor: Visitor) -> CallToolResult:
    """A failure as the protocol wants it: inside the result, where the model sees it."""
    said = TextContent(type="text", text=f"{text} (request id: {visitor.request_id})")
    return CallToolResult(content=[said], is_error=True)

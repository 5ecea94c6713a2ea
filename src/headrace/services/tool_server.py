"""One of the operator's MCP servers: kept connected, asked for its tools, called.

By the official SDK (https://github.com/modelcontextprotocol/python-sdk). While a server is away its
tools are not there; it is tried again, after ever longer pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from headrace.config.tool_servers import CommandToolServer, HttpToolServer
from headrace.errors import Setup, install_extra

if TYPE_CHECKING:
    import httpx2
    from mcp import Client
    from mcp_types import CallToolResult, Tool

log = logging.getLogger("headrace.mcp")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
REFRESH_S = 60.0
"""Between two looks at a server's tools, where it does not tell of changes itself."""
MOST_PAGES = 100
MOST_TOOLS = 2_000


ENVELOPE_BYTES = 64 * 1024
"""Of an answer, around what a tool says."""
LIST_BYTES = 4 * 1024 * 1024
"""A list of tools may have as many."""
OVER = "the answer is larger than may be read"
_OVER_OF_SDK = "byte limit"
"""In what the SDK says of an event that is too large."""


def require_sdk() -> None:
    """Raises Setup if the extra is not installed."""
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise Setup(
            "`mcp` needs the package mcp, which is not installed.", install_extra("mcp")
        ) from None


class Away(Exception):  # noqa: N818 - the name says what is so
    """The server cannot be asked just now."""


class AnswerTooLarge(Exception):  # noqa: N818 - the name says what is so
    """What came is far over what an answer may have, and was not read to its end."""


class ToolServerLink:
    """The connection to one server. `tools` are those that it has now, by its own names."""

    def __init__(
        self,
        name: str,
        written: HttpToolServer | CommandToolServer,
        secrets: Mapping[str, str],
        folder: Path,
        answer_limit_bytes: int,
    ) -> None:
        """`secrets` are texts by the references to them. A command starts in `folder`. What comes
        over HTTP is not read far beyond `answer_limit_bytes`."""
        self.name = name
        self.timeout_s = written.timeout_s
        self.tools: dict[str, Tool] = {}
        self._written = written
        self._secrets = secrets
        self._folder = folder
        self._most_bytes = max(2 * answer_limit_bytes, LIST_BYTES) + ENVELOPE_BYTES
        self._client: Client | None = None
        self._look = asyncio.Event()

    def __repr__(self) -> str:
        return f"ToolServerLink({self.name})"

    async def run(self) -> None:
        """Keeps the connection until it is cancelled."""
        pause_s, away = FIRST_PAUSE_S, False
        while True:
            try:
                await self._serve()
            except Exception as error:
                if self._client is not None:
                    pause_s, away = FIRST_PAUSE_S, False
                if not away:
                    detail = f"{self.name} is away, and its tools with it"
                    cause = f"{type(_first(error)).__name__}: {_first(error)}"[:300]
                    log.warning("tool server", extra={"detail": detail, "cause": cause})
                away = True
            finally:
                self._client, self.tools = None, {}
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def call(self, tool: str, arguments: dict[str, Any] | None) -> CallToolResult:
        """Raises Away, TimeoutError, AnswerTooLarge; MCPError for what the server itself says."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        client = self._client
        if client is None:
            raise Away
        try:
            async with asyncio.timeout(self.timeout_s):
                return await client.call_tool(tool, arguments)
        except TimeoutError:
            self._look.set()  # whether it is there at all
            raise
        except MCPError as error:
            if OVER in str(error) or _OVER_OF_SDK in str(error):
                raise AnswerTooLarge from error
            if error.code == CONNECTION_CLOSED:
                self._look.set()
                raise Away from error
            raise
        except Exception as error:
            self._look.set()
            raise Away from error

    async def _serve(self) -> None:
        """Until the connection ends. Raises what ended it."""
        from mcp import Client

        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            client = Client(
                transport,
                read_timeout_seconds=self.timeout_s + self._written.connect_s,
                message_handler=self._told,
                cache=None,
            )
            async with asyncio.timeout(self._written.connect_s):
                await stack.enter_async_context(client)
            await self._learn(client)
            self._client = client
            log.info("tool server", extra={"detail": f"{self.name}: {len(self.tools)} tools"})
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), REFRESH_S)
                self._look.clear()
                await self._learn(client)

    async def _transport(self, stack: AsyncExitStack) -> Any:
        from mcp.client.stdio import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        written = self._written
        if isinstance(written, CommandToolServer):
            program, *arguments = written.command
            nowhere = stack.enter_context(_nowhere())
            parameters = StdioServerParameters(
                command=program,
                args=arguments,
                env={name: self._secrets[ref] for name, ref in written.env.items()},
                cwd=self._folder,
            )
            return stdio_client(parameters, errlog=nowhere)
        reference = written.credential
        headers = {}
        if reference is not None:
            headers["Authorization"] = f"Bearer {self._secrets[reference]}"
        http = create_mcp_http_client(headers=headers)
        http.event_hooks = {"response": [self._bound]}
        await stack.enter_async_context(http)
        return streamable_http_client(
            written.url, http_client=http, max_sse_event_size=self._most_bytes
        )

    async def _bound(self, response: httpx2.Response) -> None:
        """The SDK bounds events of a stream, and no other answer."""
        kind = response.headers.get("content-type", "")
        if not kind.lower().startswith("text/event-stream"):
            response.stream = _bounded(response.stream, self._most_bytes)

    async def _learn(self, client: Client) -> None:
        """Takes up the tools that it has."""
        found: dict[str, Tool] = {}
        cursor: str | None = None
        async with asyncio.timeout(self._written.connect_s):
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                found |= {tool.name: tool for tool in page.tools}
                cursor = page.next_cursor
                if cursor is None or len(found) > MOST_TOOLS:
                    break
        self.tools = found

    async def _told(self, message: Any) -> None:
        from mcp_types import ToolListChangedNotification

        if isinstance(getattr(message, "root", message), ToolListChangedNotification):
            self._look.set()


def _bounded(stream: Any, most_bytes: int) -> Any:
    """The same bytes, and an error where there are more."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = most_bytes
            async for chunk in stream:
                left -= len(chunk)
                if left < 0:
                    raise httpx2.StreamError(OVER)
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


def _nowhere() -> TextIO:
    """For what a program says of itself: it may hold secrets, and is no record of ours."""
    return Path(os.devnull).open("w")


def _first(error: BaseException) -> BaseException:
    """Of several that ended one connection, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

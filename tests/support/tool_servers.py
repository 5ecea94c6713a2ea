"""MCP servers made with the official SDK: over standard input and output, as this file's own
program, and over HTTP, in a thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from mcp.server import MCPServer


class Slow:
    """Calls of the tool that takes its time."""

    def __init__(self) -> None:
        self.begun = 0
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def take(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), seconds)

    def let_go(self) -> None:
        """None waits any more. For another thread, while one waits."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._released.set)


def mill(slowly: Slow) -> MCPServer:
    server = MCPServer("mill")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    @server.tool()
    def long(text: str) -> int:
        """The length of a text."""
        return len(text)

    @server.tool()
    def much(size: int) -> str:
        """A text of so many letters."""
        return "x" * size

    @server.tool()
    async def slow(seconds: float) -> str:
        """Takes its time."""
        await slowly.take(seconds)
        return "done"

    @server.tool()
    def broken() -> str:
        """Never works."""
        raise ValueError("the wheel is stuck")

    @server.tool()
    def variables() -> list[str]:
        """Names and one text of the environment."""
        return [*sorted(os.environ), os.environ.get("MILL_TOKEN", "")]

    @server.tool()
    def leave() -> str:
        """Ends the server."""
        os._exit(3)

    return server


class HttpTools:
    """A server over HTTP. `seen` are the Authorization headers of its requests."""

    def __init__(self, json_response: bool = False) -> None:
        self.seen: set[str | None] = set()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._slow = Slow()
        app = mill(self._slow).streamable_http_app(json_response=json_response)

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                headers = dict(scope["headers"])
                said = headers.get(b"authorization")
                self.seen.add(None if said is None else said.decode())
            await app(scope, receive, send)

        config = uvicorn.Config(noting, log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def begun(self) -> int:
        """Calls of `slow` so far."""
        return self._slow.begun

    def let_go(self) -> None:
        """No call of `slow` waits any more."""
        self._slow.let_go()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


@contextmanager
def http_tools(json_response: bool = False) -> Iterator[HttpTools]:
    made = HttpTools(json_response)
    try:
        yield made
    finally:
        made.stop()


if __name__ == "__main__":
    mill(Slow()).run("stdio")

"""MCP servers made with the official SDK: over standard input and output, as this file's own
program, and over HTTP, in a thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server import MCPServer


def mill() -> MCPServer:
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
    async def slow(seconds: float) -> str:
        """Takes its time."""
        await asyncio.sleep(seconds)
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

    def __init__(self, port: int = 0) -> None:
        self.seen: set[str | None] = set()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        app = mill().streamable_http_app()

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

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


@contextmanager
def http_tools(port: int = 0) -> Iterator[HttpTools]:
    made = HttpTools(port)
    try:
        yield made
    finally:
        made.stop()


if __name__ == "__main__":
    mill().run("stdio")

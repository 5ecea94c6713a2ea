"""A port of asyncio's in a thread, plain or with TLS for `localhost`."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def localhost_tls(ca_file: Path) -> ssl.SSLContext:
    """For a server; what vouches for it is written to `ca_file`."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(ca_file))
    return context


@contextmanager
def port_thread(
    serve: Serve, port: int = 0, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """The port's number, for as long as it lasts; 0 asks for a free one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def open_port() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)

    async def close_all() -> None:
        server.close()
        for _ in range(2):  # what was just accepted has a task, whose first step makes a transport
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in list(vars(loop)["_transports"].values()):
            transport.abort()  # one still in its TLS handshake has no task that would
        await asyncio.sleep(0.05)  # transports are closed a little later

    server = asyncio.run_coroutine_threadsafe(open_port(), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(close_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

"""Clients that connect all at once are all accepted at once, on the loop that serves."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import trustme
import uvloop
from server_lab import refuse

from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.server import HttpServer

CLIENTS = 50
TURNS = 10
"""Of the loop. libuv takes one connection a turn, and under load a turn is long."""


async def answer(exchange: Exchange) -> None:
    exchange.respond(200, b"content-type: text/plain\r\n", b"hello")


def test_all_that_wait_are_accepted_within_a_few_turns() -> None:
    async def scene() -> None:
        server = HttpServer(answer, refuse, ServerLimits())
        port = await server.listen("127.0.0.1", 0)
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert len(server.connections) == CLIENTS
        for client in clients:
            client.close()
        server.abort()
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    uvloop.run(scene())


def test_with_tls_too() -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def one(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        said = await reader.read(-1)
        writer.close()
        return said

    async def scene() -> None:
        server = HttpServer(answer, refuse, ServerLimits())
        port = await server.listen("127.0.0.1", 0, tls=tls)
        strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(CLIENTS)]
        for stranger in strangers:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no handshake
        said = await asyncio.gather(*(one(port) for _ in range(CLIENTS)))
        assert all(answer.endswith(b"hello") for answer in said)
        for stranger in strangers:
            stranger.close()
        server.abort()

    uvloop.run(scene())

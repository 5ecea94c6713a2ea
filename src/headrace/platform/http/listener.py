"""A port that is listened to.

Usually the loop accepts, which takes least. While the server sheds load this module accepts by
itself, since what comes from the loop is a transport already: see `first_request.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from headrace.platform.http.backlog import Backlog
from headrace.platform.http.exchange import STATUS_LINES
from headrace.platform.http.first_request import FIRST_BYTES, FirstRequests
from headrace.platform.http.guard import unwrapped
from headrace.platform.http.server_connection import ServerConnection

if TYPE_CHECKING:
    from headrace.platform.http.server import HttpServer

WAITING = 2048
"""Connections that the system holds until they are accepted."""
AT_ONCE = socket.MSG_DONTWAIT | getattr(socket, "MSG_MORE", 0)
"""The connection's end follows, and leaves with the answer: one packet instead of two."""


class Listener:
    """Accepts for one server until `close`."""

    def __init__(self, server: HttpServer, tls: ssl.SSLContext | None) -> None:
        self._server = server
        self._tls = tls
        # Until the handshake's end no sweep sees the connection.
        self._handshake_timeout_s = None if tls is None else server.limits.header_timeout_s
        self._by_loop: list[asyncio.Server] = []
        self._backlogs: list[Backlog] = []
        self._firsts = FirstRequests(server.limits)
        self._alone = False
        self._closed = False
        self._returning: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int, *, reuse_port: bool) -> int:
        """Starts to accept; returns the port. Raises OSError."""
        listening = await self._server.loop.create_server(
            self._connected,
            host,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=self._handshake_timeout_s,
            backlog=WAITING,
            reuse_port=reuse_port or None,
        )
        self._by_loop.append(listening)
        self._backlogs += (
            Backlog(s.fileno(), self._begun, self._tls, self._handshake_timeout_s)
            for s in listening.sockets
        )
        taken: int = listening.sockets[0].getsockname()[1]
        return taken

    def close(self) -> None:
        """Accepts no more."""
        self._closed = True
        for listening in self._by_loop:
            listening.close()
        for backlog in self._backlogs:
            backlog.close()

    def accept_alone(self) -> None:
        """The server begins to shed load: the loop accepts no more, here is accepted."""
        if self._tls is not None or self._alone or self._closed:
            return  # what comes with a connection is a handshake: nothing can be read in it
        self._alone = True
        self._firsts = FirstRequests(self._server.limits)
        for backlog in self._backlogs:
            backlog.take_over(self._glance)
        for listening in self._by_loop:
            listening.close()  # the backlogs' copies of the socket go on listening
        self._by_loop.clear()

    def accept_by_loop(self) -> None:
        """It sheds no more."""
        if self._alone and not self._closed:
            self._alone = False
            if self._returning is None or self._returning.done():
                self._returning = self._server.loop.create_task(self._return())

    async def _return(self) -> None:
        for backlog in self._backlogs:
            # Without room for another descriptor the backlog goes on: it costs more, and works.
            with contextlib.suppress(OSError):
                listening = await self._server.loop.create_server(
                    self._connected, sock=backlog.copy(), backlog=WAITING
                )
                if self._alone or self._closed:
                    listening.close()  # meanwhile there was too much to do again
                else:
                    self._by_loop.append(listening)
                    backlog.give_back()

    def _connected(self) -> ServerConnection:
        """The loop has accepted a connection: whoever waits behind it is accepted too."""
        for backlog in self._backlogs:
            backlog.take()
        return ServerConnection(self._server)

    def _begun(self, first: bytes) -> ServerConnection:
        server = self._server
        return BegunConnection(server, first) if first else ServerConnection(server)

    def _glance(self, connection: socket.socket, address: Any) -> bytes | None:
        """What has been read of a connection. None if that was answered, or nothing will come: then
        it is closed."""
        server = self._server
        if server.shed is None:
            return b""
        try:
            data = connection.recv(FIRST_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if data:
            first = self._firsts.read(data, unwrapped(address[0]))
            answer = None if first is None else server.answer_at_once(first)
            if answer is None:
                return data
            status, headers, body = answer
            head = b"%b%b%bconnection: close\r\ncontent-length: %d\r\n\r\n" % (
                STATUS_LINES[status],
                server.date_line,
                headers,
                len(body),
            )
            with contextlib.suppress(OSError):  # its client has left
                connection.send(head + body, AT_ONCE)
        connection.close()
        return None


class BegunConnection(ServerConnection):
    """A connection of which something was read before it had its transport."""

    def __init__(self, server: HttpServer, first: bytes) -> None:
        super().__init__(server)
        self._read_before = first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        first, self._read_before = self._read_before, b""
        self.data_received(first)

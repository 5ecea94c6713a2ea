"""Connections that wait to be accepted.

libuv accepts one connection for each turn of the loop. While many streams flow a turn takes long,
and new clients, health checks among them, would wait for seconds though every call in work is
served in time; nor would the load that they bring be seen. So whoever is accepted brings the next
ones with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

MOST_A_TURN = 64
DEFERS = getattr(socket, "TCP_DEFER_ACCEPT", None)
DEFERRED_S = 1
REST_S = 0.1
"""After an error of the system, above all for want of file descriptors."""

Glance = Callable[[socket.socket, Any], bytes | None]
"""Looks at a connection that was accepted, and its address: returns what it has read of it, or None
if it is done with it."""


class Backlog:
    """Takes the next connections of a listening socket when its loop has just taken one."""

    def __init__(
        self,
        listening: int,
        protocol: Callable[[bytes], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
        handshake_timeout_s: float | None = None,
    ) -> None:
        """`listening` is the file descriptor of a listening socket; a copy is kept till `close`.
        `protocol` gets what was read already, for it to begin with."""
        self._socket = socket.socket(fileno=os.dup(listening))
        self._socket.setblocking(False)
        self._protocol = protocol
        self._tls = tls
        self._handshake_timeout_s = handshake_timeout_s
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._glance: Glance | None = None

    def take(self) -> None:
        """Accepts those that wait, at most `MOST_A_TURN`."""
        for _ in range(MOST_A_TURN):
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # none waits; or there are too many, which the loop's own turn deals with
            self._begin(connection, b"")

    def take_over(self, glance: Glance) -> None:
        """From now on nobody else accepts here, and each connection is looked at. Where the system
        can, it hands over a connection when something has come with it, or a second later."""
        self._defer(DEFERRED_S)
        self._glance = glance
        self._watch()

    def give_back(self) -> None:
        """Others accept again."""
        self._glance = None
        self._loop.remove_reader(self._socket)
        self._defer(0)

    def copy(self) -> socket.socket:
        """Of the listening socket. Raises OSError."""
        return self._socket.dup()

    def close(self) -> None:
        """Takes no more."""
        if self._glance is not None:
            self._glance = None
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def _defer(self, seconds: int) -> None:
        if DEFERS is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, DEFERS, seconds)

    def _watch(self) -> None:
        if self._glance is not None:
            self._loop.add_reader(self._socket, self._take_alone, self._glance)

    def _take_alone(self, glance: Glance) -> None:
        for _ in range(MOST_A_TURN):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:
                self._loop.remove_reader(self._socket)  # it would call again at once
                self._loop.call_later(REST_S, self._watch)
                return
            first = glance(connection, address)
            if first is not None:
                self._begin(connection, first)

    def _begin(self, connection: socket.socket, first: bytes) -> None:
        connection.setblocking(False)
        task = self._loop.create_task(self._open(connection, first))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, first: bytes) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(first),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_timeout_s,
            )
        except OSError:
            connection.close()  # it has gone meanwhile, or its handshake failed

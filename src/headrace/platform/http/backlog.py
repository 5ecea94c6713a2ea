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

MOST_A_TURN = 64


class Backlog:
    """Takes the next connections of a listening socket when its loop has just taken one."""

    def __init__(
        self,
        listening: int,
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
        handshake_timeout_s: float | None = None,
    ) -> None:
        """`listening` is the file descriptor of a listening socket; a copy is kept till `close`."""
        self._socket = socket.socket(fileno=os.dup(listening))
        self._socket.setblocking(False)
        self._protocol = protocol
        self._tls = tls
        self._handshake_timeout_s = handshake_timeout_s
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()

    def take(self) -> None:
        """Accepts those that wait, at most `MOST_A_TURN`."""
        for _ in range(MOST_A_TURN):
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # none waits; or there are too many, which the loop's own turn deals with
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def close(self) -> None:
        """Takes no more."""
        self._socket.close()

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_timeout_s,
            )
        except OSError:
            connection.close()  # it has gone meanwhile, or its handshake failed

"""An HTTP/1.1 server on llhttp, strict in what it accepts (RFC 9112) and without policy.

It reads each request whole, runs the handler in a task, and cancels that task within one turn of
the loop when the client leaves. Ambiguous framing is refused: llhttp refuses Content-Length with
Transfer-Encoding, doubled or signed lengths, bare CR or LF and folded lines; `request_head.py`
refuses what llhttp lets pass.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path

from headrace.platform.cohort import Cohort
from headrace.platform.http.bursts import Bursts
from headrace.platform.http.exchange import Answer, Exchange, Interrupted, Request
from headrace.platform.http.limits import ServerLimits, Violation
from headrace.platform.http.listener import Listener
from headrace.platform.http.server_connection import ServerConnection

log = logging.getLogger("headrace.http")

SWEEP_S = 0.25
DRAIN_GRACE_S = 2.0


Handler = Callable[[Exchange], Awaitable[None]]
Refuser = Callable[[Violation, bytes, str], tuple[bytes, bytes]]
"""(violation, target or b"", what was wrong) -> (header lines, body)."""
Shed = Callable[[Request], Answer | None]
"""The refusal of a request that there is no room for; None leaves it to the handler."""


class HttpServer:
    """Listens, holds the connections, sweeps their timeouts, and drains."""

    def __init__(self, handler: Handler, refuse: Refuser, limits: ServerLimits) -> None:
        self.handler = handler
        self.refuse = refuse
        self.limits = limits
        self.connections: set[ServerConnection] = set()
        self.draining = False
        self.body_bytes_held = 0
        self.cohort = Cohort()
        """Of requests."""
        self.date_line = b""
        self.shed: Shed | None = None
        """Set by `shed_by`."""
        self.bursts: Bursts | None = None
        """While load is shed."""
        self._listeners: list[asyncio.Server | Listener] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()
        self._sweep()

    async def listen(
        self, host: str, port: int, *, reuse_port: bool = False, tls: ssl.SSLContext | None = None
    ) -> int:
        """Starts to accept; returns the port. Raises OSError."""
        listener = Listener(self, tls)
        taken = await listener.open(host, port, reuse_port=reuse_port)
        self._listeners.append(listener)
        return taken

    async def listen_unix(self, path: Path) -> None:
        """Starts to accept on a socket that only this user may open. Raises OSError."""
        before = os.umask(0o177)
        try:
            listener = await self.loop.create_unix_server(lambda: ServerConnection(self), str(path))
        finally:
            os.umask(before)
        self._listeners.append(listener)

    def shed_by(self, shed: Shed | None) -> None:
        """From now on asks `shed` of each request before there is a task for it, and, where it is
        the only one of its connection, before there is a transport. None asks nobody."""
        began_or_ended = (shed is None) != (self.shed is None)
        self.shed = shed
        if not began_or_ended:
            return
        self._end_bursts()
        self.bursts = None if shed is None else Bursts(self.loop)
        for listener in self._listeners:
            if not isinstance(listener, Listener):
                continue
            if shed is None:
                listener.accept_by_loop()
            else:
                listener.accept_alone()

    def answer_at_once(self, request: Request) -> Answer | None:
        """What `shed` answers. Whatever is wrong there is for the handler to meet."""
        if self.shed is None:
            return None
        try:
            return self.shed(request)
        except Exception:
            log.exception("a request could not be refused at once")
            return None

    def active(self) -> int:
        """Calls in work."""
        return sum(1 for c in self.connections if c.exchange is not None)

    async def drain(self, limit_s: float) -> int:
        """Stops accepting, lets running calls finish within `limit_s`, interrupts the rest with
        `Interrupted.DRAIN` and closes. Returns how many had to be interrupted."""
        self._end_bursts()
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        await self._until(lambda: not self.active(), limit_s)
        interrupted = 0
        for connection in list(self.connections):
            interrupted += connection.interrupt(Interrupted.DRAIN)
        # The interrupted still have to say so to their clients.
        await self._until(lambda: not self.connections, DRAIN_GRACE_S)
        self.abort()
        return interrupted

    def _end_bursts(self) -> None:
        """From now on each request is taken when it comes."""
        if self.bursts is not None:
            bursts, self.bursts = self.bursts, None
            bursts.take()

    async def _until(self, done: Callable[[], bool], limit_s: float) -> None:
        end = self.loop.time() + limit_s
        while not done() and self.loop.time() < end:  # noqa: ASYNC110 - rare, and over many
            await asyncio.sleep(0.02)

    def abort(self) -> None:
        """Breaks all connections and stops the sweep."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self) -> None:
        now = self.loop.time()
        self.date_line = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
        for connection in list(self.connections):
            if connection.deadline <= now:
                connection.timed_out()
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

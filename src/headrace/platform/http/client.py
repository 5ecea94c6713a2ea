"""The upstream transport: sends requests over pooled HTTP/1.1 connections."""

from __future__ import annotations

import asyncio
import ssl
import time

from headrace.platform.http.connect import dial
from headrace.platform.http.connection import Connection
from headrace.platform.http.guard import AddressGuard
from headrace.platform.http.messages import (
    Fault,
    Origin,
    Timeouts,
    TransportError,
    WireRequest,
)
from headrace.platform.http.proxy import Proxy, ProxyPlan
from headrace.platform.http.response import Response
from headrace.platform.http.turns import Turns

SWEEP_S = 0.04
"""How often the clocks of calls under way are read. Two sweeps bound how late a time-out is."""
IDLE_SWEEP_S = 1.0
"""The same while only idle connections are left."""


class HttpTransport:
    """Implements `Transport`: HTTP/1.1 on llhttp, one pool per origin, TLS with the system's
    trust, CONNECT proxies. Belongs to one event loop; has no task and one timer.

    - `max_idle_per_origin`, `idle_s`: how many free connections are kept, how long. A free one is
      dropped the moment its peer ends it or sends a byte. There is no cap on those in use.
    - `proxy`: which origins go through a proxy; None means none, whatever the environment says.
    - `ssl_context`: instead of the system's trust.
    - `guard`: which addresses may be connected to; None means all, for URLs that are the
      operator's own.
    - `head_limit_bytes`: of a response's status line and headers, interim responses included.

    Nothing is ever sent twice (RFC 9112, section 9.3.1: who forwards a POST must not repeat it).
    If a connection that was used before breaks before any byte of the response, the fault is
    STALE, and the origin's other idle connections are dropped, so that whoever decides to send it
    once more gets a new one. Responses with a content encoding are refused, since nothing here
    inflates: send `Accept-Encoding: identity`. The request's method must not be CONNECT.
    """

    def __init__(
        self,
        *,
        max_idle_per_origin: int = 512,
        idle_s: float = 50.0,
        proxy: ProxyPlan | None = None,
        ssl_context: ssl.SSLContext | None = None,
        guard: AddressGuard | None = None,
        head_limit_bytes: int = 64 * 1024,
    ) -> None:
        self._max_idle_per_origin = max_idle_per_origin
        self._idle_s = idle_s
        self._proxy_plan = proxy
        self._ssl_context = ssl_context
        self._guard = guard
        self._head_limit_bytes = head_limit_bytes
        self.turns = Turns()
        """In which long answers are relayed."""
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._connections: set[Connection] = set()
        self._dials: dict[asyncio.Timeout, float] = {}
        """Connections being made, and the monotonic second at which each is given up."""
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sweep_s = 0.0
        self._next_sweep = 0.0
        self._stalled = False

    def __repr__(self) -> str:
        return f"HttpTransport({len(self._connections)} connections, {self.idle_count} idle)"

    @property
    def idle_count(self) -> int:
        """Connections that wait for a call."""
        return sum(map(len, self._idle.values()))

    @property
    def connection_count(self) -> int:
        """Open connections, idle and in use."""
        return len(self._connections)

    async def send(self, request: WireRequest, timeouts: Timeouts) -> Response:
        """Resolves when the response's head has come. Raises TransportError. Cancelling it closes
        the connection at once, also while connecting or waiting for the head."""
        connection = self._reuse(request.origin)
        reused = connection is not None
        if connection is None:
            connection = await self._connect(request.origin, timeouts)
        if self._sweep_s != SWEEP_S:
            self._sweep_in(SWEEP_S)
        response = connection.begin(request, timeouts)
        try:
            if connection.has_unsent:
                await connection.upload(response)
            waiter = response.waiter
            if waiter is not None:
                await waiter
        except BaseException:
            response.close()
            raise
        error = response.error
        if error is None or response.head_done:
            return response
        if reused and error.fault is Fault.RESET and not error.response_started:
            for idle in self._idle.pop(request.origin, ()):
                idle.abort()
            raise TransportError(Fault.STALE, f"of a kept connection, {error}")
        raise error

    async def open(self, origin: Origin, protocol: asyncio.Protocol, connect_s: float) -> None:
        """Connects another protocol than HTTP's, by the same rules. What becomes of it is the
        caller's business. Raises TransportError."""
        self._refuse_if_closed()
        proxy = self._proxy_plan.proxy_for(origin) if self._proxy_plan is not None else None
        if proxy is not None and origin.scheme == "http":
            raise TransportError(Fault.CONNECT, f"{origin.authority}: a proxy tunnels TLS alone")
        try:
            async with asyncio.timeout(connect_s):
                await dial(protocol, origin, proxy, self._tls, self._guard)
        except TimeoutError:
            detail = f"{origin.authority}: no connection within {connect_s:g} s"
            raise TransportError(Fault.CONNECT_TIMEOUT, detail) from None

    async def close(self) -> None:
        """Aborts all connections and waits until their sockets are closed. Calls under way fail
        with CLOSED, as does every later one. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        for limit in self._dials:
            if not limit.expired():
                limit.reschedule(0.0)
        for connection in list(self._connections):
            connection.fail(Fault.CLOSED, "the transport is closed")
        self._idle.clear()
        while self._connections:
            if self._emptied is None:
                self._emptied = loop.create_future()
            await asyncio.shield(self._emptied)

    # What connections call.

    def keep(self, connection: Connection) -> None:
        """Puts a free connection on top of its origin's pile."""
        idle = self._idle.get(connection.key)
        if idle is None:
            self._idle[connection.key] = [connection]
        elif len(idle) < self._max_idle_per_origin:
            idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: Connection) -> None:
        """The connection's socket is closed."""
        self._connections.discard(connection)
        idle = self._idle.get(connection.key)
        if idle is not None:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[connection.key]
        if not self._connections and self._emptied is not None:
            self._emptied.set_result(None)
            self._emptied = None

    def _reuse(self, origin: Origin) -> Connection | None:
        """The connection that was used last: the rest may grow old and go."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.gone:
                return connection
        return None

    async def _connect(self, origin: Origin, timeouts: Timeouts) -> Connection:
        self._refuse_if_closed()
        proxy = self._proxy_plan.proxy_for(origin) if self._proxy_plan is not None else None
        connection = Connection(self, origin, self._head_limit_bytes, _via_proxy(origin, proxy))
        # The sweep ends it, not the loop's own timers: uvloop's run ahead by what its cached clock
        # lags behind.
        limit = asyncio.timeout(None)
        self._dials[limit] = time.monotonic() + timeouts.connect_s
        if self._sweep_s != SWEEP_S:
            self._sweep_in(SWEEP_S)
        try:
            async with limit:
                await dial(connection, origin, proxy, self._tls, self._guard)
        except TimeoutError:
            self._refuse_if_closed()
            detail = f"{origin.authority}: no connection within {timeouts.connect_s:g} s"
            raise TransportError(Fault.CONNECT_TIMEOUT, detail) from None
        finally:
            del self._dials[limit]
        if connection.gone:
            connection.abort()
            raise TransportError(Fault.RESET, f"{origin.authority}: it closed at once")
        self._connections.add(connection)
        return connection

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise TransportError(Fault.CLOSED, "the transport is closed")

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context

    # The one timer.

    def _sweep_in(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._sweep_s = delay_s
        self._next_sweep = time.monotonic() + delay_s
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        """Ends the waits and the idle connections whose time is over."""
        now = time.monotonic()
        if now > self._next_sweep + SWEEP_S and not self._stalled:
            # The loop stood still: bytes may wait in the kernel. Judge after it has read them.
            self._stalled = True
            self._timer = asyncio.get_running_loop().call_later(0.001, self._sweep)
            return
        self._stalled = False
        self._timer = None
        any_busy = bool(self._dials)
        for limit, gives_up_at in self._dials.items():
            if now >= gives_up_at and not limit.expired():
                limit.reschedule(0.0)
        for connection in list(self._connections):
            if connection.busy:
                any_busy = True
                connection.tick(now)
            elif connection.expires_at is None:
                connection.expires_at = now + self._idle_s
            elif now >= connection.expires_at and not connection.gone:
                connection.abort()
        if self._connections or self._dials:
            self._sweep_in(SWEEP_S if any_busy else IDLE_SWEEP_S)
        else:
            self._sweep_s = 0.0


def _via_proxy(origin: Origin, proxy: Proxy | None) -> tuple[bytes, bytes] | None:
    """What a request in absolute form needs (RFC 9112, section 3.2.2)."""
    if proxy is None or origin.scheme == "https":
        return None
    lines = b""
    if proxy.authorization is not None:
        lines = b"Proxy-Authorization: %b\r\n" % proxy.authorization
    return f"http://{origin.authority}".encode(), lines

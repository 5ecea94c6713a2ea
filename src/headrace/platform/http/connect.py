"""Dialling an origin: name resolution, TCP, TLS, CONNECT through a proxy. Makes no task, so that
cancelling a dial at any point leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

from headrace.platform.http.guard import AddressGuard
from headrace.platform.http.messages import Fault, Origin, TransportError
from headrace.platform.http.proxy import Proxy

ATTEMPT_DELAY_S = 0.25
"""How long the next address waits for the one before it (RFC 8305, section 5)."""
_PROXY_HEAD_LIMIT_BYTES = 16 * 1024

_Address = tuple[socket.AddressFamily, Any]


async def dial(
    connection: asyncio.Protocol,
    origin: Origin,
    proxy: Proxy | None,
    tls: Callable[[], ssl.SSLContext],
    guard: AddressGuard | None = None,
) -> None:
    """Connects and hands the transport to `connection.connection_made`. `tls` is asked for its
    context only where TLS is needed. `guard` says which addresses may be connected to; a proxy
    resolves names itself, so behind one only addresses in URLs are checked. Raises TransportError
    (CONNECT, BLOCKED or TLS); sets no time limit of its own. Cancelling it closes the socket at
    once."""
    loop = asyncio.get_running_loop()
    if proxy is None:
        sock = await _open_socket(origin.host, origin.port, guard)
    else:
        if guard is not None:
            _check_literal(origin.host, guard)
        sock = await _open_socket(proxy.host, proxy.port, None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if proxy is None:
        secure = tls() if origin.scheme == "https" else None
        await _attach(loop, connection, sock, secure, origin.host)
        return
    secure = tls() if proxy.scheme == "https" else None
    if origin.scheme == "http":
        await _attach(loop, connection, sock, secure, proxy.host)
        return
    tunnel = _Tunnel(loop)
    await _attach(loop, tunnel, sock, secure, proxy.host)
    await _tunnel_tls(loop, tunnel, connection, origin, proxy, tls())


async def _attach(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.Protocol,
    sock: socket.socket,
    secure: ssl.SSLContext | None,
    host: str,
) -> None:
    """Gives a connected socket to the loop, with a TLS handshake if there is a context."""
    try:
        if secure is None:
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            await loop.create_connection(
                lambda: protocol, sock=sock, ssl=secure, server_hostname=host
            )
    except (OSError, ValueError) as error:
        sock.close()
        fault = Fault.CONNECT if secure is None else Fault.TLS
        raise TransportError(fault, f"{host}: {_sentence(error)}") from error
    except BaseException:
        sock.close()
        raise


async def _tunnel_tls(
    loop: asyncio.AbstractEventLoop,
    tunnel: _Tunnel,
    connection: asyncio.Protocol,
    origin: Origin,
    proxy: Proxy,
    secure: ssl.SSLContext,
) -> None:
    """CONNECT (RFC 9110, section 9.3.6), then TLS with the origin inside the tunnel."""
    outer = tunnel.transport
    try:
        await tunnel.open(_authority(origin), proxy)
        try:
            inner = await loop.start_tls(outer, connection, secure, server_hostname=origin.host)
        except (OSError, ValueError) as error:
            detail = f"{origin.host} through a proxy: {_sentence(error)}"
            raise TransportError(Fault.TLS, detail) from error
        if inner is None:
            raise TransportError(Fault.TLS, f"{origin.host} through a proxy: it was closed")
        connection.connection_made(inner)
    except BaseException:
        outer.abort()
        raise


class _Tunnel(asyncio.Protocol):
    """Sends CONNECT and reads the proxy's answer."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._head = bytearray()
        self._answered: asyncio.Future[None] = loop.create_future()

    async def open(self, target: bytes, proxy: Proxy) -> None:
        """Raises TransportError(CONNECT) unless the proxy answers 2xx and nothing more."""
        lines = [b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (target, target)]
        if proxy.authorization is not None:
            lines.append(b"Proxy-Authorization: %b\r\n" % proxy.authorization)
        if self.transport.is_closing():  # uvloop would raise another error
            raise TransportError(Fault.CONNECT, "the proxy closed the connection at once")
        self.transport.write(b"".join([*lines, b"\r\n"]))
        await self._answered
        head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
        status_line = head.partition(b"\r\n")[0]
        if not end or not status_line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
            raise TransportError(Fault.CONNECT, "the proxy did not answer CONNECT in HTTP/1.1")
        status = status_line[9:12]
        if not (status.isdigit() and status.startswith(b"2")):
            detail = f"the proxy refused CONNECT with status {status.decode('latin-1')!r}"
            raise TransportError(Fault.CONNECT, detail)
        if rest:
            raise TransportError(Fault.CONNECT, "the proxy sent bytes of its own in the tunnel")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > _PROXY_HEAD_LIMIT_BYTES:
            self._settle()

    def eof_received(self) -> None:
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()

    def _settle(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)


def _authority(origin: Origin) -> bytes:
    """CONNECT's target: host and port, always both."""
    if ":" in origin.host:
        return b"[%b]:%d" % (origin.host.encode(), origin.port)
    try:
        return b"%b:%d" % (origin.host.encode("idna"), origin.port)
    except UnicodeError as error:
        raise TransportError(Fault.CONNECT, f"{origin.host!r} is not a host name") from error


async def _open_socket(host: str, port: int, guard: AddressGuard | None) -> socket.socket:
    addresses = await _resolve(host, port)
    if guard is not None:
        # All of them: a name with one address that it must not have is not to be trusted.
        for _, address in addresses:
            _check(host, address[0], guard)
    race = _Race(asyncio.get_running_loop(), addresses)
    try:
        return await race.run()
    except OSError as error:
        detail = f"{host} port {port}: {_sentence(error)}"
        raise TransportError(Fault.CONNECT, detail) from error


def _check(host: str, address: str, guard: AddressGuard) -> None:
    objection = guard.objection(address)
    if objection is not None:
        raise TransportError(Fault.BLOCKED, f"{host} is {objection}: {address}")


def _check_literal(host: str, guard: AddressGuard) -> None:
    """Checks an address in any of the forms that resolvers read, and this machine's own name."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
            _check(host, "127.0.0.1", guard)
        return
    for _, _, _, _, address in found:
        _check(host, str(address[0]), guard)


async def _resolve(host: str, port: int) -> list[_Address]:
    """Socket addresses, families alternating (RFC 8305, section 4)."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
        if "%" not in host:
            return [(family, (host, port) if literal.version == 4 else (host, port, 0, 0))]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TransportError(Fault.CONNECT, f"{host}: {_sentence(error)}") from error
    return _interleaved([(family, address) for family, _, _, _, address in found])


def _interleaved(addresses: Sequence[_Address]) -> list[_Address]:
    """The resolver's first family first, then the families by turns."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    result: list[_Address] = []
    for index in range(max(len(first), len(others))):
        result += first[index : index + 1] + others[index : index + 1]
    return result


class _Race:
    """Connects to the first address that answers (RFC 8305, section 5), on writer callbacks: no
    task, so that cancellation closes every socket in the same step."""

    def __init__(self, loop: asyncio.AbstractEventLoop, addresses: list[_Address]) -> None:
        self._loop = loop
        self._left = list(reversed(addresses))
        self._open: set[socket.socket] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._error = OSError("the name has no address")
        self._winner: asyncio.Future[socket.socket | None] = loop.create_future()

    async def run(self) -> socket.socket:
        """Raises OSError, the last address's, if none answers."""
        try:
            self._start_next()
            winner = await self._winner
            if winner is None:
                raise self._error
            self._open.discard(winner)
            return winner
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for sock in self._open:
                self._loop.remove_writer(sock)
                sock.close()

    def _start_next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._left and not self._winner.done():
            family, address = self._left.pop()
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                self._error = error
                continue
            self._open.add(sock)
            sock.setblocking(False)
            code = sock.connect_ex(address)
            if code in (0, errno.EINPROGRESS):
                self._loop.add_writer(sock, self._on_writable, sock)
                if self._left:
                    self._timer = self._loop.call_later(ATTEMPT_DELAY_S, self._start_next)
                return
            self._drop(sock, code)
        if not self._open and not self._winner.done():
            self._winner.set_result(None)

    def _on_writable(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._drop(sock, code)
            self._start_next()
        elif not self._winner.done():
            self._winner.set_result(sock)

    def _drop(self, sock: socket.socket, code: int) -> None:
        self._error = OSError(code, os.strerror(code))
        self._open.discard(sock)
        sock.close()


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__

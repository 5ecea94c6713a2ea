"""What the tests of the upstream transport share: a raw TCP server that plays any script."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from headrace.platform.http.client import HttpTransport
from headrace.platform.http.messages import Origin, Timeouts, WireRequest, encode_head

PATIENCE_S = 10.0
"""Bounds a hang; no test asserts on it."""
CALM = Timeouts(connect_s=PATIENCE_S, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[bytes, bytes]:
        """The next request's head (with its empty line) and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length: "):
                size = int(line[16:])
        return head, await self.reader.readexactly(size)

    def send(self, data: bytes) -> None:
        if self.writer.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self.writer.write(data)

    async def answer(self, data: bytes = OK) -> None:
        await self.request()
        self.send(data)

    def reset(self) -> None:
        """Ends the connection with RST."""
        sock: socket.socket | None = self.writer.get_extra_info("socket")
        if sock is None or self.writer.transport.is_closing():
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the client has closed the connection."""
        with contextlib.suppress(OSError):
            while await asyncio.wait_for(self.reader.read(65536), PATIENCE_S):
                pass


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """A server on 127.0.0.1. Each connection runs `script`, then is closed with FIN."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.accepted = 0
        self.failures: list[BaseException] = []
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished = asyncio.Event()

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls, limit=1 << 20
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, PATIENCE_S)
        if self.failures:
            raise self.failures[0]

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", "127.0.0.1", self.port)

    def request(
        self, method: bytes = b"POST", target: bytes = b"/v1", body: bytes = b"{}"
    ) -> WireRequest:
        return WireRequest(self.origin, encode_head(method, target, [(b"Host", b"up")]), body)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._script(Peer(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client left: the tests that care await `gone`.
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), PATIENCE_S)


def forever(answer: bytes = OK) -> Script:
    """Answers each request alike."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(answer)

    return script


def once(answer: bytes) -> Script:
    """Answers one request, then ends the connection with FIN."""

    async def script(peer: Peer) -> None:
        await peer.answer(answer)

    return script


@contextlib.asynccontextmanager
async def transport(**options: object) -> AsyncIterator[HttpTransport]:
    it = HttpTransport(**options)  # type: ignore[arg-type]
    try:
        yield it
    finally:
        await it.close()
        assert it.connection_count == it.idle_count == 0


def open_sockets() -> int:
    return sum(_target(fd).startswith("socket:") for fd in os.listdir("/proc/self/fd"))


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; bounded against hangs only."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Whatever happens inside leaves no task and no socket."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    yield
    mine = asyncio.current_task()
    await until(lambda: asyncio.all_tasks() - {mine} <= tasks and open_sockets() <= sockets)


def cuts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The data cut in two at every offset."""
    for at in range(1, len(data)):
        yield data[:at], data[at:]

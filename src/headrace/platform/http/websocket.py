"""One end of a WebSocket (RFC 6455) as messages, on the sans-IO core of the package websockets,
which is imported here alone: framing, masks, fragments, pings, the closing handshake.

https://websockets.readthedocs.io/en/stable/howto/sansio.html
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import SERVER, State
from websockets.protocol import Protocol as Core
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from headrace.platform.http.upgrade import Taken

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
QUEUE_BYTES = 1024 * 1024
"""Of messages that wait for their reader; then nothing more is read."""
WRITE_HIGH_WATER = 256 * 1024
CLOSE_S = 5.0
"""How long the other end may take to answer a close."""
NORMAL, GOING_AWAY, POLICY, INTERNAL = 1000, 1001, 1008, 1011


class Message(NamedTuple):
    """Whole, however many frames it came in. `data` of a text is UTF-8 as it came."""

    is_text: bool
    data: bytes


class Answer(NamedTuple):
    """A server's answer to a handshake that is none."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def accept_of(key: bytes) -> bytes:
    """`Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (section 4.2.2)."""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


class WebSocket(Taken):
    """Belongs to one event loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._transport: asyncio.Transport | None = None
        self._messages: deque[Message] = deque()
        self._queued_bytes = 0
        self._parts: list[bytes] = []
        self._is_text = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = self._released = False
        self.answer: Response | None = None
        self.heard_at = 0.0
        """Loop time at which the last byte came."""
        self.on_lost: Callable[[Exception | None], None] = lambda _: None

    @classmethod
    def server(cls, message_limit_bytes: int) -> WebSocket:
        """The end of a server that has answered the handshake."""
        return cls(Core(SERVER, max_size=message_limit_bytes))

    @property
    def close_code(self) -> int | None:
        """What the other end said, 1005 if it named no code, 1006 if it went without a word; None
        while it is there."""
        if self._core.close_rcvd is not None:
            return self._core.close_rcvd.code
        return 1006 if self._lost else None

    @property
    def sent_code(self) -> int | None:
        """What this end said: an answer, or what was wrong with what came."""
        return None if self._core.close_sent is None else self._core.close_sent.code

    @property
    def _ended(self) -> bool:
        return self._lost or self._core.close_rcvd is not None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.heard_at = asyncio.get_running_loop().time()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._core.receive_data(data)
        self._collect()

    def eof_received(self) -> bool:
        self._core.receive_eof()
        self._collect()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if not self._core.reader.eof:
            self._core.receive_eof()
        self._changed.set()
        self._writable.set()
        if self._released or self._core.close_rcvd is None:
            self.on_lost(exc)

    def release(self) -> None:
        """Whoever reads here has done so to the end. An end that the other side announced is told
        only after that: it is no reason to break off."""
        self._released = True
        if self._lost and self._core.close_rcvd is not None:
            self.on_lost(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # messages

    async def receive(self) -> Message | None:
        """The next; None once the other end has closed or gone."""
        while not self._messages:
            if self._ended or self._core.state is not State.OPEN:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        before = self._queued_bytes
        self._queued_bytes -= len(message.data)
        if before > QUEUE_BYTES >= self._queued_bytes and self._transport is not None:
            self._transport.resume_reading()
        return message

    async def send(self, message: Message) -> None:
        """Waits while the other end reads too slowly. Does nothing if it has gone."""
        if self._core.state is State.OPEN:
            put = self._core.send_text if message.is_text else self._core.send_binary
            put(message.data)
            self._flush()
            await self._writable.wait()

    def ping(self) -> None:
        """The other end answers by itself, which counts as heard."""
        if self._core.state is State.OPEN:
            self._core.send_ping(b"")
            self._flush()

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye and waits a little for the answer. Idempotent."""
        if self._core.state is State.OPEN:
            self._core.send_close(code, reason)
            self._flush()
        loop = asyncio.get_running_loop()
        until = loop.time() + CLOSE_S
        while not self._ended and loop.time() < until:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
            self._messages.clear()

    def abort(self) -> None:
        """Breaks the connection."""
        if self._transport is not None:
            self._transport.abort()

    def shut(self) -> None:
        """Closes the connection once all is written."""
        if self._transport is not None and not self._lost:
            self._transport.close()

    async def changed(self) -> None:
        """Something came, or the connection ended."""
        self._changed.clear()
        if not self._lost:
            await self._changed.wait()

    def _collect(self) -> None:
        for event in self._core.events_received():
            if isinstance(event, Response):
                self.answer = event
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()
        self._changed.set()
        if self._queued_bytes > QUEUE_BYTES and self._transport is not None and not self._lost:
            self._transport.pause_reading()

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if frame.fin:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._messages.append(Message(self._is_text, data))
            self._queued_bytes += len(data)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return  # it is written when the connection is there
        for data in self._core.data_to_send():
            if self._lost:
                continue
            if data:
                transport.write(data)
            else:
                transport.close()


class ClientSocket(WebSocket):
    """The end of a client; its handshake begins when it is connected."""

    def __init__(
        self,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        subprotocols: Sequence[str],
        message_limit_bytes: int,
    ) -> None:
        """`url` begins with ws:// or wss://."""
        core = ClientProtocol(
            parse_uri(url),
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=message_limit_bytes,
        )
        super().__init__(core)
        request = core.connect()
        for name, value in headers:
            request.headers[name.decode("latin-1")] = value.decode("latin-1")
        core.send_request(request)

    async def opened(self) -> Answer | None:
        """Waits for the handshake's end: None if it is open, else what was answered in its place.
        Raises ConnectionError if that is no HTTP."""
        while self._core.state is State.CONNECTING and self._core.handshake_exc is None:
            if self._lost:
                raise ConnectionError("the connection ended before the handshake's answer")
            await self.changed()
        if self._core.state is State.OPEN:
            return None
        if self.answer is None or self.answer.status_code == 101:
            raise ConnectionError(f"no handshake: {self._core.handshake_exc!r}")
        told = self.answer
        return Answer(told.status_code, _pairs(told.headers), bytes(told.body))


def _pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.raw_items()
    ]

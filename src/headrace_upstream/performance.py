"""Plays one reply on one connection: writes, waits, honours back-pressure, notices the end.

No task, no coroutine: beats run until one has to wait, then a timer or the transport resumes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Literal

from headrace_upstream.reply import Beat, End, Hang, Reply, Send, Wait
from headrace_upstream.template import LAST_CHUNK, chunk

How = Literal["completed", "faulted", "client_gone"]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_FLUSH_POLL_S = 0.001


class Performance:
    """`on_end(performance, how)` is called once. After `faulted` the connection is unusable."""

    __slots__ = (
        "_beats",
        "_hanging",
        "_head",
        "_loop",
        "_on_end",
        "_paused",
        "_timer",
        "_transport",
        "body_bytes",
        "over",
        "reply",
        "tokens_sent",
    )

    def __init__(
        self,
        reply: Reply,
        head: bytes,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Performance, How], None],
    ) -> None:
        self.reply = reply
        self._head = head
        self._beats: Iterator[Beat] = iter(reply.beats)
        self._transport = transport
        self._loop = loop
        self._on_end = on_end
        self._timer: asyncio.Handle | None = None
        self._paused = False
        self._hanging = False
        self.over = False
        self.body_bytes = 0
        self.tokens_sent = 0

    def start(self) -> None:
        if self.reply.head_s > 0:
            self._timer = self._loop.call_later(self.reply.head_s, self._begin)
        else:
            self._begin()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._timer is None and not self._hanging:
            self._run()

    def client_gone(self) -> None:
        """The connection is lost: stop."""
        self._finish("client_gone")

    def _begin(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._run()

    def _run(self) -> None:
        self._timer = None
        # A write that finds the client gone says so only by a transport that closes.
        while not (self.over or self._paused or self._transport.is_closing()):
            beat = next(self._beats, None)
            if beat is None:
                self._end_properly()
            elif isinstance(beat, Send):
                self._send(beat)
            elif isinstance(beat, Wait):
                self._timer = (
                    self._loop.call_later(beat.seconds, self._run)
                    if beat.seconds > 0
                    else self._loop.call_soon(self._run)
                )
                return
            elif isinstance(beat, Hang):
                self._hang(beat)
                return
            else:
                self._end_badly(beat)

    def _send(self, beat: Send) -> None:
        if not beat.data:
            return
        chunked = self.reply.framing == "chunked"
        self._transport.write(chunk(beat.data) if chunked else beat.data)
        self.body_bytes += len(beat.data)
        self.tokens_sent += beat.tokens

    def _hang(self, beat: Hang) -> None:
        self._hanging = True
        if beat.every_s is not None:
            self._timer = self._loop.call_later(beat.every_s, self._ping, beat)

    def _ping(self, beat: Hang) -> None:
        if not self._paused:
            self._send(Send(beat.ping))
        self._hang(beat)

    def _end_properly(self) -> None:
        if self.reply.framing == "chunked":
            self._transport.write(LAST_CHUNK)
        if self.reply.framing in ("close", "none") or not self.reply.keep_alive:
            self._transport.close()
        self._finish("completed" if self.reply.fault is None else "faulted")

    def _end_badly(self, beat: End) -> None:
        if beat.how == "clean_end":
            self._transport.write(LAST_CHUNK)
        elif beat.how == "broken_chunk":
            self._transport.write(b"400\r\n" + b"x" * 64)
        if beat.how == "rst":
            self._reset_when_flushed()
        else:
            self._transport.close()
        self._finish("faulted")

    def _reset_when_flushed(self) -> None:
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_FLUSH_POLL_S, self._reset_when_flushed)
        else:
            reset(self._transport)

    def _finish(self, how: How) -> None:
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._on_end(self, how)


def reset(transport: asyncio.Transport) -> None:
    """Closes the connection with a TCP reset instead of a proper end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()

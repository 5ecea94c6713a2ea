"""One attempt on one backend: ask it, check what comes, hand it on.

Until the first content of a stream nothing has reached the client: `Refused` then means that
another attempt would be invisible. After it the stream is committed, and a fault ends it in-band.
"""

from __future__ import annotations

import asyncio
import time

from headrace.errors import Reason, Refused
from headrace.gateway import upstream_faults
from headrace.gateway.models import Target
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call
from headrace.platform.http.messages import Timeouts, Transport, TransportError, WireResponse
from headrace.platform.http.sse import EventSplitter, EventTooLarge
from headrace.services.service import BadAnswer, EventRead, StreamReader

WHOLE_LIMIT_BYTES = 64 * 1024 * 1024
STREAM_LIMIT_BYTES = 64 * 1024 * 1024
ERROR_LIMIT_BYTES = 256 * 1024
TAIL_S = 1.0
"""How long the end of a complete stream is waited for, to keep its connection."""


async def whole(target: Target, call: Call, progress: Progress, wire: Transport) -> bytes:
    """Asks for a whole answer and returns its body, checked. Raises Refused."""
    patience = target.patience
    timeouts = Timeouts(patience.connect_s, patience.whole_s, patience.idle_s)
    request = target.service.request(call)
    progress.sent_upstream = True
    started = asyncio.get_running_loop().time()
    try:
        response = await wire.send(request, timeouts)
        try:
            if response.whole:  # nearly always, and a timer costs more than the rest of this
                body = await _body_of(response, call)
            else:
                async with asyncio.timeout_at(started + patience.whole_s):
                    body = await _body_of(response, call)
        finally:
            response.close()
    except TransportError as error:
        raise upstream_faults.refusal_of_transport(error) from error
    except TimeoutError as error:
        raise upstream_faults.refusal_of_timeout("the whole answer's time is over") from error
    try:
        read = target.service.read_whole(call, body)
    except BadAnswer as error:
        raise upstream_faults.refusal_of_bad_answer(
            f"{error}: {body[:400].decode('utf-8', 'replace')}"
        ) from error
    if read.error is not None:
        raise upstream_faults.refusal_of_status(500, {}, b'{"error":%b}' % read.error, call.body)
    progress.usage = read.usage
    progress.first_content_at = time.monotonic()
    return body


async def stream(
    target: Target, call: Call, about: bytes, reply: Reply, progress: Progress, wire: Transport
) -> None:
    """Asks for a stream and relays it. Raises Refused, also after the commit point."""
    patience = target.patience
    timeouts = Timeouts(patience.connect_s, patience.first_token_s, patience.idle_s)
    request = target.service.request(call)
    progress.sent_upstream = True
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(patience.first_token_s) as clock:
            response = await wire.send(request, timeouts)
            try:
                if response.status != 200:
                    raise await _refusal(response, call)
                reader = target.service.stream_reader(call)
                relay = _Relay(reader, about, reply, progress, patience.idle_s)
                while not relay.done:
                    ended = await response.relay(relay.take)
                    if ended and not relay.done:
                        raise BadAnswer("the bytes ended before the stream's terminal event")
                    clock.reschedule(started + patience.stream_s)  # it has its first token
                    if reply.congested:
                        await reply.drained()
                clock.reschedule(asyncio.get_running_loop().time() + TAIL_S)
                await response.next_chunk()
            finally:
                response.close()
    except (TransportError, TimeoutError, BadAnswer, EventTooLarge) as error:
        if progress.finish != "complete":
            raise _stream_fault(error, reply) from error


class _Relay:
    """Takes a stream's chunks, holds events back until there is content, then hands them on."""

    __slots__ = (
        "_about",
        "_bytes",
        "_held",
        "_idle_s",
        "_progress",
        "_quiet_since",
        "_reader",
        "_reply",
        "_splitter",
        "done",
    )

    def __init__(
        self,
        reader: StreamReader,
        about: bytes,
        reply: Reply,
        progress: Progress,
        idle_s: float,
    ) -> None:
        self._reader = reader
        self._splitter = EventSplitter()
        self._about = about
        self._reply = reply
        self._progress = progress
        self._idle_s = idle_s
        self._held: list[bytes] = []
        self._bytes = 0
        self._quiet_since = time.monotonic()
        self.done = False

    def take(self, chunk: bytes) -> bool:
        """Relays a chunk. True if the caller has something to do before the next one: the answer
        was just committed, the stream is done, or the client is slow. Raises BadAnswer,
        EventTooLarge, TimeoutError."""
        self._bytes += len(chunk)
        if self._bytes > STREAM_LIMIT_BYTES:
            raise BadAnswer(f"the stream is over {STREAM_LIMIT_BYTES:,} bytes")
        reply, out = self._reply, self._held
        content = False
        for event, data in self._splitter.pairs(chunk):
            read = self._reader.read(event, data)
            if read.forward:
                out.append(read.forward)
            if read.content:
                content = True
                self._progress.content_events += 1
            if read.special:
                self._note(read)
                if self.done:
                    return True
        now = time.monotonic()
        if content:
            self._quiet_since = now
        elif now - self._quiet_since > self._idle_s:
            raise TimeoutError(f"nothing but pings for {self._idle_s} s")
        if reply.committed:
            if out:
                self._flush(out)
            return reply.congested
        if content:
            self._commit(now)
            self._flush(out)
        return content

    def _note(self, read: EventRead) -> None:
        """What only few events of a stream bring."""
        if read.error is not None:
            if self._reply.committed:
                self._flush(self._held)
            raise BadAnswer(f"an error inside the stream: {read.error!r}")
        if read.usage is not None:
            self._progress.usage = read.usage
        if read.terminal:
            self.done = True
            if not self._reply.committed:
                self._commit(time.monotonic())
            self._progress.finish = "complete"
            self._reply.end(b"".join(self._held))

    def _commit(self, now: float) -> None:
        """From here on the client has something of this answer."""
        progress = self._progress
        progress.status, progress.finish = 200, "incomplete"
        if progress.content_events:
            progress.first_content_at = now
        self._reply.begin(self._about)

    def _flush(self, out: list[bytes]) -> None:
        if out:
            self._reply.send(out[0] if len(out) == 1 else b"".join(out))
            out.clear()


async def _body_of(response: WireResponse, call: Call) -> bytes:
    if response.status != 200:
        raise await _refusal(response, call)
    return await response.read(WHOLE_LIMIT_BYTES)


async def _refusal(response: WireResponse, call: Call) -> Refused:
    body = await response.read(ERROR_LIMIT_BYTES)
    return upstream_faults.refusal_of_status(
        response.status, dict(response.headers), body, call.body
    )


def _stream_fault(error: Exception, reply: Reply) -> Refused:
    if reply.committed:
        return upstream_faults.interruption(f"{type(error).__name__}: {error}")
    if isinstance(error, TransportError):
        return upstream_faults.refusal_of_transport(error)
    if isinstance(error, TimeoutError):
        return upstream_faults.refusal_of_timeout(str(error) or "no first token in time")
    return upstream_faults.refusal_of_bad_answer(str(error))


def drained_away() -> Refused:
    """What a client is told inside a stream that outlived the drain."""
    return Refused(
        Reason.DRAINING,
        "This gateway is restarting and could not wait for your answer to end: what you got is "
        "incomplete. Please try again.",
        retry_after_s=1.0,
    )

"""One attempt on one backend: ask it, check what comes, hand it on.

Until the first content of a stream nothing has reached the client: `AttemptFailed` says that
another attempt would be invisible. After it the stream is committed, and a fault ends it in-band.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct

from headrace.errors import Reason, Refused
from headrace.gateway import upstream_faults
from headrace.gateway.failure import AttemptFailed, Failure, Kind
from headrace.gateway.load import Load
from headrace.gateway.models import Patience, Target
from headrace.gateway.prices import LOCAL
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Timeouts, Transport, TransportError, WireResponse
from headrace.platform.http.sse import EventTooLarge
from headrace.services import counts
from headrace.services.service import BadAnswer, EventRead, StreamReader, WholeRead

WHOLE_LIMIT_BYTES = 64 * 1024 * 1024
STREAM_LIMIT_BYTES = 64 * 1024 * 1024
ERROR_LIMIT_BYTES = 256 * 1024
KIND_LIMIT_BYTES = 512
FEW_HEADERS = 8
"""An answer with no more holds no rate limits: those who send these send many others."""
Committed = Callable[[float], None]
"""Told the monotonic instant of a stream's first content, before the client gets it."""
UNCOUNTED_BYTES = 1024 * 1024
"""What one stream may hold of an event without being counted with others."""
LEAST_S = 0.001
ABOUT = 0.999
"""A call is a moment old when it is sent: what is this near to a usual time limit is that."""
TAIL_S = 1.0
"""How long the end of a complete stream is waited for, to keep its connection."""


class Unfinished(Struct):
    """What all streams hold of large events whose end has not come."""

    limit_bytes: int = 256 * 1024 * 1024
    held_bytes: int = 0


class Attempt(Struct, gc=False):
    """What is asked of whom, and until when. `deadline` is monotonic seconds: for a whole answer,
    or for the first content of a stream."""

    target: Target
    call: Call
    progress: Progress
    wire: Transport
    deadline: float
    load: Load
    unfinished: Unfinished


async def whole(attempt: Attempt) -> bytes:
    """Asks for a whole answer and returns its body, checked. Raises AttemptFailed, Refused."""
    target, call, patience = attempt.target, attempt.call, attempt.target.patience
    now = time.monotonic()
    left_s = max(LEAST_S, min(patience.whole_s, attempt.deadline - now))
    try:
        request = target.service.request(call)
    except Refused as refused:
        raise AttemptFailed(Failure(Kind.UNSUPPORTED, refused)) from refused
    if attempt.progress.trace is not None:
        request = attempt.progress.trace.sent(target, request)
    attempt.progress.note = request.note
    attempt.progress.sent_upstream = True
    try:
        response = await attempt.wire.send(request, _timeouts(patience, left_s))
        try:
            if len(response.headers) > FEW_HEADERS:
                attempt.load.read(dict(response.headers), now)
            if response.whole:  # nearly always, and a timer costs more than the rest of this
                body = await _body_of(response, attempt)
            else:
                async with asyncio.timeout(max(0.0, now + left_s - time.monotonic())):
                    body = await _body_of(response, attempt)
        finally:
            response.close()
    except TransportError as error:
        raise AttemptFailed(upstream_faults.failure_of_transport(error)) from error
    except TimeoutError as error:
        cause = "the whole answer's time is over"
        raise AttemptFailed(upstream_faults.failure_of_timeout(cause)) from error
    try:
        read = target.service.read_whole(call, body)
    except BadAnswer as error:
        read = _read_without_usage(attempt, body, error)
    if read.error is not None:
        failure = upstream_faults.failure_of_error(read.error, call.body)
        raise AttemptFailed(failure)
    if read.doubted:
        attempt.progress.doubt()
    attempt.progress.usage = read.usage
    attempt.progress.first_content_at = time.monotonic()
    return body if read.body is None else read.body


async def stream(attempt: Attempt, about: bytes, reply: Reply, committed: Committed) -> None:
    """Asks for a stream and relays it; `committed` is told when its first content is there.
    Raises AttemptFailed before that, Refused after it."""
    target, patience = attempt.target, attempt.target.patience
    left_s = max(LEAST_S, min(patience.first_token_s, attempt.deadline - time.monotonic()))
    try:
        request = target.service.request(attempt.call)
    except Refused as refused:
        raise AttemptFailed(Failure(Kind.UNSUPPORTED, refused)) from refused
    if attempt.progress.trace is not None:
        request = attempt.progress.trace.sent(target, request)
    attempt.progress.sent_upstream = True
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(left_s) as clock:
            reader = target.service.stream_reader(attempt.call)
            relay = _Relay(reader, about + request.note, reply, attempt, committed)
            response = await attempt.wire.send(request, _timeouts(patience, left_s))
            try:
                if len(response.headers) > FEW_HEADERS:
                    attempt.load.read(dict(response.headers), time.monotonic())
                if response.status != 200:
                    raise await _failure(response, attempt)
                if attempt.call.passed is not None and attempt.call.passed.raw:
                    relay.tell(_kind_of(response))
                while not relay.done:
                    ended = await response.relay(relay.take)
                    if ended and not relay.done:
                        relay.end(proved=not response.close_delimited)
                    clock.reschedule(started + patience.stream_s)  # it has its first token
                    if reply.congested:
                        await reply.drained()
                clock.reschedule(asyncio.get_running_loop().time() + TAIL_S)
                await response.next_chunk()
            finally:
                relay.close()
                response.close()
    except (TransportError, TimeoutError, BadAnswer, EventTooLarge) as error:
        if attempt.progress.finish != "complete":
            raise _stream_fault(error, reply) from error


def _read_without_usage(attempt: Attempt, body: bytes, error: BadAnswer) -> WholeRead:
    """An answer whose usage may be anything is an answer. Raises AttemptFailed for what is none."""
    try:
        return counts.whole_without_usage(attempt.target.service, attempt.call, body, error)
    except BadAnswer as fault:
        cause = f"{fault}: {body[:400].decode('utf-8', 'replace')}"
        raise AttemptFailed(upstream_faults.failure_of_bad_answer(cause)) from fault


def _timeouts(patience: Patience, left_s: float) -> Timeouts:
    for usual in patience.usual:
        if ABOUT * usual.first_byte_s <= left_s <= usual.first_byte_s:
            return usual
    return Timeouts(min(patience.connect_s, left_s), left_s, patience.idle_s)


class _Relay:
    """Takes a stream's chunks, holds events back until there is content, then hands them on."""

    __slots__ = (
        "_about",
        "_asked",
        "_bytes",
        "_committed",
        "_doubted",
        "_held",
        "_idle_s",
        "_open_bytes",
        "_progress",
        "_quiet_since",
        "_reader",
        "_reply",
        "_splitter",
        "_unfinished",
        "done",
    )

    def __init__(
        self,
        reader: StreamReader,
        about: bytes,
        reply: Reply,
        attempt: Attempt,
        committed: Committed,
    ) -> None:
        self._committed = committed
        self._reader = reader
        self._splitter = reader.splitter()
        self._about = about
        self._asked = attempt.call.body
        self._reply = reply
        self._progress = attempt.progress
        self._idle_s = attempt.target.patience.idle_s
        self._held: list[bytes] = []
        self._bytes = 0
        self._doubted = False
        self._open_bytes = 0
        """Of the event whose end is awaited, about."""
        self._unfinished = attempt.unfinished
        self._quiet_since = time.monotonic()
        self.done = False

    def take(self, chunk: bytes) -> bool:
        """Relays a chunk. True if the caller has something to do before the next one: the answer
        was just committed, the stream is done, or the client is slow. Raises BadAnswer,
        EventTooLarge, TimeoutError."""
        self._bytes += len(chunk)
        if self._bytes > STREAM_LIMIT_BYTES:
            raise BadAnswer(f"the stream is over {STREAM_LIMIT_BYTES:,} bytes")
        fault: EventTooLarge | None = None
        try:
            pairs = self._splitter.pairs(chunk)
        except EventTooLarge as error:
            pairs, fault = error.before, error
        if not pairs:
            self._wait_for_end(len(chunk))
        elif self._open_bytes:
            self.close()
        reply, out = self._reply, self._held
        content = False
        try:
            for event, data in pairs:
                try:
                    read = self._reader.read(event, data)
                except BadAnswer as error:
                    read = counts.event_without_usage(self._reader, event, data, error)
                if read.forward:
                    out.append(read.forward)
                if read.content:
                    content = True
                    self._progress.content_events += 1
                if read.special:
                    if content and read.error is not None and not reply.committed:
                        self._commit(time.monotonic())
                    self._note(read)
                    if self.done:
                        return True
            if fault is not None:
                raise fault
        except (BadAnswer, EventTooLarge):
            # What came before it is handed on: how the bytes were cut makes no difference.
            if content and not reply.committed:
                self._commit(time.monotonic())
            if reply.committed:
                self._flush(out)
            raise
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
            if not self._reply.committed:
                failure = upstream_faults.failure_of_error(read.error, self._asked)
                if failure.kind is not Kind.SERVER:
                    raise AttemptFailed(failure)
            raise BadAnswer(f"an error inside the stream: {read.error!r}")
        if read.doubted:
            if not self._doubted:
                self._doubted = True
                self._progress.doubt()
        elif read.usage is not None and not self._doubted:  # a later event may tell but a part
            self._progress.usage = read.usage
        if read.terminal:
            self._finish()

    def tell(self, lines: bytes) -> None:
        """More header lines for the client."""
        self._about += lines

    def end(self, *, proved: bool) -> None:
        """The bytes have ended without a terminal event. `proved`: it is sure that this is all
        that was sent. Raises BadAnswer unless the answer is complete nevertheless."""
        read = self._reader.end(self._splitter.rest) if proved else None
        if read is not None:
            self._held.append(read.forward)
            self._progress.content_events += read.content
            self._note(read)
        if not self.done:
            raise BadAnswer("the bytes ended before the stream's terminal event")

    def close(self) -> None:
        """Nothing more is taken."""
        if self._open_bytes > UNCOUNTED_BYTES:
            self._unfinished.held_bytes -= self._open_bytes
        self._open_bytes = 0

    def _wait_for_end(self, size: int) -> None:
        """No event ended in these `size` bytes. Raises EventTooLarge."""
        before, unfinished = self._open_bytes, self._unfinished
        self._open_bytes += size
        if self._open_bytes > UNCOUNTED_BYTES:
            unfinished.held_bytes += size if before > UNCOUNTED_BYTES else self._open_bytes
            if unfinished.held_bytes > unfinished.limit_bytes:
                raise EventTooLarge("too much is held of large events", [])

    def _finish(self) -> None:
        """The answer is complete."""
        self.done = True
        if not self._reply.committed:
            self._commit(time.monotonic())
        self._reply.end(b"".join(self._held))
        self._progress.finish = "complete"

    def _commit(self, now: float) -> None:
        """From here on the client has something of this answer."""
        progress = self._progress
        progress.status, progress.finish = 200, "incomplete"
        if progress.content_events and progress.first_content_at is None:
            progress.first_content_at = now
        self._committed(now)
        self._reply.begin(self._about)

    def _flush(self, out: list[bytes]) -> None:
        if out:
            self._reply.send(out[0] if len(out) == 1 else b"".join(out))
            out.clear()


def _kind_of(response: WireResponse) -> bytes:
    """Header lines that say of what kind an answer is that is handed on as it comes."""
    return b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in response.headers
        if name in (b"content-type", b"content-disposition") and len(value) <= KIND_LIMIT_BYTES
    )


async def _body_of(response: WireResponse, attempt: Attempt) -> bytes:
    if response.status != 200:
        raise await _failure(response, attempt)
    return await response.read(WHOLE_LIMIT_BYTES)


async def _failure(response: WireResponse, attempt: Attempt) -> AttemptFailed:
    body = await response.read(ERROR_LIMIT_BYTES)
    if response.status == 404 and attempt.call.operation in (Operation.FILES, Operation.RESPONSE):
        is_file = attempt.call.operation is Operation.FILES
        reason = Reason.UNKNOWN_FILE if is_file else Reason.UNKNOWN_RESPONSE
        return AttemptFailed(upstream_faults.failure_of_kept(reason, body))
    headers, asked = dict(response.headers), attempt.call.body
    failure = upstream_faults.failure_of_status(response.status, headers, body, asked)
    if attempt.target.service.provider == LOCAL:
        upstream_faults.tell_in_own_words(failure, body)
    return AttemptFailed(failure)


def _stream_fault(error: Exception, reply: Reply) -> Exception:
    if reply.committed:
        return upstream_faults.interruption(f"{type(error).__name__}: {error}")
    if isinstance(error, TransportError):
        return AttemptFailed(upstream_faults.failure_of_transport(error))
    if isinstance(error, TimeoutError):
        cause = str(error) or "no first token in time"
        return AttemptFailed(upstream_faults.failure_of_timeout(cause))
    return AttemptFailed(upstream_faults.failure_of_cut(str(error)))


def drained_away() -> Refused:
    """What a client is told inside a stream that outlived the drain."""
    return Refused(
        Reason.DRAINING,
        "This gateway is restarting and could not wait for your answer to end: what you got is "
        "incomplete. Please try again.",
        retry_after_s=1.0,
    )

"""A load generator for what wrk can't do: exact counts, open-loop schedules, streams.

    python -m benchmarks.load URL --body FILE --calls 1000 --connections 64     closed loop
    python -m benchmarks.load URL --body FILE --calls 1000 --rate 100 --stream  open loop

In the open loop calls start on a schedule (Poisson arrivals, the same for each run) whether or not
earlier ones were answered, and latency counts from the scheduled start: a gateway that stalls
can't hide it (no coordinated omission). The result is one JSON object on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import signal
import sys
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

_FIRST_CONTENT = re.compile(rb'"content":\s?"[^"]')
_SCHEDULE_SEED = 17


class Outcome(msgspec.Struct):
    """What a run of the load saw. Times are in seconds, one for each call answered well."""

    latency_s: list[float] = []
    """From the scheduled start to the answer's last byte."""
    first_content_s: list[float] = []
    """From the scheduled start to the first event with content; streams only."""
    wall_s: float = 0.0
    events: int = 0
    """SSE events received."""
    failed: int = 0
    """Calls answered by another status than 200, cut, or not closed by [DONE]."""
    unfinished: int = 0
    """Calls that were not answered when the time was up."""
    first_failure: str = ""


class _Call:
    """One call in flight."""

    __slots__ = ("body", "done_seen", "events", "first_content", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.first_content = 0.0
        self.events = 0
        self.done_seen = False
        self.body = b""


class _Connection(asyncio.Protocol):
    """One kept connection; one call at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._call: _Call | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, call: _Call) -> None:
        assert self._transport is not None
        self._call = call
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"not HTTP: {error}", reusable=False)

    def on_body(self, body: bytes) -> None:
        call = self._call
        if call is None:
            return
        if not self._load.stream:
            call.body = call.body + body if len(call.body) < 300 else call.body
            return
        # A few bytes of the piece before are kept, as a mark may be cut in two.
        joined = call.body + body
        if not call.first_content and _FIRST_CONTENT.search(joined):
            call.first_content = perf_counter()
        call.events += joined.count(b"data: ") - call.body.count(b"data: ")
        call.done_seen = call.done_seen or b"data: [DONE]" in joined
        call.body = joined if not call.first_content else joined[-16:]

    def on_message_complete(self) -> None:
        call = self._call
        if call is None:
            return
        status = self._parser.get_status_code()
        if status != 200:
            self._end(f"status {status}: {call.body[:200]!r}", self._parser.should_keep_alive())
        elif self._load.stream and not (call.done_seen and call.first_content):
            self._end("a stream without content or [DONE]", reusable=False)
        else:
            self._end("", self._parser.should_keep_alive())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._call is not None:
            self._end(f"connection lost: {exc}", reusable=False)
        else:
            self._load.connection_gone(self)

    def _end(self, failure: str, reusable: bool) -> None:
        call, self._call = self._call, None
        assert call is not None and self._transport is not None
        if not reusable:
            self._transport.abort()
        self._load.call_ended(call, self if reusable else None, failure)


class Load:
    """A bounded number of calls to one URL."""

    def __init__(
        self,
        *,
        port: int,
        request: bytes,
        calls: int,
        connections: int,
        rate_per_s: float | None,
        stream: bool,
    ) -> None:
        self.request = request
        self.stream = stream
        self._port = port
        self._calls = calls
        self._most = connections
        self._rate_per_s = rate_per_s
        self._idle: list[_Connection] = []
        self._waiting: deque[_Call] = deque()
        self._open = 0
        self._ended = 0
        self._outcome = Outcome()
        self._finished = asyncio.Event()
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self, limit_s: float) -> Outcome:
        """Make all calls; give up on those not answered after `limit_s`."""
        # An open loop grows its pool as it needs; half a second of the rate is opened before.
        ready = self._most if self._rate_per_s is None else min(self._most, 32)
        await asyncio.gather(*(self._connect() for _ in range(ready)))
        began = perf_counter()
        if self._rate_per_s is None:
            for _ in range(self._calls):
                self._start(_Call(began))
        else:
            self._schedule(began, self._rate_per_s)
        try:
            await asyncio.wait_for(self._finished.wait(), limit_s)
        except TimeoutError:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._outcome.wall_s = perf_counter() - began
        self._outcome.unfinished = self._calls - self._ended
        return self._outcome

    def _schedule(self, began: float, rate_per_s: float) -> None:
        # Timers of an event loop are a millisecond coarse; the interval timer is not.
        chance = random.Random(_SCHEDULE_SEED)
        due: deque[float] = deque()
        at = began + 0.05
        for _ in range(self._calls):
            due.append(at)
            at += chance.expovariate(rate_per_s)

        def fire() -> None:
            while due and due[0] <= perf_counter():
                self._start(_Call(due.popleft()))
            if due:
                signal.setitimer(signal.ITIMER_REAL, max(due[0] - perf_counter(), 1e-6))

        asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, fire)
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    def _start(self, call: _Call) -> None:
        if self._idle:
            self._send(self._idle.pop(), call)
            return
        self._waiting.append(call)
        if self._open < self._most:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _send(self, connection: _Connection, call: _Call) -> None:
        if self._rate_per_s is None:
            call.started = perf_counter()
        connection.send(call)

    async def _connect(self) -> None:
        self._open += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), "127.0.0.1", self._port
            )
        except OSError as error:
            self._open -= 1
            if self._waiting:
                self.call_ended(self._waiting.popleft(), None, f"can't connect: {error}", False)
            return
        self._offer(connection)

    def _offer(self, connection: _Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def connection_gone(self, connection: _Connection) -> None:
        """An idle connection was closed by the other side."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._open -= 1

    def call_ended(
        self, call: _Call, connection: _Connection | None, failure: str, was_open: bool = True
    ) -> None:
        """A call was answered or lost; `connection` if it can carry another."""
        now = perf_counter()
        outcome = self._outcome
        self._ended += 1
        outcome.events += call.events
        if failure:
            outcome.failed += 1
            outcome.first_failure = outcome.first_failure or failure
        else:
            outcome.latency_s.append(now - call.started)
            if self.stream:
                outcome.first_content_s.append(call.first_content - call.started)
        if self._ended == self._calls:
            self._finished.set()
        elif connection is not None:
            self._offer(connection)
        elif was_open:
            self._open -= 1
            if self._waiting:
                self._start(self._waiting.popleft())


def request_bytes(url: str, headers: list[str], body: bytes) -> bytes:
    """A whole HTTP/1.1 POST of `body`."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _run(options: argparse.Namespace, body: bytes) -> Outcome:
    parts = urlsplit(options.url)
    if parts.hostname != "127.0.0.1" or parts.port is None:
        raise SystemExit(
            "load goes to loopback only: the URL must start with http://127.0.0.1:PORT"
        )
    load = Load(
        port=parts.port,
        request=request_bytes(options.url, options.header, body),
        calls=options.calls,
        connections=options.connections,
        rate_per_s=options.rate,
        stream=options.stream,
    )
    return await load.run(options.limit_s)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="where to POST: http://127.0.0.1:PORT/v1/chat/completions")
    parser.add_argument("--body", required=True, help="file with the request body")
    parser.add_argument("--header", action="append", default=[], help="'Name: value'; repeatable")
    parser.add_argument("--calls", type=int, required=True, help="calls to make in all")
    parser.add_argument("--connections", type=int, default=64, help="at most so many (default 64)")
    parser.add_argument("--rate", type=float, help="calls a second, open loop; else closed loop")
    parser.add_argument("--stream", action="store_true", help="answers are event streams")
    parser.add_argument("--limit-s", type=float, default=60.0, help="give up after (default 60)")
    options = parser.parse_args()
    outcome = uvloop.run(_run(options, Path(options.body).read_bytes()))
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")


if __name__ == "__main__":
    main()

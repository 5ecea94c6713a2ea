"""An upstream that streams, as thin as Python allows: `python -m benchmarks.stream_upstream`.

Each content event of a stream is one write on the socket, `--interval-ms` after the one before,
so that a gateway reads each by itself, as it would from a model. The first event comes at once.
`max_tokens` of the request says how many content events there are; a usage event and `[DONE]`
close the stream. Requests without `"stream": true` get the whole answer of the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import cast

import httptools
import uvloop

from benchmarks.bodies import ANSWER

_WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
_IS_STREAM = re.compile(rb'"stream"\s*:\s*true')
_MAX_TOKENS = re.compile(rb'"max_tokens"\s*:\s*(\d+)')


def _event(choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> bytes:
    data = json.dumps(
        {
            "id": "chatcmpl-benchmark0000000000000000",
            "object": "chat.completion.chunk",
            "created": 1760000000,
            "model": "gpt-4o-mini-2024-07-18",
            "system_fingerprint": "fp_benchmark",
            "choices": choices,
            "usage": usage,
        },
        separators=(",", ":"),
    ).encode()
    return b"data: " + data + b"\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _frame(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


_OPENING = _STREAM_HEAD + _frame(_event([_choice({"role": "assistant", "content": ""})]))
# Neighbouring events differ: LiteLLM ends a stream that says the same thing 100 times.
_CONTENTS = [_frame(_event([_choice({"content": word})])) for word in (" water", " wheel")]
_END = _frame(_event([_choice({}, "stop")]))


def _closing(chunks: int) -> bytes:
    usage = {"prompt_tokens": 200, "completion_tokens": chunks, "total_tokens": 200 + chunks}
    return _END + _frame(_event([], usage)) + _frame(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One client; one request at a time."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        if not _IS_STREAM.search(body):
            self._transport.write(_WHOLE)
            return
        asked = _MAX_TOKENS.search(body)
        self._total = self._left = int(asked[1]) if asked else 200
        self._transport.write(_OPENING)
        self._next()

    def _next(self) -> None:
        if self._left == 0:
            self._transport.write(_closing(self._total))
            return
        self._left -= 1
        self._transport.write(_CONTENTS[self._left % 2])
        self._timer = self._loop.call_later(self._interval_s, self._next)


async def _serve(port: int, interval_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(interval_s), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stream_upstream", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True, help="loopback port to listen on")
    parser.add_argument("--interval-ms", type=float, default=5.0, help="pause between events")
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.interval_ms / 1000))


if __name__ == "__main__":
    main()

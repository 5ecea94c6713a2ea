"""The worker's front of llama.cpp's server.

It is there for one reason: llama.cpp notices that a client has gone only while it streams. A whole
answer whose client has gone would hold its slot to the end, minutes on a small machine. So a whole
answer is asked for as a stream here, and put together; all else passes through.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from headrace.platform.http.client import HttpTransport
from headrace.platform.http.exchange import Exchange
from headrace.platform.http.messages import (
    Origin,
    Timeouts,
    TransportError,
    WireRequest,
    WireResponse,
    encode_head,
)
from headrace.platform.http.sse import EventSplitter, data_of
from headrace.services.local.assembly import WholeAnswer
from headrace.services.local.serving import JSON, refuse

_GENERATING = (b"/v1/chat/completions", b"/v1/completions")
_PATIENT = Timeouts(connect_s=5.0, first_byte_s=86_400.0, idle_s=86_400.0)
"""The gateway in front keeps the time: it leaves when that is up."""
_ERROR_LIMIT_BYTES = 256 * 1024
_UNREADABLE = re.compile(rb"(?:image|audio|video) input is not supported")
"""llama.cpp's words for it, under status 500 as if the fault were its own."""
TEXT_ALONE = "this model reads text alone, and there is an image or sound among the messages"
_EVENT_LIMIT_BYTES = 16 * 1024 * 1024


class ChatApi:
    """Answers calls by the llama.cpp server at `origin`, which wants `key`."""

    def __init__(self, origin: Origin, key: str) -> None:
        self._origin = origin
        self._credential = f"Bearer {key}".encode()
        # llama.cpp holds a thread for each open connection, also while it is idle.
        self._transport = HttpTransport(max_idle_per_origin=0)

    async def __call__(self, exchange: Exchange) -> None:
        asked = _wants_whole_answer(exchange)
        request = self._request(exchange, exchange.body if asked is None else _streamed(asked))
        try:
            response = await self._transport.send(request, _PATIENT)
            try:
                if asked is None or response.status != 200:
                    await _relay(response, exchange)
                else:
                    n = asked.get("n")
                    await _assemble(response, exchange, WholeAnswer(n if isinstance(n, int) else 1))
            finally:
                # Also when cancelled, as the client has gone: llama.cpp gives up its work.
                response.close()
        except TransportError as fault:
            if exchange.started:
                exchange.abort()
            else:
                refuse(exchange, 502, f"llama.cpp did not answer: {fault}", kind="server_error")

    def _request(self, exchange: Exchange, body: bytes) -> WireRequest:
        headers = [
            (b"Host", self._origin.authority.encode()),
            (b"Authorization", self._credential),
            (b"Content-Type", b"application/json"),
            (b"Connection", b"close"),
        ]
        return WireRequest(
            self._origin, encode_head(exchange.method, exchange.target, headers), body
        )


def _wants_whole_answer(exchange: Exchange) -> dict[str, Any] | None:
    """The body of a call that generates without streaming; None for what is to pass through."""
    if exchange.method != b"POST" or exchange.target.partition(b"?")[0] not in _GENERATING:
        return None
    try:
        body = msgspec.json.decode(exchange.body)
    except msgspec.DecodeError:
        return None
    return None if not isinstance(body, dict) or body.get("stream") else body


def _streamed(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body | {"stream": True, "stream_options": {"include_usage": True}})


async def _relay(response: WireResponse, exchange: Exchange) -> None:
    if response.status >= 500:
        body = await response.read(_ERROR_LIMIT_BYTES)
        if _UNREADABLE.search(body):
            refuse(exchange, 400, TEXT_ALONE, param="messages")
        else:
            exchange.respond(response.status, JSON, body)
        return
    kind = response.header(b"content-type") or b"application/json"
    exchange.begin(response.status, b"content-type: %b\r\n" % kind)
    while chunk := await response.next_chunk():
        exchange.send(chunk)
        if exchange.congested:
            await exchange.drained()
    exchange.end()


async def _assemble(response: WireResponse, exchange: Exchange, answer: WholeAnswer) -> None:
    splitter = EventSplitter(_EVENT_LIMIT_BYTES)
    while chunk := await response.next_chunk():
        for event in splitter.feed(chunk):
            data = data_of(event)
            if data == b"[DONE]":
                exchange.respond(200, JSON, msgspec.json.encode(answer.json()))
                return
            if not data:
                continue
            decoded = msgspec.json.decode(data)
            if not isinstance(decoded, dict):
                continue  # it says `null` between the choices of several prompts
            if "error" in decoded:
                code = decoded["error"].get("code")
                status = code if isinstance(code, int) and 400 <= code < 600 else 500
                exchange.respond(status, JSON, data)
                return
            answer.add(decoded)
    refuse(exchange, 502, "llama.cpp ended its answer early", kind="server_error")

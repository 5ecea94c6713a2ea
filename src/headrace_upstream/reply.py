"""A reply as a score: a head, then beats of bytes, waits and endings. `performance` plays it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Literal, NamedTuple

from headrace_upstream.paths import Dialect

Framing = Literal["length", "chunked", "close", "none"]
JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"


class Send(NamedTuple):
    """Body bytes; with chunked framing, one chunk. `tokens` of the answer are in it."""

    data: bytes
    tokens: int = 0


class Wait(NamedTuple):
    """0 is one turn of the event loop."""

    seconds: float


class Hang(NamedTuple):
    """Nothing more until the client leaves, but for `ping` every `every_s`, where given."""

    every_s: float | None = None
    ping: bytes = b""


class End(NamedTuple):
    """An end that is not the proper one: see `faults.Cut`."""

    how: Literal["eof", "rst", "clean_end", "broken_chunk"]


Beat = Send | Wait | Hang | End


@dataclass(slots=True, kw_only=True)
class Reply:
    """One reply, ready to play. `framing` `none` sends no head at all."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_type: bytes = JSON
    framing: Framing = "length"
    length: int = 0
    beats: Iterable[Beat] = ()
    head_s: float = 0.0
    keep_alive: bool = True
    tokens_in: int = 0
    tokens_out: int = 0
    fault: str | None = None


_STATIC_HEADERS: dict[Dialect, bytes] = {
    "openai": b"x-request-id: req_%024x\r\nopenai-version: 2020-10-01\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 1999999\r\n",
    "azure": b"apim-request-id: %024x\r\nx-ms-region: Scripted\r\n"
    b"x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 1999999\r\n",
    "anthropic": b"request-id: req_%024x\r\nanthropic-ratelimit-requests-remaining: 9999\r\n"
    b"anthropic-ratelimit-tokens-remaining: 1999999\r\n",
    "mistral": b"mistral-correlation-id: %024x\r\nx-ratelimit-limit-req-minute: 300\r\n"
    b"x-ratelimit-remaining-req-minute: 299\r\n",
    "cohere": b"x-debug-trace-id: %024x\r\nx-endpoint-monthly-call-limit: 1000\r\n",
    "bedrock": b"x-amzn-requestid: %024x\r\n",
    "ollama": b"x-scripted-request: %024x\r\n",
    "google": b"vary: Origin, X-Origin, Referer\r\nserver: scaffolding on HTTPServer2\r\n"
    b"x-xss-protection: 0\r\nx-scripted-request: %024x\r\n",
}
_PLAIN_HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-type: %b\r\n%b%b\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"


def http_date(now_s: float) -> str:
    return formatdate(now_s, usegmt=True)


def plain_head(
    dialect: Dialect, seq: int, date: bytes, content_type: bytes, length: int | None
) -> bytes:
    """The head of an undisturbed 200. `length` null means chunked."""
    framing = _CHUNKED if length is None else b"content-length: %d\r\n" % length
    return _PLAIN_HEAD % (date, content_type, _STATIC_HEADERS[dialect] % seq, framing)


def reply_head(reply: Reply, dialect: Dialect, seq: int, date: bytes) -> bytes:
    """The head of any reply. The reply's own headers replace the usual ones."""
    own = {name.lower() for name, _ in reply.headers}
    usual = [("date", date.decode()), ("content-type", reply.content_type.decode())]
    for line in (_STATIC_HEADERS[dialect] % seq).decode().splitlines():
        name, _, value = line.partition(": ")
        usual.append((name, value))
    if reply.framing == "length":
        usual.append(("content-length", str(reply.length)))
    elif reply.framing == "chunked":
        usual.append(("transfer-encoding", "chunked"))
    if reply.framing == "close" or not reply.keep_alive:
        usual.append(("connection", "close"))
    kept = [(name, value) for name, value in usual if name not in own]
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in [*kept, *reply.headers]]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def split(beats: Iterable[Beat], how: list[int] | int | str, gap_s: float) -> Iterator[Beat]:
    """The same bytes cut elsewhere: at offsets of the body, every n bytes, or (`utf8`) within
    every multi-byte character. Bytes between two real waits are taken together."""
    pending, tokens, offset = b"", 0, 0
    for beat in beats:
        if isinstance(beat, Send):
            pending, tokens = pending + beat.data, tokens + beat.tokens
            if len(pending) < 1 << 20:
                continue
        yield from _pieces(pending, tokens, offset, how, gap_s)
        offset, pending, tokens = offset + len(pending), b"", 0
        if not isinstance(beat, Send):
            yield beat
    yield from _pieces(pending, tokens, offset, how, gap_s)


def _pieces(
    data: bytes, tokens: int, offset: int, how: list[int] | int | str, gap_s: float
) -> Iterator[Beat]:
    start = 0
    for cut in _cuts(data, offset, how):
        yield Send(data[start:cut])
        yield Wait(gap_s)
        start = cut
    if start < len(data):
        yield Send(data[start:], tokens)


def _cuts(data: bytes, offset: int, how: list[int] | int | str) -> list[int]:
    if isinstance(how, int):
        return list(range(how, len(data), how)) if how > 0 else []
    if isinstance(how, str):
        return [at + 1 for at, byte in enumerate(data[:-1]) if byte >= 0xC0]
    return [at - offset for at in sorted(how) if 0 < at - offset < len(data)]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Status"

"""Faults that put something else in the answer's place."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from headrace_upstream import refusals
from headrace_upstream.faults import (
    AnyFault,
    Bomb,
    ContentFilter,
    ContextTooLong,
    Hangup,
    Hostile,
    Money,
    RateLimited,
    Redirect,
    Reset,
    Silent,
    WrongBody,
)
from headrace_upstream.paths import Dialect
from headrace_upstream.refusals import Refusal
from headrace_upstream.reply import Beat, End, Hang, Reply, Send, http_date

_HTML = b"text/html; charset=utf-8"
_PROXY_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.25.3</center>\r\n"
    b"</body>\r\n</html>\r\n"
)


def substitute(fault: AnyFault | None, dialect: Dialect, model: str, now_s: float) -> Reply | None:
    """The reply that stands in the answer's place; null where the fault bends the answer."""
    match fault:
        case RateLimited():
            body = refusals.rate_limited(
                dialect, fault.status, model, fault.message, fault.retry_delay_s
            )
            return refused(body, fault, _come_back(fault, now_s))
        case Money():
            return refused(refusals.money(dialect, fault), fault)
        case ContextTooLong():
            return refused(refusals.context_too_long(dialect, fault), fault)
        case ContentFilter(form="refused") if dialect not in ("anthropic", "google", "bedrock"):
            return refused(refusals.content_filtered(dialect), fault)
        case Reset():
            return Reply(framing="none", beats=[End("rst")], fault=fault.kind)
        case Hangup():
            return Reply(framing="none", beats=[End("eof")], fault=fault.kind)
        case Silent():
            return Reply(framing="none", beats=[Hang()], fault=fault.kind)
        case WrongBody():
            return _wrong_body(fault, dialect)
        case Hostile():
            return _hostile(fault)
        case Bomb():
            return _bomb(fault)
        case Redirect():
            headers = [("location", fault.location)]
            return _whole(b"", fault.status, _HTML, fault.kind, headers)
    return None


def refused(
    refusal: Refusal, fault: AnyFault | None = None, headers: list[tuple[str, str]] | None = None
) -> Reply:
    """A refusal as a reply."""
    body = msgspec.json.encode(refusal.body)
    kind = fault.kind if fault else None
    more = [*refusal.headers, *(headers or ())]
    return _whole(body, refusal.status, b"application/json", kind, more)


def _whole(
    body: bytes,
    status: int,
    content_type: bytes,
    fault: str | None,
    headers: list[tuple[str, str]] | None = None,
) -> Reply:
    return Reply(
        status=status,
        content_type=content_type,
        headers=headers or [],
        length=len(body),
        beats=[Send(body)],
        fault=fault,
    )


def _come_back(fault: RateLimited, now_s: float) -> list[tuple[str, str]]:
    said = {
        "retry-after": fault.retry_after,
        "retry-after-ms": fault.retry_after_ms,
        "x-ratelimit-reset-requests": fault.reset_requests,
        "x-ratelimit-reset-tokens": fault.reset_tokens,
    }
    headers = [(name, str(value)) for name, value in said.items() if value is not None]
    if fault.retry_after_date_s is not None:
        headers.append(("retry-after", http_date(now_s + fault.retry_after_date_s)))
    if fault.reset_rfc3339_s is not None:
        then = datetime.fromtimestamp(now_s + fault.reset_rfc3339_s, UTC)
        stamp = then.strftime("%Y-%m-%dT%H:%M:%SZ")
        headers.append(("anthropic-ratelimit-requests-reset", stamp))
    return headers


def _wrong_body(fault: WrongBody, dialect: Dialect) -> Reply:
    error = msgspec.json.encode(refusals.refusal(dialect, 500).body)
    json = b"application/json"
    body, content_type = {
        "error_object": (error, json),
        "html": (_PROXY_PAGE, _HTML),
        "empty": (b"", json),
        "other_json": (b'[{"status":"ok","items":[1,2,3]}]', json),
        "truncated_json": (b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"ind', json),
        "text": (b"upstream connect error or disconnect/reset before headers", b"text/plain"),
    }[fault.form]
    return _whole(body, fault.status, content_type, fault.kind)


def _hostile(fault: Hostile) -> Reply:
    word = fault.canary
    forms: dict[str, tuple[str, bytes]] = {
        "html": (
            f"<html><body><h1>{word}</h1><script>alert('{word}')</script>"
            f"<!-- {word} --></body></html>",
            _HTML,
        ),
        "stack_trace": (
            f'Traceback (most recent call last):\n  File "/srv/{word}/app.py", line 7, in '
            f"complete\n    raise RuntimeError('{word}')\nRuntimeError: {word}\n",
            b"text/plain; charset=utf-8",
        ),
        "hostnames": (
            msgspec.json.encode(
                {
                    "error": {
                        "message": f"no route to gpu-17.{word}.internal:8443 (10.11.12.13)",
                        "type": word,
                        "code": f"pg://{word}.internal/billing",
                    }
                }
            ).decode(),
            b"application/json",
        ),
        "keys": (
            msgspec.json.encode(
                {
                    "error": {
                        "message": f"Incorrect API key provided: sk-{word}abcdefghijklmnop",
                        "type": "invalid_request_error",
                        "code": f"Bearer {word}",
                        "debug": {"AccountKey": f"{word}==", "authorization": f"Bearer {word}"},
                    }
                }
            ).decode(),
            b"application/json",
        ),
        "control_characters": (
            f'\x1b[31m{word}\x1b[0m\r\n\x00{word}\x07 {{"level":"INFO","msg":"{word}"}}\n',
            b"text/plain",
        ),
    }
    text, content_type = forms[fault.form]
    return _whole(text.encode(), fault.status, content_type, fault.kind)


def _bomb(fault: Bomb) -> Reply:
    return Reply(
        headers=[("content-encoding", fault.encoding)],
        framing="chunked",
        beats=_compressed(fault),
        fault=fault.kind,
    )


def _compressed(fault: Bomb) -> Iterator[Beat]:
    packer = zlib.compressobj(9, wbits=31 if fault.encoding == "gzip" else 15)
    head = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"message":{"content":"'
    block, left = b"A" * (1 << 20), fault.bytes
    yield Send(packer.compress(head))
    while left > 0:
        yield Send(packer.compress(block[:left]))
        left -= len(block)
    yield Send(packer.compress(b'"}}]}') + packer.flush())

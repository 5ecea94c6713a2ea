"""The port of a worker: loopback, one key, errors in OpenAI's shape."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

import msgspec

from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits, Violation
from headrace.platform.http.server import HttpServer

JSON = b"content-type: application/json\r\n"
_LIMITS = ServerLimits(body_bytes=128 * 1024 * 1024, body_timeout_s=300.0)
"""Wider than what the gateway lets a client send."""

Api = Callable[[Exchange], Awaitable[None]]


async def serve(port: int, key: str, api: Api) -> HttpServer:
    """Serves on 127.0.0.1 the calls that carry `Authorization: Bearer KEY`."""
    credential = f"Bearer {key}".encode()

    async def handle(exchange: Exchange) -> None:
        if not hmac.compare_digest(exchange.header(b"authorization") or b"", credential):
            refuse(exchange, 401, "the key of this worker is missing or wrong")
            return
        try:
            await api(exchange)
        except Exception as fault:  # whatever a model's library raises must not end the worker
            if exchange.started:
                exchange.abort()
            else:
                refuse(exchange, 500, f"the local model failed: {fault}", kind="server_error")

    server = HttpServer(handle, _refuse_violation, _LIMITS)
    await server.listen("127.0.0.1", port)
    return server


def refuse(
    exchange: Exchange,
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
) -> None:
    """Answers with an error in OpenAI's shape."""
    exchange.respond(status, JSON, _error(message, kind, param))


def _refuse_violation(_violation: Violation, _target: bytes, detail: str) -> tuple[bytes, bytes]:
    return JSON, _error(detail, "invalid_request_error", None)


def _error(message: str, kind: str, param: str | None) -> bytes:
    face = {"message": message, "type": kind, "param": param, "code": None}
    return msgspec.json.encode({"error": face})

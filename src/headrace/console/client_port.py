"""The gateway's port for calls, as the playground uses it: with a client's key, like any client."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from headrace.edge.worker_sockets import ask_each
from headrace.gateway.administration.faults import Denied, Why
from headrace.platform.http.client import HttpTransport
from headrace.platform.http.messages import (
    Origin,
    Timeouts,
    TransportError,
    WireRequest,
    WireResponse,
    encode_head,
)
from headrace.platform.secrets import Secret

TIMEOUTS = Timeouts(connect_s=5.0, first_byte_s=300.0, idle_s=300.0)
LIMIT_BYTES = 4 * 1024 * 1024
_REQUEST_ID = re.compile(r" \(request id: [^()]*\)$")


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


class _Fault(Struct):
    message: str


class _Refusal(Struct):
    error: _Fault


class ClientPort:
    """For the loop's thread. Raises Denied."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the store's, where the workers tell of their port."""
        self._folder = folder
        self._wire = HttpTransport()

    async def models(self, key: Secret) -> list[str]:
        """Those that this key may use."""
        with contextlib.closing(await self._send(b"GET", b"/v1/models", key, b"")) as response:
            body = await self._read(response)
        if response.status != 200:
            # The page names its own request, and this one is nowhere to be looked up.
            raise Denied(Why.INVALID, _REQUEST_ID.sub("", message_of(body)))
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Models).data]
        except msgspec.MsgspecError as error:
            raise Denied(Why.UNAVAILABLE, "What answers there is no gateway.") from error

    async def chat(self, key: Secret, body: Any) -> WireResponse:
        """The response, to be closed."""
        path = b"/v1/chat/completions"
        return await self._send(b"POST", path, key, msgspec.json.encode(body))

    async def refusal(self, response: WireResponse) -> str:
        """What a response that is no 200 says."""
        return message_of(await self._read(response))

    async def _read(self, response: WireResponse) -> bytes:
        try:
            return await response.read(LIMIT_BYTES)
        except TransportError as error:
            raise Denied(Why.UNAVAILABLE, "The gateway's answer broke off.") from error

    async def _send(self, method: bytes, path: bytes, key: Secret, body: bytes) -> WireResponse:
        text = key.reveal()
        if not text.isascii() or not text.isprintable():
            raise Denied(Why.INVALID, "This is no key: copy it whole.")
        origin = await self._origin()
        headers = [
            (b"Host", origin.authority.encode()),
            (b"Authorization", b"Bearer " + text.encode()),
            (b"Content-Type", b"application/json"),
        ]
        try:
            return await self._wire.send(
                WireRequest(origin, encode_head(method, path, headers), body), TIMEOUTS
            )
        except TransportError as error:
            raise Denied(Why.UNAVAILABLE, "The gateway's port does not answer just now.") from error

    async def _origin(self) -> Origin:
        try:
            told = await run_in_threadpool(ask_each, self._folder, "GET", "/workers")
        except (OSError, ValueError) as error:
            raise Denied(Why.UNAVAILABLE, "The workers do not answer just now.") from error
        url = next((one["url"] for status, one in told if status == 200 and one.get("url")), None)
        if url is None:
            raise Denied(Why.UNAVAILABLE, "No worker runs just now.")
        return Origin.of(url)


def message_of(answer: bytes) -> str:
    try:
        return msgspec.json.decode(answer, type=_Refusal).error.message
    except msgspec.MsgspecError:
        return "The gateway gave no reason."

"""Who comes in: keys are checked as for calls, before a byte of a body is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from headrace.edge import openai
from headrace.edge.client_address import TrustedProxies
from headrace.edge.correlation import correlation_id
from headrace.edge.headers import Said
from headrace.errors import Reason, Refused
from headrace.gateway.identity import Identity
from headrace.gateway.tokens import KeysAwaited
from headrace.nouns import Caller

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/mcp"
VISITOR = "headrace.visitor"
"""Under this name the scope of a request holds who makes it."""
_BEARER = (b"www-authenticate", b"Bearer")


class Refusals(Protocol):
    """Who is told of refused credentials."""

    def refused(self, ip: str, refused: Refused) -> None: ...


class Visitor:
    """Who makes a request."""

    def __init__(self, caller: Caller, ip: str, request_id: str) -> None:
        self.caller = caller
        self.ip = ip
        self.request_id = request_id


class Door:
    """An ASGI application in front of `inner`. `identity` and `proxies` change with the
    configuration."""

    def __init__(
        self, inner: Asgi, identity: Identity, proxies: TrustedProxies | None, refusals: Refusals
    ) -> None:
        self._inner = inner
        self.identity = identity
        self.proxies = proxies
        self._refusals = refusals

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
        said = Said.of(headers)
        request_id = correlation_id(said.request_id)
        if scope["path"] == "/healthz":
            await _answer(send, 200, [], b'{"status":"alive"}', request_id)
            return
        peer = (scope.get("client") or ("",))[0]
        ip = peer if self.proxies is None else self.proxies.client(peer, headers)
        try:
            if scope["path"] != PATH:
                raise Refused(
                    Reason.UNKNOWN_ROUTE,
                    f"There is nothing at {scope['path'][:80]!r}. Tools are at {PATH}, by the "
                    "Model Context Protocol (streamable HTTP).",
                )
            caller = await self._identified(said.credential, ip)
        except Refused as refused:
            if refused.reason is not Reason.UNKNOWN_ROUTE:
                self._refusals.refused(ip, refused)
            status, body = openai.status_of(refused), openai.error_body(refused, request_id)
            await _answer(send, status, [_BEARER] if status == 401 else [], body, request_id)
            return
        scope[VISITOR] = Visitor(caller, ip, request_id)
        await self._inner(scope, receive, send)

    async def _identified(self, credential: bytes | None, ip: str) -> Caller:
        """Raises Refused."""
        try:
            return self.identity.identify(credential, ip)
        except KeysAwaited as awaited:
            await awaited.fetched()
            return self.identity.identify(credential, ip)


async def _answer(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, request_id: str
) -> None:
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})

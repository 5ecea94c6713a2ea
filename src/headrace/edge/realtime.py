"""`GET /v1/realtime`: reads a handshake, and opens the door when a backend is there.

https://platform.openai.com/docs/guides/realtime-websocket, https://learn.microsoft.com/azure/
ai-foundry/openai/how-to/realtime-audio-websockets. Browsers cannot send headers with a WebSocket,
so they send their key as the name of a subprotocol.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec
from msgspec import structs

from headrace.edge import openai
from headrace.edge.head import Head
from headrace.edge.reading import Asked, PassedAsked
from headrace.errors import Reason, Refused, install_extra
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call, Operation, Passed, Reserved, Usage
from headrace.platform.http.exchange import Exchange

if TYPE_CHECKING:
    from headrace.platform.http.websocket import WebSocket

KEY_PREFIX = b"openai-insecure-api-key."
SUBPROTOCOL = b"realtime"
LIKELY_TOKENS = 1_000
MOST_TOKENS = 32_768
"""Of one response's input: the window of OpenAI's models, rounded up."""
ANSWER_TOKENS = 4_096
"""The most of one response, by OpenAI's own limit."""
_HANDED_ON = ("intent",)
"""Members of the query that go up. `call_id` would join a session of others."""


def with_credential(head: Head, exchange: Exchange) -> Head:
    """The head with the key that stands among the subprotocols, if there is no other."""
    if head.said.credential is not None:
        return head
    for name in _protocols(exchange):
        if name.startswith(KEY_PREFIX):
            said = structs.replace(head.said, credential=name[len(KEY_PREFIX) :])
            return head._replace(said=said, fingerprint=None)
    return head


def _protocols(exchange: Exchange) -> list[bytes]:
    values = [v for name, v in exchange.headers if name == b"sec-websocket-protocol"]
    return [word.strip() for value in values for word in value.split(b",")]


def _query(exchange: Exchange) -> dict[str, str]:
    text = exchange.target.partition(b"?")[2].decode("latin-1")
    return {name: values[-1] for name, values in parse_qs(text).items()}


class Handshake:
    """Of one exchange; stands in for the reader of a body."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.query = _query(exchange)

    def read(self, body: bytes, operation: Operation, depth_limit: int) -> Asked:
        """Raises Refused(BAD_REQUEST) for what is no handshake of a session."""
        exchange, query = self._exchange, self.query
        if not exchange.offered:
            raise Refused(
                Reason.BAD_REQUEST,
                "This is a WebSocket: connect with a client for these, such as "
                "`client.realtime.connect` of OpenAI's SDK.",
                status=426,
            )
        try:
            key = base64.b64decode(exchange.header(b"sec-websocket-key") or b"", validate=True)
        except binascii.Error:
            key = b""
        if len(key) != 16 or exchange.header(b"sec-websocket-version") != b"13":
            raise Refused(Reason.BAD_REQUEST, "The WebSocket's handshake is not of RFC 6455.")
        if "call_id" in query:
            raise Refused(
                Reason.BAD_REQUEST, "Joining a call by 'call_id' is not done here.", param="call_id"
            )
        model = query.get("model") or query.get("deployment")
        if not model:
            raise Refused(
                Reason.BAD_REQUEST, "Name the model in the URL: `?model=NAME`.", param="model"
            )
        asked = PassedAsked(model=model)
        asked.stream = True
        return asked

    def complete(self, call: Call) -> Call:
        call.passed = Passed(
            content_type=b"",
            estimate=Usage(LIKELY_TOKENS, 0, source="estimated"),
            most_tokens=MOST_TOKENS,
            answer_tokens=ANSWER_TOKENS,
            method=b"GET",
        )
        call.stream = True
        call.reserved = Reserved(MOST_TOKENS, ANSWER_TOKENS, None)
        return call


async def answer(call: Call, exchange: Exchange, reply: Reply, pipeline: Pipeline) -> None:
    """Serves a session to its end."""
    try:
        from headrace.gateway import realtime
    except ImportError as fault:
        refused = Refused(
            Reason.UNSUPPORTED_OPERATION,
            "This gateway is not set up for realtime sessions. Whoever runs it has to install "
            "them: its log says how.",
            cause=f"realtime needs the package websockets: {fault}. {install_extra('realtime')}",
        )
        progress = Progress()
        pipeline.refuse(refused, call, reply, progress)
        pipeline.settle(call, progress)
        return
    query = {name: value for name, value in _query(exchange).items() if name in _HANDED_ON}
    await realtime.serve(call, query, _Door(call, exchange), reply, pipeline)


class _Door:
    """A `gateway.realtime.Door` on an exchange."""

    def __init__(self, call: Call, exchange: Exchange) -> None:
        self._call = call
        self._exchange = exchange
        self._socket: WebSocket | None = None

    def accept(self, lines: bytes, message_limit_bytes: int) -> WebSocket:
        from headrace.platform.http.websocket import WebSocket, accept_of

        key = self._exchange.header(b"sec-websocket-key") or b""
        head = b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %b\r\n" % (
            accept_of(key)
        )
        if SUBPROTOCOL in _protocols(self._exchange):
            head += b"sec-websocket-protocol: %b\r\n" % SUBPROTOCOL
        head += b"x-request-id: %b\r\n%b%b" % (self._call.id.encode(), self._call.standing, lines)
        socket = WebSocket.server(message_limit_bytes)
        self._exchange.upgrade(head, socket)
        self._socket = socket
        return socket

    def left(self) -> None:
        self._exchange.leave()
        if self._socket is not None:
            self._socket.release()

    def told(self, refused: Refused) -> bytes:
        error = openai.error(refused, self._call.id)
        return msgspec.json.encode(
            {"type": "error", "event_id": f"event_{self._call.id}", "error": error}
        )

"""Writes the pipeline's answer to the client's exchange, in the client's dialect."""

from __future__ import annotations

from collections.abc import Callable

from headrace.edge import anthropic, openai, responses
from headrace.errors import Refused
from headrace.nouns import Call
from headrace.platform.http.exchange import Exchange, Interrupted


class ClientReply:
    """A `gateway.reply.Reply` on an HTTP exchange, in OpenAI's and Azure's dialect."""

    __slots__ = ("_call_id", "_exchange", "_id_line", "call", "committed", "send")

    def __init__(self, exchange: Exchange, call_id: str) -> None:
        self._exchange = exchange
        self._call_id = call_id
        self._id_line = b"x-request-id: %b\r\n" % call_id.encode()
        self.call: Call | None = None
        """What is answered, once it is known."""
        self.committed = False
        self.send: Callable[[bytes], None] = exchange.send

    @property
    def interrupted_by_drain(self) -> bool:
        return self._exchange.interrupted is Interrupted.DRAIN

    def whole(self, body: bytes, about: bytes) -> None:
        self.committed = True
        self._exchange.respond(200, openai.JSON_TYPE + self._own_lines() + about, body)

    def begin(self, about: bytes) -> None:
        self.committed = True
        self._exchange.begin(200, openai.SSE_HEAD + self._own_lines() + about)

    @property
    def congested(self) -> bool:
        return self._exchange.congested

    async def drained(self) -> None:
        await self._exchange.drained()

    def end(self, events: bytes = b"") -> None:
        self._exchange.end(events)

    def refuse(self, refused: Refused, about: bytes) -> int:
        if self.committed:
            self._exchange.end(openai.error_event(refused, self._call_id))
            return 200
        status = openai.status_of(refused)
        headers = openai.error_headers(refused) + self._own_lines() + about
        self._exchange.respond(status, headers, openai.error_body(refused, self._call_id))
        return status

    def _own_lines(self) -> bytes:
        """Header lines that are this client's alone, though it may share the answer."""
        call = self.call
        return self._id_line if call is None else self._id_line + call.standing


class AnthropicReply(ClientReply):
    """The same in Anthropic's dialect."""

    __slots__ = ()

    def __init__(self, exchange: Exchange, call_id: str) -> None:
        super().__init__(exchange, call_id)
        self._id_line += b"request-id: %b\r\n" % call_id.encode()

    def refuse(self, refused: Refused, about: bytes) -> int:
        if self.committed:
            self._exchange.end(anthropic.error_event(refused, self._call_id))
            return 200
        status = anthropic.status_of(refused)
        headers = openai.error_headers(refused) + self._own_lines() + about
        self._exchange.respond(status, headers, anthropic.error_body(refused, self._call_id))
        return status


class ResponsesReply(ClientReply):
    """The same of the Responses API: its events have names and numbers, and so has a fault."""

    __slots__ = ("_last",)

    def __init__(self, exchange: Exchange, call_id: str) -> None:
        super().__init__(exchange, call_id)
        self._last = b""
        self.send = self._send

    def _send(self, events: bytes) -> None:
        self._last = events
        self._exchange.send(events)

    def refuse(self, refused: Refused, about: bytes) -> int:
        if not self.committed:
            return super().refuse(refused, about)
        number = responses.number_after(self._last)
        self._exchange.end(responses.error_event(refused, self._call_id, number))
        return 200


class PassedReply(ClientReply):
    """The same of what is passed on: an answer may be of any type, which `about` then names, and
    has no place for a fault once it has begun."""

    __slots__ = ()

    @property
    def _is_raw(self) -> bool:
        call = self.call
        return call is not None and call.passed is not None and call.passed.raw

    def begin(self, about: bytes) -> None:
        if not self._is_raw:
            super().begin(about)
            return
        self.committed = True
        self._exchange.begin(200, self._own_lines() + _UNSNIFFED + about)

    def refuse(self, refused: Refused, about: bytes) -> int:
        if not (self.committed and self._is_raw):
            return super().refuse(refused, about)
        self._exchange.abort()
        return 200


_UNSNIFFED = b"x-content-type-options: nosniff\r\n"

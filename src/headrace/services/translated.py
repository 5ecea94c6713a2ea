"""A backend of one dialect, for calls of another: each way is translated, nothing is kept back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import WireRequest
from headrace.services.anthropic_wire import MESSAGE_STOP
from headrace.services.dialects import (
    anthropic_answering,
    anthropic_asking,
    openai_answering,
    openai_asked,
)
from headrace.services.dialects.anthropic_events import AnthropicEvents
from headrace.services.dialects.clients import CLIENTS, Writer
from headrace.services.dialects.neutral import (
    CONTENT,
    Answered,
    Counted,
    Delta,
    Ended,
    Failed,
    Finished,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.dialects.openai_events import OpenAIEvents
from headrace.services.openai import OpenAIService
from headrace.services.openai_wire import DONE
from headrace.services.service import EventRead, Service, StreamReader, WholeRead

_encode = msgspec.json.Encoder().encode
_objects = msgspec.json.Decoder(dict[str, Any])
_PING = b": ping\n\n"
LIMIT_MEMBERS = {"openai": "max_completion_tokens", "azure": "max_completion_tokens"}
"""What servers call the most tokens of an answer; all others `max_tokens`."""
NO_THINKING = {"ollama": "none"}
"""The effort by which servers are told not to think, whatever their model. Not OpenAI's: models
that have no effort refuse the member, those before GPT-5.1 this word, and later ones do not think
unless they are asked to."""


class Events(Protocol):
    """Reads a stream of one dialect."""

    def read(self, data: bytes) -> list[Delta]: ...


class _Translated:
    """What all backends' dialects have in common. `inner` speaks the backend's."""

    _operation: Operation
    """Of `inner`."""

    def __init__(self, inner: Service, policy: Policy) -> None:
        self._inner = inner
        self._policy: Policy = policy
        self.provider = inner.provider
        self.priced_as = inner.priced_as
        self.enter = inner.enter
        self.leave = inner.leave

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner!r})"

    def serves(self, operation: Operation) -> bool:
        return operation in CLIENTS and operation is not self._operation

    def _request(self, call: Call, body: dict[str, Any], lost: Omissions) -> WireRequest:
        asked = replace(
            call,
            body=_encode(body),
            body_model=call.model,
            operation=self._operation,
            wants_usage=False,
            headers=(),
        )
        request = self._inner.request(asked)
        told = lost.headers()
        return replace(request, note=request.note + told) if told else request


class AnthropicForOthers(_Translated):
    """A backend of Anthropic's, asked by clients of other dialects."""

    _operation = Operation.MESSAGES

    def __init__(self, inner: Service, policy: Policy, max_tokens: int) -> None:
        super().__init__(inner, policy)
        self._max_tokens = max_tokens

    def request(self, call: Call) -> WireRequest:
        lost = Omissions(self._policy, "Anthropic's API")
        asked = CLIENTS[call.operation].read(_objects.decode(call.body))
        body = anthropic_asking.written(asked, call.model, lost, self._max_tokens)
        return self._request(call, body, lost)

    def stream_reader(self, call: Call) -> StreamReader:
        writer = CLIENTS[call.operation].writer(call)
        return TranslatedStream(AnthropicEvents(), writer, MESSAGE_STOP)

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        return read_whole(anthropic_answering.read(body), call)


class OpenAIForOthers(_Translated):
    """A backend that has chats of OpenAI's dialect, asked by clients of other dialects."""

    _operation = Operation.CHAT

    def __init__(self, inner: OpenAIService, policy: Policy) -> None:
        super().__init__(inner, policy)
        self._plain = inner.plain
        self._limit_member = LIMIT_MEMBERS.get(inner.provider, "max_tokens")
        self._no_thinking = NO_THINKING.get(inner.provider)

    def request(self, call: Call) -> WireRequest:
        lost = Omissions(self._policy, "OpenAI's chat API")
        asked = CLIENTS[call.operation].read(_objects.decode(call.body))
        body = openai_asked.written(asked, call.model, lost, self._limit_member, self._no_thinking)
        return self._request(call, body, lost)

    def stream_reader(self, call: Call) -> StreamReader:
        writer = CLIENTS[call.operation].writer(call)
        return TranslatedStream(PlainEvents(self._plain), writer, DONE)

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        return read_whole(openai_answering.read(self._plain(body)), call)


class PlainEvents(OpenAIEvents):
    """Reads a stream of a server that has forms of its own."""

    __slots__ = ("_plain",)

    def __init__(self, plain: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._plain = plain

    def read(self, data: bytes) -> list[Delta]:
        """Raises BadAnswer."""
        return super().read(self._plain(data))


def read_whole(read: Answered | bytes, call: Call) -> WholeRead:
    """What a whole answer, or the error in its place, means to the client."""
    if isinstance(read, bytes):
        return WholeRead(None, error=read)
    usage = None if read.counts is None else read.counts.usage
    written = CLIENTS[call.operation].written(read, call)
    return WholeRead(usage, read.finish, body=_encode(written))


class TranslatedStream(StreamReader):
    """Reads the events of one dialect and hands on those of another. `last` is the terminal event
    of the first."""

    __slots__ = ("_counted", "_events", "_finished", "_last", "_writer")

    def __init__(self, events: Events, writer: Writer, last: bytes = b"") -> None:
        self._events = events
        self._last = last
        self._writer = writer
        self._finished = self._counted = False

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """Raises BadAnswer."""
        if data is None:
            return EventRead(_PING)
        deltas = self._events.read(data)
        if not deltas:
            return EventRead(b"")
        write = self._writer.write
        if len(deltas) == 1:
            delta = deltas[0]
            if not isinstance(delta, Finished | Counted | Ended | Failed):
                return EventRead(write(delta), isinstance(delta, CONTENT))
        return self.told(deltas)

    def end(self, rest: bytes) -> EventRead | None:
        whole = self._finished and self._counted
        ends = whole and self._last.startswith(rest.strip())
        return self.told([Ended()]) if ends else None

    def told(self, deltas: list[Delta]) -> EventRead:
        """What several deltas together mean."""
        out, content, terminal, doubted = [], False, False, False
        finish = usage = error = None
        for delta in deltas:
            if isinstance(delta, Failed):
                error = delta.error
                break
            out.append(self._writer.write(delta))
            content = content or isinstance(delta, CONTENT)
            if isinstance(delta, Finished | Counted) and delta.counts is not None:
                usage = delta.counts.usage
                self._counted = True
            if isinstance(delta, Finished):
                finish, doubted = delta.finish, delta.doubted
                self._finished = True
            terminal = terminal or isinstance(delta, Ended)
        special = terminal or usage is not None or error is not None or finish is not None
        return EventRead(
            b"".join(out),
            content,
            special,
            terminal,
            finish,
            usage,
            error,
            doubted,
        )

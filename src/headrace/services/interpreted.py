"""Backends whose words no client speaks: every chat goes by way of the neutral form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import WireRequest
from headrace.services.dialects import (
    anthropic_answering,
    anthropic_asking,
    openai_answering,
    openai_asking,
    responses_answering,
    responses_asking,
)  # fmt: skip
from headrace.services.dialects.anthropic_events import AnthropicWriter
from headrace.services.dialects.neutral import Answered, Asked, Delta
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.dialects.openai_events import OpenAIWriter
from headrace.services.dialects.responses_answering import Frame
from headrace.services.dialects.responses_events import ResponsesWriter
from headrace.services.service import EventRead, Splitter, StreamReader, WholeRead
from headrace.services.translated import TranslatedStream, Writer, read_whole

_objects = msgspec.json.Decoder(dict[str, Any])


class ClientWords(NamedTuple):
    """How clients of one dialect ask for a chat and are answered."""

    read: Callable[[dict[str, Any]], Asked]
    written: Callable[[Answered, Call], dict[str, Any]]
    writer: Callable[[Call], Writer]


CLIENTS: Mapping[Operation, ClientWords] = MappingProxyType(
    {
        Operation.CHAT: ClientWords(
            openai_asking.read,
            lambda answer, call: openai_answering.written(answer),
            lambda call: OpenAIWriter(shows_usage=call.wants_usage),
        ),
        Operation.MESSAGES: ClientWords(
            anthropic_asking.read,
            lambda answer, call: anthropic_answering.written(answer),
            lambda call: AnthropicWriter(),
        ),
        Operation.RESPONSES: ClientWords(
            responses_asking.read,
            lambda answer, call: responses_answering.written(answer, Frame.of(call)),
            lambda call: ResponsesWriter(Frame.of(call)),
        ),
    }
)


class OwnEvents(Protocol):
    """Reads a stream of the provider's own format."""

    def read(self, data: bytes) -> list[Delta]:
        """What an event says. Raises BadAnswer."""
        ...

    def end(self) -> list[Delta] | None:
        """What the end of the bytes says; None if it comes too early."""
        ...

    def splitter(self) -> Splitter: ...


class InterpretedService:
    """One backend. A subclass says how the neutral form is asked and read: `_asking`, `_answered`,
    `_events`; and what else it does."""

    provider: str
    priced_as: str | None
    whose = ""
    """Names the provider's API in refusals."""

    def __init__(
        self, *, model: str | None, provider: str, priced_as: str | None, policy: Policy
    ) -> None:
        self.provider = provider
        self.priced_as = priced_as or model
        self._model = model
        self._policy: Policy = policy

    def serves(self, operation: Operation) -> bool:
        return operation in CLIENTS

    def request(self, call: Call) -> WireRequest:
        lost = Omissions(self._policy, self.whose)
        words = CLIENTS.get(call.operation)
        if words is None:
            request = self._another(call, lost)
        else:
            request = self._asking(words.read(_objects.decode(call.body)), call, lost)
        told = lost.headers()
        return replace(request, note=told) if told else request

    def stream_reader(self, call: Call) -> StreamReader:
        return InterpretedStream(self._events(call), CLIENTS[call.operation].writer(call))

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        words = CLIENTS.get(call.operation)
        if words is None:
            return self._read_another(call, body)
        written = words.written
        return read_whole(self._answered(call, body), lambda answer: written(answer, call))

    def enter(self, now: float) -> int:
        """Places here are the provider's business."""
        return 0

    def leave(self, place: int, now: float) -> None:
        """See `enter`."""

    def _name(self, call: Call) -> str:
        """The provider's name of the model."""
        return call.model if self._model is None else self._model

    def _asking(self, asked: Asked, call: Call, lost: Omissions) -> WireRequest:
        """The request for a chat. Raises Refused."""
        raise NotImplementedError

    def _answered(self, call: Call, body: bytes) -> Answered | bytes:
        """The answer, or the error that stands in its place. Raises BadAnswer."""
        raise NotImplementedError

    def _events(self, call: Call) -> OwnEvents:
        raise NotImplementedError

    def _another(self, call: Call, lost: Omissions) -> WireRequest:
        """The request for what is no chat, where `serves` has it. Raises Refused."""
        raise NotImplementedError

    def _read_another(self, call: Call, body: bytes) -> WholeRead:
        """Its answer. Raises BadAnswer."""
        raise NotImplementedError


class InterpretedStream(TranslatedStream):
    """Hands on a stream of a provider's own format in the client's dialect."""

    __slots__ = ("_own",)

    def __init__(self, events: OwnEvents, writer: Writer) -> None:
        super().__init__(events, writer)
        self._own = events

    def splitter(self) -> Splitter:
        return self._own.splitter()

    def end(self, rest: bytes) -> EventRead | None:
        deltas = None if rest.strip() else self._own.end()
        return None if deltas is None else self.told(deltas)

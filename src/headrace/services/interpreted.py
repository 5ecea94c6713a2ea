"""Backends whose words no client speaks: every chat goes by way of the neutral form."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import WireRequest
from headrace.services.dialects.clients import CLIENTS, Writer
from headrace.services.dialects.neutral import Answered, Asked, Delta
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.service import EventRead, Splitter, StreamReader, WholeRead
from headrace.services.translated import TranslatedStream, read_whole

_objects = msgspec.json.Decoder(dict[str, Any])


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
        if call.operation not in CLIENTS:
            return self._read_another(call, body)
        return read_whole(self._answered(call, body), call)

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

"""Backends whose words no client speaks: every chat goes by way of the neutral form."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin, WireRequest, encode_head
from headrace.services.dialects import one_call
from headrace.services.dialects.clients import CLIENTS, Writer
from headrace.services.dialects.neutral import Answered, Asked
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.dialects.one_call import OwnEvents
from headrace.services.openai import common_headers
from headrace.services.service import EventRead, Service, Splitter, StreamReader, WholeRead
from headrace.services.translated import TranslatedStream, read_whole

_objects = msgspec.json.Decoder(dict[str, Any])


class InterpretedService(Service):
    """One base URL. A subclass says how chats are asked and read; one that serves more than chats
    says so in `serves`, `_wire` and `read_whole`."""

    whose: str
    """Names the provider's API in refusals."""

    def __init__(
        self,
        *,
        origin: Origin,
        path: str,
        model: str | None,
        provider: str,
        priced_as: str | None,
        policy: Policy,
    ) -> None:
        self.provider = provider
        self.priced_as = priced_as or model
        self._origin = origin
        self._path = path
        self._common = common_headers(origin)
        self._model = model
        self._policy: Policy = policy

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin.authority})"

    def serves(self, operation: Operation) -> bool:
        return operation in CLIENTS

    def request(self, call: Call) -> WireRequest:
        lost = Omissions(self._policy, self.whose)
        request = self._wire(call, lost)
        told = lost.headers()
        return replace(request, note=told) if told else request

    def stream_reader(self, call: Call) -> StreamReader:
        events = self._events(call)
        if one_call.is_wanted(call.body):
            events = one_call.FirstCall(events)
        return InterpretedStream(events, CLIENTS[call.operation].writer(call))

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        read = self._answered(call, body)
        if isinstance(read, Answered) and one_call.is_wanted(call.body):
            read.parts = one_call.first_call(read.parts)
        return read_whole(read, call)

    def _name(self, call: Call) -> str:
        """The provider's name of the model."""
        return call.model if self._model is None else self._model

    def _post(
        self, call: Call, target: str, own: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> WireRequest:
        """`own` are the provider's headers, `target` is what follows the base URL's path."""
        headers = [*self._common, *own, (b"x-request-id", call.id.encode())]
        head = encode_head(b"POST", (self._path + target).encode(), headers)
        return WireRequest(self._origin, head, body)

    def _wire(self, call: Call, lost: Omissions) -> WireRequest:
        """Raises Refused."""
        return self._asking(CLIENTS[call.operation].read(_objects.decode(call.body)), call, lost)

    @abstractmethod
    def _asking(self, asked: Asked, call: Call, lost: Omissions) -> WireRequest:
        """The request for a chat. Raises Refused."""

    @abstractmethod
    def _answered(self, call: Call, body: bytes) -> Answered | bytes:
        """The answer, or the error that stands in its place. Raises BadAnswer."""

    @abstractmethod
    def _events(self, call: Call) -> OwnEvents:
        """What reads its stream."""


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

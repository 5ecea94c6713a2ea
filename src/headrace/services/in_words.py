"""A backend whose model knows no JSON schemas, asked in words to keep to them."""

from __future__ import annotations

from msgspec.structs import replace

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import WireRequest
from headrace.services.dialects.schemas import in_words
from headrace.services.service import Service, StreamReader, WholeRead


class InWords(Service):
    """`inner` is what is asked. Its answers are read as they come."""

    def __init__(self, inner: Service) -> None:
        self._inner = inner
        self.provider = inner.provider
        self.priced_as = inner.priced_as

    def __repr__(self) -> str:
        return f"InWords({self._inner!r})"

    def serves(self, operation: Operation) -> bool:
        return self._inner.serves(operation)

    def request(self, call: Call) -> WireRequest:
        return self._inner.request(replace(call, body=in_words(call.operation, call.body)))

    def stream_reader(self, call: Call) -> StreamReader:
        return self._inner.stream_reader(call)

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        return self._inner.read_whole(call, body)

    def enter(self, now: float) -> int:
        return self._inner.enter(now)

    def leave(self, place: int, now: float) -> None:
        self._inner.leave(place, now)

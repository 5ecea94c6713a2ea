"""How clients of each dialect ask for a chat and are answered, by way of the neutral form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from headrace.nouns import Call, Operation
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
from headrace.services.dialects.openai_events import OpenAIWriter
from headrace.services.dialects.responses_answering import Frame
from headrace.services.dialects.responses_events import ResponsesWriter


class Writer(Protocol):
    """Writes a stream of one dialect."""

    def write(self, delta: Delta) -> bytes: ...


class ClientWords(NamedTuple):
    """One dialect."""

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

"""A sentence of the gateway's own as an answer in Anthropic's dialect."""

from __future__ import annotations

import msgspec

from headrace.nouns import Call
from headrace.services.dialects import anthropic_answering
from headrace.services.dialects.anthropic_events import AnthropicWriter
from headrace.services.dialects.neutral import (
    Answered,
    Began,
    Counts,
    Delta,
    Ended,
    Finish,
    Finished,
    Said,
    Text,
)  # fmt: skip


def whole(call: Call, text: str) -> bytes:
    """A `message`."""
    answer = Answered(_id(call), call.model, [Text(text)], Finish.STOP, counts=Counts())
    return msgspec.json.encode(anthropic_answering.written(answer))


def events(call: Call, text: str) -> bytes:
    """All events of a stream."""
    write = AnthropicWriter().write
    deltas: tuple[Delta, ...] = (
        Began(_id(call), call.model),
        Said(text),
        Finished(Finish.STOP),
        Ended(),
    )
    return b"".join(map(write, deltas))


def _id(call: Call) -> str:
    return f"msg_{call.id}"

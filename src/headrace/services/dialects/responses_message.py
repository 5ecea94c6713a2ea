"""A sentence of the gateway's own as a response."""

from __future__ import annotations

import msgspec

from headrace.nouns import Call
from headrace.services.dialects import responses_answering
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
from headrace.services.dialects.responses_answering import Frame
from headrace.services.dialects.responses_events import ResponsesWriter


def whole(call: Call, text: str) -> bytes:
    """A `response`."""
    answer = Answered("", call.model, [Text(text)], Finish.STOP, counts=Counts())
    return msgspec.json.encode(responses_answering.written(answer, Frame.of(call)))


def events(call: Call, text: str) -> bytes:
    """All events of a stream."""
    write = ResponsesWriter(Frame.of(call)).write
    deltas: tuple[Delta, ...] = (
        Began("", call.model),
        Said(text),
        Finished(Finish.STOP),
        Ended(),
    )
    return b"".join(map(write, deltas))

"""A sentence of the gateway's own as an answer in the client's dialect."""

from __future__ import annotations

import msgspec

from headrace.nouns import Call
from headrace.services.dialects.clients import CLIENTS
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
    """A whole answer."""
    answer = Answered(_id(call), call.model, [Text(text)], Finish.STOP, counts=Counts())
    return msgspec.json.encode(CLIENTS[call.operation].written(answer, call))


def events(call: Call, text: str) -> bytes:
    """All events of a stream."""
    write = CLIENTS[call.operation].writer(call).write
    deltas: tuple[Delta, ...] = (
        Began(_id(call), call.model),
        Said(text),
        Finished(Finish.STOP),
        Ended(),
    )
    return b"".join(map(write, deltas))


def _id(call: Call) -> str:
    """As Anthropic writes it; a response's frame gives it one."""
    return f"msg_{call.id}"

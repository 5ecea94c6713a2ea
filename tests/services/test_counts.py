"""What an upstream tells of its usage is read where it can be, and left out where it cannot."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headrace.nouns import MOST_TOKENS, Call, Caller, Dialect, Operation, Passed, Units, Usage
from headrace.services import (
    anthropic_wire,
    openai_wire,
    passed_wire,
    realtime_wire,
    responses_wire,
)
from headrace.services.counts import without_usage
from headrace.services.dialects import (
    bedrock_answering,
    cohere_answering,
    google_answering,
    openai_answering,
)
from headrace.services.dialects.neutral import Answered
from headrace.services.service import BadAnswer

ABSURD = ("-1", "-1.0", str(MOST_TOKENS + 1), str(2**70), "1e30", "1e400", "9" * 5_000, '"-1"')
USUAL = ("12", "12.0", "1.2e1", '"12"')
"""As servers write twelve."""


def _call(operation: Operation, **more: Any) -> Call:
    return Call(
        id="c",
        dialect=Dialect.OPENAI,
        operation=operation,
        model="m",
        body_model="m",
        body=b"{}",
        stream=False,
        wants_usage=True,
        caller=Caller("k"),
        received_at=0.0,
        **more,
    )


CHAT = _call(Operation.CHAT)
_PASSED = Passed(
    content_type=b"application/json",
    estimate=Usage(7, 0, source="estimated", units=Units(searches=1)),
    most_tokens=100,
)
_CHOICE = '"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]'


def _of(form: str, count: str) -> bytes:
    """An answer with the count in its place."""
    return form.replace("COUNT", count).encode()


def _told(read: Answered | bytes) -> Usage | None:
    assert not isinstance(read, bytes)
    return None if read.counts is None else read.counts.usage


def _openai(count: str) -> Usage | None:
    form = '{CHOICE,"usage":{"prompt_tokens":COUNT,"completion_tokens":1}}'
    return openai_wire.read_whole(CHAT, _of(form.replace("CHOICE", _CHOICE), count)).usage


def _responses(count: str) -> Usage | None:
    form = '{"output":[],"usage":{"input_tokens":COUNT,"output_tokens":1}}'
    return responses_wire.read_whole(_of(form, count)).usage


def _anthropic(count: str) -> Usage | None:
    form = '{"content":[],"usage":{"input_tokens":COUNT,"output_tokens":1}}'
    return anthropic_wire.read_whole(CHAT, _of(form, count)).usage


def _translated(count: str) -> Usage | None:
    form = '{CHOICE,"usage":{"prompt_tokens":COUNT}}'.replace("CHOICE", _CHOICE)
    return _told(openai_answering.read(_of(form, count)))


def _google(count: str) -> Usage | None:
    candidate = '{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}'
    form = '{"candidates":[CANDIDATE],"usageMetadata":{"promptTokenCount":COUNT}}'
    answer = _of(form.replace("CANDIDATE", candidate), count)
    return _told(google_answering.read(answer, "c"))


def _cohere(count: str) -> Usage | None:
    form = (
        '{"message":{},"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":COUNT}}}'
    )
    return _told(cohere_answering.read(_of(form, count), "m"))


def _bedrock(count: str) -> Usage | None:
    form = (
        '{"output":{"message":{"content":[]}},"stopReason":"end_turn",'
        '"usage":{"inputTokens":COUNT,"outputTokens":1}}'
    )
    return _told(bedrock_answering.read(_of(form, count), "c", "m"))


def _transcript(count: str) -> Usage | None:
    form = '{"text":"Hi","usage":{"input_tokens":COUNT,"output_tokens":1}}'
    call = _call(Operation.TRANSCRIPTIONS, passed=_PASSED)
    return passed_wire.read_whole(call, _of(form, count)).usage


def _realtime(count: str) -> Usage | None:
    form = '{"type":"response.done","response":{"usage":{"input_tokens":COUNT}}}'
    read = realtime_wire.read(_of(form, count))
    assert read is not None
    return read.usage


READERS = [
    _openai, _responses, _anthropic, _translated, _google, _cohere, _bedrock, _transcript, _realtime
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_numbers_as_servers_write_them(reader: Any) -> None:
    for count in USUAL:
        usage = reader(count)
        assert (usage.input_tokens, usage.source) == (12, "upstream"), count
    assert reader(str(MOST_TOKENS)).input_tokens == MOST_TOKENS


@pytest.mark.parametrize("reader", READERS)
def test_what_no_answer_can_have_is_not_read(reader: Any) -> None:
    for count in ABSURD:
        try:
            assert reader(count) is None, count
        except BadAnswer:
            continue


@pytest.mark.parametrize(
    ("operation", "form"),
    [
        (Operation.RERANK, '{"results":[],"meta":{"billed_units":{"search_units":COUNT}}}'),
        (Operation.TRANSCRIPTIONS, '{"text":"Hi","usage":{"seconds":COUNT}}'),
        (Operation.TRANSCRIPTIONS, '{"text":"Hi","duration":COUNT}'),
    ],
)
def test_units_that_cannot_be_are_as_estimated(operation: Operation, form: str) -> None:
    call = _call(operation, passed=_PASSED)
    for count in ABSURD:
        answer = _of(form, count)
        with pytest.raises(BadAnswer):
            passed_wire.read_whole(call, answer)
        without = without_usage(answer)
        assert without is not None
        assert passed_wire.read_whole(call, without).usage == _PASSED.estimate


def test_only_the_usage_is_taken_out() -> None:
    answer = {
        "usage": {"input_tokens": -1},
        "message": {"usage": {"input_tokens": -1}, "content": [{"usage": 1}]},
        "response": {"usage": None},
        "delta": "text",
        "other": {"usage": 2**63},
    }
    without = without_usage(json.dumps(answer).encode())
    assert without is not None
    answer["usage"] = None
    answer["message"] = {"usage": None, "content": [{"usage": 1}]}
    assert msgspec.json.decode(without) == answer
    for other in (b'{"usage":null}', b"{}", b"[]", b"", b"\xff", b"[" * 100_000):
        assert without_usage(other) is None

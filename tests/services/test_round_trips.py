"""From the neutral form to each dialect and back: what both express is equal. One generated thing
goes every way, since making one takes longer than all its ways. `HEADRACE_SOAK=1` makes 100,000 of
each kind."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
from hypothesis import given, note, settings
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from headrace.platform.http.sse import EventSplitter
from headrace.services.dialects import (
    anthropic_answering,
    anthropic_asking,
    openai_answering,
    openai_asked,
    openai_asking,
    responses_answering,
    responses_asking,
)  # fmt: skip
from headrace.services.dialects.anthropic_events import AnthropicEvents, AnthropicWriter
from headrace.services.dialects.neutral import (
    Answered,
    Asked,
    Counted,
    Counts,
    Delta,
    Finish,
    Finished,
    Hidden,
    Redacted,
    Said,
    Signed,
    Thinking,
    Thought,
    Turn,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions
from headrace.services.dialects.openai_events import OpenAIEvents, OpenAIWriter
from headrace.services.dialects.responses_events import ResponsesWriter
from headrace.services.responses_wire import ResponsesStreamReader, read_whole
from services.test_dialect_events import read_deltas, streams, written
from services.test_dialects import COUNT, answers, conversations, sent
from services.test_responses import asked_for, frame
from services.test_responses_events import events_of, output_of_deltas

EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)

# --- requests


def by_openai(asked: Asked) -> Asked:
    lost = Omissions("refuse", "OpenAI")
    body = openai_asked.written(asked, "m", lost, "max_completion_tokens")
    assert lost.headers() == b""
    return openai_asking.read(sent(body))


def by_anthropic(asked: Asked) -> Asked:
    lost = Omissions("refuse", "Anthropic")
    body = anthropic_asking.written(asked, "m", lost, 1)
    assert lost.headers() == b""
    return anthropic_asking.read(sent(body))


def by_responses(asked: Asked) -> Asked:
    return responses_asking.read(sent(asked_for(asked)))


def after_another(*ways: Callable[[Asked], Asked]) -> Callable[[Asked], Asked]:
    def through(asked: Asked) -> Asked:
        for way in ways:
            asked = way(asked)
        return asked

    return through


REQUESTS: dict[str, Callable[[Asked], Asked]] = {
    "openai": by_openai,
    "anthropic": by_anthropic,
    "openai, then anthropic": after_another(by_openai, by_anthropic),
    "anthropic, then openai": after_another(by_anthropic, by_openai),
}
WITHOUT_STOP: dict[str, Callable[[Asked], Asked]] = {
    "responses": by_responses,
    "responses, openai, anthropic": after_another(by_responses, by_openai, by_anthropic),
}
"""The Responses API has no stop sequences."""


@settings(max_examples=COUNT, deadline=None)
@given(conversations())
def test_requests(asked: Asked) -> None:
    unstopped = msgspec.structs.replace(asked, stop=[])
    for ways, expected in ((REQUESTS, asked), (WITHOUT_STOP, unstopped)):
        for name, way in ways.items():
            note(f"by way of {name}")
            given_in = deepcopy(expected)
            assert way(given_in) == expected
            assert given_in == expected, "a writer changed what it was given"


# --- whole answers


def answered_by_anthropic(answer: Answered) -> None:
    read = anthropic_answering.read(msgspec.json.encode(anthropic_answering.written(answer)))
    assert isinstance(read, Answered)
    assert read.counts == (answer.counts or Counts())
    read.counts = answer.counts
    assert read == answer


def answered_by_openai(answer: Answered) -> None:
    body = openai_answering.written(answer)
    read = openai_answering.read(msgspec.json.encode(body))
    assert isinstance(read, Answered)
    thoughts = [p for p in answer.parts if isinstance(p, Thinking | Redacted)]
    kept = [p for p in answer.parts if p not in thoughts]
    assert [p for p in read.parts if not isinstance(p, Thinking)] == kept
    assert (read.finish, read.counts, read.tier) == (answer.finish, answer.counts, answer.tier)
    # A client that sends the message back sends the thinking with its signatures.
    again = openai_asking.read(sent({"messages": [body["choices"][0]["message"]]}))
    assert again.turns[0].parts == answer.parts
    assert again.others == []


def answered_by_responses(answer: Answered) -> None:
    body = responses_answering.written(answer, frame())
    Response.model_validate(body, strict=False)
    read = read_whole(msgspec.json.encode(body))
    reasons = {Finish.LENGTH: "max_output_tokens", Finish.REFUSED: "content_filter"}
    assert read.finish == reasons.get(answer.finish, "completed")
    assert read.usage == (None if answer.counts is None else answer.counts.usage)
    # A client that sends the items back sends all that was said and thought.
    again = responses_asking.read(sent({"input": body["output"]}))
    assert again.turns == [Turn("assistant", answer.parts)]
    assert again.others == []


@settings(max_examples=COUNT, deadline=None)
@given(answers)
def test_answers(answer: Answered) -> None:
    for way in (answered_by_anthropic, answered_by_openai, answered_by_responses):
        note(way.__name__)
        way(deepcopy(answer))


# --- streams


def unlikely(deltas: list[Delta]) -> list[Delta]:
    """Without log probabilities, which only OpenAI's chat streams have."""
    return [Said(delta.text) if isinstance(delta, Said) else delta for delta in deltas]


def streamed_by_anthropic(deltas: list[Delta]) -> None:
    said = unlikely(deltas)
    assert read_deltas(AnthropicEvents(), written(AnthropicWriter(), said)) == said


def streamed_by_openai(deltas: list[Delta]) -> None:
    """In whose streams thinking has no signature that could be sent back."""
    thinking = (Thought, Signed, Hidden)
    said: list[Delta] = [delta for delta in deltas if not isinstance(delta, thinking)]
    assert read_deltas(OpenAIEvents(), written(OpenAIWriter(shows_usage=True), said)) == said


def streamed_by_responses(deltas: list[Delta]) -> None:
    events = events_of(written(ResponsesWriter(frame()), unlikely(deltas)))
    last = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert last["output"][:-1] == done[:-1]
    for item in last["output"]:
        item.pop("status", None)
    assert output_of_deltas(events) == last["output"]
    finish = next(d for d in deltas if isinstance(d, Finished)).finish
    expected = "response.incomplete" if finish is Finish.LENGTH else "response.completed"
    assert events[-1]["type"] == expected


def put_together_by_the_sdk(deltas: list[Delta]) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events_of(written(ResponsesWriter(frame()), unlikely(deltas))):
        state.handle_event(EVENTS.validate_python(event))


def passed_through(deltas: list[Delta]) -> None:
    """Every byte; the end and the usage are known from the last event alone, and content from the
    first that has some."""
    stream = written(ResponsesWriter(frame()), unlikely(deltas))
    reader = ResponsesStreamReader()
    reads = [reader.read(event, data) for event, data in EventSplitter().pairs(stream)]
    assert b"".join(read.forward for read in reads) == stream
    assert [read.terminal for read in reads] == [False] * (len(reads) - 1) + [True]
    (counts,) = [delta.counts for delta in deltas if isinstance(delta, Counted)]
    assert reads[-1].usage == counts.usage
    assert not any(read.content for read in reads[:2])


@settings(max_examples=COUNT, deadline=None)
@given(streams())
def test_streams(deltas: list[Delta]) -> None:
    for way in (
        streamed_by_anthropic, streamed_by_openai, streamed_by_responses, put_together_by_the_sdk,
        passed_through,
    ):  # fmt: skip
        note(way.__name__)
        way(deepcopy(deltas))

"""From the neutral form to each dialect and back: what both express is equal. One generated thing
goes every way, since making one takes longer than all its ways. `HEADRACE_SOAK=1` makes 100,000 of
each kind."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

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
    bedrock_asking,
    cohere_asking,
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
    Cited,
    Counted,
    Delta,
    Finished,
    Hidden,
    Signed,
    Text,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions
from headrace.services.dialects.openai_events import OpenAIEvents, OpenAIWriter
from headrace.services.dialects.responses_events import ResponsesWriter
from headrace.services.responses_wire import ResponsesStreamReader, read_whole
from services import expressible
from services.asked_by_clients import chat_of, response_of
from services.asked_of_providers import of_bedrock, of_cohere
from services.expressible import Row, unheard
from services.generated_chats import answers, conversations, streams
from services.test_dialect_events import read_deltas, written
from services.test_dialects import COUNT, sent
from services.test_responses import frame
from services.test_responses_events import events_of, output_of_deltas

EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)

# --- requests


class Way(NamedTuple):
    """There and back, and what does not come back. The names are what the client is told of."""

    go: Callable[[Asked], tuple[Asked, set[str]]]
    cannot: tuple[Row, ...]


def _by_chat_client(asked: Asked) -> tuple[Asked, set[str]]:
    said, _ = expressible.left_of(asked, expressible.CHAT_CLIENT)
    return openai_asking.read(sent(chat_of(said))), set()


def _by_responses_client(asked: Asked) -> tuple[Asked, set[str]]:
    said, _ = expressible.left_of(asked, expressible.RESPONSES_CLIENT)
    return responses_asking.read(sent(response_of(said))), set()


def _by_openai(asked: Asked) -> tuple[Asked, set[str]]:
    lost = Omissions("drop", "OpenAI")
    body = openai_asked.written(asked, "m", lost, "max_completion_tokens")
    return openai_asking.read(sent(body)), told(lost)


def _by_anthropic(asked: Asked) -> tuple[Asked, set[str]]:
    lost = Omissions("drop", "Anthropic")
    body = anthropic_asking.written(asked, "m", lost, 7)
    return anthropic_asking.read(sent(body)), told(lost)


def _by_bedrock(asked: Asked) -> tuple[Asked, set[str]]:
    lost = Omissions("drop", "Bedrock")
    body = bedrock_asking.written(asked, "anthropic.m", lost)
    return expressible.normal(of_bedrock(sent(body))), told(lost)


def _by_cohere(asked: Asked) -> tuple[Asked, set[str]]:
    lost = Omissions("drop", "Cohere")
    return of_cohere(sent(cohere_asking.written(asked, "m", lost))), told(lost)


def told(lost: Omissions) -> set[str]:
    """The last parts of the names in the header."""
    return {name.rpartition(".")[2] for name in lost.dropped}


CHATS = Way(_by_chat_client, expressible.CHAT_CLIENT)
RESPONSES = Way(_by_responses_client, expressible.RESPONSES_CLIENT)
TO_OPENAI = Way(_by_openai, expressible.OPENAI)
TO_ANTHROPIC = Way(_by_anthropic, expressible.ANTHROPIC)
TO_BEDROCK = Way(_by_bedrock, expressible.BEDROCK)
TO_COHERE = Way(_by_cohere, expressible.COHERE)
REQUESTS: dict[str, tuple[Way, ...]] = {
    "a client of chats, Anthropic": (CHATS, TO_ANTHROPIC),
    "a client of chats, a server of chats": (CHATS, TO_OPENAI),
    "a client of Anthropic's, a server of chats": (TO_ANTHROPIC, TO_OPENAI),
    "a client of responses, a server of chats": (RESPONSES, TO_OPENAI),
    "a client of responses, Anthropic": (RESPONSES, TO_ANTHROPIC),
    "a server of chats": (TO_OPENAI,),
    "Anthropic": (TO_ANTHROPIC,),
    "Bedrock": (TO_BEDROCK,),
    "Cohere": (TO_COHERE,),
}


@settings(max_examples=COUNT, deadline=None)
@given(conversations())
def test_requests(asked: Asked) -> None:
    given_in = pickle.dumps(asked)
    for name, ways in REQUESTS.items():
        note(f"by way of {name}")
        read = asked
        for way in ways:
            expected, names = expressible.expressible(read, way.cannot)
            read, dropped = way.go(read)
            assert read == expected
            assert dropped == names
    assert pickle.loads(given_in) == asked, "a writer changed what it was given"


# --- whole answers


def answered_by_anthropic(answer: Answered) -> None:
    read = anthropic_answering.read(msgspec.json.encode(anthropic_answering.written(answer)))
    assert read == expressible.anthropic_answer(answer)


def answered_by_openai(answer: Answered) -> None:
    body = openai_answering.written(answer)
    read = openai_answering.read(msgspec.json.encode(body))
    assert read == expressible.chat_answer(answer)
    # A client that sends the message back sends what OpenAI's own have no place for.
    again = openai_asking.read(sent({"messages": [body["choices"][0]["message"]]}))
    assert again.turns == expressible.chat_sent_back(answer)
    assert again.others == []


def answered_by_responses(answer: Answered) -> None:
    body = responses_answering.written(answer, frame())
    Response.model_validate(body, strict=False)
    read = read_whole(msgspec.json.encode(body))
    assert read.finish == (expressible.why_incomplete(answer.finish, answer.parts) or "completed")
    assert read.usage == (None if answer.counts is None else unheard(answer.counts).usage)
    content = [part for item in body["output"] for part in item.get("content", ())]
    told = [part["logprobs"] for part in content if part["type"] == "output_text"]
    assert told == [part.logprobs or [] for part in answer.parts if isinstance(part, Text)]
    # A client that sends the items back sends all that was said and thought.
    again = responses_asking.read(sent({"input": body["output"]}))
    assert again.turns == expressible.sent_back(answer)
    assert again.others == []


@settings(max_examples=COUNT, deadline=None)
@given(answers())
def test_answers(answer: Answered) -> None:
    for way in (answered_by_anthropic, answered_by_openai, answered_by_responses):
        note(way.__name__)
        way(deepcopy(answer))


# --- streams


def streamed_by_anthropic(deltas: list[Delta]) -> None:
    read = read_deltas(AnthropicEvents(), written(AnthropicWriter(), deltas))
    assert read == expressible.anthropic_stream(deltas)


def streamed_by_openai(deltas: list[Delta]) -> None:
    stream = written(OpenAIWriter(shows_usage=True), deltas)
    assert read_deltas(OpenAIEvents(), stream) == expressible.chat_stream(deltas)
    # What OpenAI's own streams have no place for, as a client puts it together.
    blocks: dict[int, dict[str, Any]] = {}
    citations: list[Any] = []
    for _, data in EventSplitter().pairs(stream):
        if data is None or data == b"[DONE]":
            continue
        for choice in msgspec.json.decode(data)["choices"]:
            citations += choice["delta"].get("citations", ())
            for block in choice["delta"].get("thinking_blocks", ()):
                together = blocks.setdefault(block["index"], {"thinking": ""})
                together["thinking"] += block.pop("thinking", "")
                together |= block
    assert citations == [delta.citation for delta in deltas if isinstance(delta, Cited)]
    signed = [block["signature"] for block in blocks.values() if "signature" in block]
    assert signed == [delta.signature for delta in deltas if isinstance(delta, Signed)]
    hidden = [block["data"] for block in blocks.values() if "data" in block]
    assert hidden == [delta.data for delta in deltas if isinstance(delta, Hidden)]


def streamed_by_responses(deltas: list[Delta]) -> None:
    events = events_of(written(ResponsesWriter(frame()), deltas))
    last = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert last["output"][:-1] == done[:-1]
    for item in last["output"]:
        item.pop("status", None)
    assert output_of_deltas(events) == last["output"]
    finish = next(d for d in deltas if isinstance(d, Finished)).finish
    reason = expressible.why_incomplete(finish, deltas)
    assert events[-1]["type"] == ("response.incomplete" if reason else "response.completed")
    assert (last["incomplete_details"] or {"reason": None})["reason"] == reason


def put_together_by_the_sdk(deltas: list[Delta]) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events_of(written(ResponsesWriter(frame()), deltas)):
        state.handle_event(EVENTS.validate_python(event))


def passed_through(deltas: list[Delta]) -> None:
    """Every byte; the end and the usage are known from the last event alone, and content from the
    first that has some."""
    stream = written(ResponsesWriter(frame()), deltas)
    reader = ResponsesStreamReader()
    reads = [reader.read(event, data) for event, data in EventSplitter().pairs(stream)]
    assert b"".join(read.forward for read in reads) == stream
    assert [read.terminal for read in reads] == [False] * (len(reads) - 1) + [True]
    (counts,) = [delta.counts for delta in deltas if isinstance(delta, Counted)]
    assert reads[-1].usage == unheard(counts).usage
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

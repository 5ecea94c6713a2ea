"""The Responses API's dialect: what it and the neutral form both express survives, and what comes
in events is what comes whole."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from headrace.errors import Reason, Refused
from headrace.nouns import Call, Caller, Dialect, Operation, Usage
from headrace.platform.http.sse import EventSplitter
from headrace.services.dialects import (
    anthropic_asking,
    openai_asked,
    openai_asking,
    responses_answering,
    responses_asking,
)  # fmt: skip
from headrace.services.dialects.anthropic_events import AnthropicEvents, AnthropicWriter
from headrace.services.dialects.neutral import (
    Answered,
    Arguments,
    Asked,
    Began,
    Called,
    Cited,
    Counted,
    Counts,
    Delta,
    Document,
    Ended,
    Finish,
    Finished,
    Hidden,
    Image,
    Part,
    Redacted,
    Refusing,
    Said,
    Text,
    Thinking,
    Thought,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from headrace.services.dialects.objects import given as members_given
from headrace.services.dialects.omissions import Omissions
from headrace.services.dialects.openai_events import OpenAIEvents, OpenAIWriter
from headrace.services.dialects.responses_answering import Frame
from headrace.services.dialects.responses_events import ResponsesWriter
from headrace.services.responses_wire import (
    DROPPED,
    ResponsesStreamReader,
    read_whole,
    without_foreign_thinking,
)
from headrace.services.service import BadAnswer
from headrace.services.translated import TranslatedStream
from services.test_dialect_events import DELTAS, streams, written
from services.test_dialects import COUNT, answers, conversations, json_values, sent

EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def call(**members: Any) -> Call:
    return Call(
        id="c",
        dialect=Dialect.OPENAI,
        operation=Operation.RESPONSES,
        model="m",
        body_model="m",
        body=msgspec.json.encode({"model": "m", "input": "Hi", **members}),
        stream=True,
        wants_usage=True,
        caller=Caller("k"),
        received_at=0.0,
    )


# --- requests


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return members_given(type="input_image", image_url=url, detail=part.detail or "auto")
        case Document(kind="file"):
            return members_given(type="input_file", file_id=part.source, filename=part.title)
        case Document(kind="text"):
            data = "data:text/plain;base64," + base64.b64encode(part.source.encode()).decode()
            return members_given(type="input_file", file_data=data, filename=part.title)
        case Document():
            data = f"data:{part.media_type};base64,{part.source}"
            return members_given(type="input_file", file_data=data, filename=part.title)
    raise AssertionError(part)


def _items(turn: Turn) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            output = [_part(inner) for inner in part.parts]
            kind = "function_call_output"
            items.append({"type": kind, "call_id": part.id, "output": output})
        elif isinstance(part, ToolUse):
            arguments = msgspec.json.encode(part.input).decode()
            use = {"call_id": part.id, "name": part.name, "arguments": arguments}
            items.append({"type": "function_call", "id": "fc_1", "status": "completed", **use})
        elif turn.role == "assistant":
            assert isinstance(part, Text)
            said.append({"type": "output_text", "text": part.text, "annotations": []})
        else:
            said.append(_part(part))
    message = {"role": "developer" if turn.role == "system" else turn.role, "content": said}
    if turn.role == "assistant":
        return [{"type": "message", "id": "msg_1", **message}, *items]
    return [*items, *([message] if said else [])]


def asked_for(asked: Asked) -> dict[str, Any]:
    """A request of the Responses API, written independently of its reader."""
    items = _items(Turn("system", asked.system)) if asked.system else []
    for turn in asked.turns:
        items += _items(turn)
    form = None
    if asked.schema is not None:
        form = {"format": {"type": "json_schema", "name": "x", "schema": asked.schema}}
    choice: Any = None
    if asked.choice is not None:
        words = {"none": "none", "any": "required"}
        choice = words.get(asked.choice.kind) or {"type": "function", "name": asked.choice.name}
    tools = [
        members_given(
            type="function", name=t.name, description=t.description, parameters=t.schema,
            strict=t.strict,
        )
        for t in asked.tools
    ]  # fmt: skip
    return members_given(
        model="m",
        input=items,
        max_output_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        text=form,
        reasoning=None if asked.effort is None else {"effort": asked.effort, "summary": "auto"},
        user=asked.user,
        service_tier={"auto": "auto", "standard": "default"}.get(asked.tier or ""),
        stream=asked.stream,
        tools=tools or None,
        tool_choice=choice,
        parallel_tool_calls=False if asked.one_call_at_most else None,
        store=False,
    )


@settings(max_examples=COUNT, deadline=None)
@given(conversations())
def test_requests(asked: Asked) -> None:
    asked.stop = []  # which this API does not have
    assert responses_asking.read(sent(asked_for(asked))) == asked


@settings(max_examples=COUNT, deadline=None)
@given(conversations())
def test_requests_by_way_of_the_others(asked: Asked) -> None:
    asked.stop = []
    lost = Omissions("refuse", "the other")
    read = responses_asking.read(sent(asked_for(asked)))
    chat = openai_asking.read(sent(openai_asked.written(read, "m", lost, "max_tokens")))
    back = anthropic_asking.read(sent(anthropic_asking.written(chat, "m", lost, 1)))
    assert back == asked
    assert lost.headers() == b""


@settings(max_examples=COUNT, deadline=None)
@given(st.dictionaries(st.sampled_from([
    "input", "instructions", "tools", "tool_choice", "text", "reasoning", "include", "metadata",
    "truncation", "service_tier", "top_logprobs",
]), json_values))  # fmt: skip
def test_no_body_breaks_the_reader(body: dict[str, Any]) -> None:
    try:
        asked = responses_asking.read(sent(body))
        lost = Omissions("drop", "x")
        anthropic_asking.written(asked, "m", lost, 1)
        openai_asked.written(asked, "m", lost, "max_tokens")
    except Refused as refused:
        assert refused.reason is Reason.BAD_REQUEST


def test_thinking_of_another_provider_is_told() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    asked = responses_asking.read({"input": [item, {"role": "user", "content": "Hi"}]})
    assert asked.others == ["input[0].encrypted_content"]
    openai_asked.written(asked, "m", Omissions("by_meaning", "x"), "max_tokens")


def _input(*items: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {"input": msgspec.Raw(msgspec.json.encode(items))}


def test_thinking_of_others_does_not_go_to_openai() -> None:
    ours = {"type": "reasoning", "summary": [], "encrypted_content": "headrace-signature.x"}
    openais = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    text = {"role": "user", "content": '"reasoning" headrace-'}
    members = _input(ours, openais, text)
    assert without_foreign_thinking(members, kept=False) == DROPPED
    assert msgspec.json.decode(members["input"]) == [openais, text]
    assert without_foreign_thinking(members, kept=True) == DROPPED
    assert msgspec.json.decode(members["input"]) == [text]
    for untouched in (_input(text), _input(openais), {"input": msgspec.Raw(b'"reasoning"')}, {}):
        before = dict(untouched)
        assert without_foreign_thinking(untouched, kept=False) == b""
        assert untouched == before


# --- whole answers


@settings(max_examples=COUNT, deadline=None)
@given(answers)
def test_answers(answer: Answered) -> None:
    body = responses_answering.written(answer, Frame.of(call()))
    Response.model_validate(body, strict=False)
    read = read_whole(msgspec.json.encode(body))
    reasons = {Finish.LENGTH: "max_output_tokens", Finish.REFUSED: "content_filter"}
    assert read.finish == reasons.get(answer.finish, "completed")
    assert read.usage == (None if answer.counts is None else answer.counts.usage)
    # A client that sends the items back sends all that was said and thought.
    again = responses_asking.read(sent({"input": body["output"]}))
    assert again.turns == [Turn("assistant", answer.parts)]
    assert again.others == []


def test_what_is_no_response_is_no_answer() -> None:
    for body in (b"{}", b"[]", b'{"output":[],"status":"queued"}', b'{"status":"completed"}'):
        with pytest.raises(BadAnswer):
            read_whole(body)
    failed = read_whole(b'{"status":"failed","output":[],"error":{"code":"server_error"}}')
    assert failed.error == b'{"code":"server_error"}'


# --- streams


def _events(stream: bytes) -> list[dict[str, Any]]:
    pairs = EventSplitter().pairs(stream)
    found = []
    for event, data in pairs:
        assert data is not None
        read = msgspec.json.decode(data)
        assert event.startswith(b"event: %b\n" % read["type"].encode())
        found.append(read)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def _output_of_deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client puts together that looks at items and deltas alone."""
    items: list[dict[str, Any]] = []
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(items)
            items.append(event["item"])
            items[-1].pop("status", None)
            continue
        if "output_index" not in event or not items:
            continue
        item = items[event["output_index"]]
        assert event.get("item_id", item["id"]) == item["id"]
        match kind:
            case "response.content_part.added":
                assert event["content_index"] == len(item["content"])
                item["content"].append(event["part"])
            case "response.output_text.delta":
                item["content"][event["content_index"]]["text"] += event["delta"]
            case "response.refusal.delta":
                item["content"][event["content_index"]]["refusal"] += event["delta"]
            case "response.function_call_arguments.delta":
                item["arguments"] += event["delta"]
            case "response.reasoning_summary_part.added":
                item["summary"].append(event["part"])
            case "response.reasoning_summary_text.delta":
                item["summary"][0]["text"] += event["delta"]
            case "response.output_item.done":
                seal = event["item"].get("encrypted_content")
                if seal is not None:
                    item["encrypted_content"] = seal
    return items


@settings(max_examples=COUNT, deadline=None)
@given(streams())
def test_events(deltas: list[Delta]) -> None:
    stream = written(ResponsesWriter(Frame.of(call())), deltas)
    events = _events(stream)
    last = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert last["output"][:-1] == done[:-1]
    for item in last["output"]:
        item.pop("status", None)
    assert _output_of_deltas(events) == last["output"]
    finish = next(d for d in deltas if isinstance(d, Finished)).finish
    expected = "response.incomplete" if finish is Finish.LENGTH else "response.completed"
    assert events[-1]["type"] == expected


@settings(max_examples=COUNT, deadline=None)
@given(streams())
def test_the_sdk_puts_the_same_together(deltas: list[Delta]) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    stream = written(ResponsesWriter(Frame.of(call())), deltas)
    for event in _events(stream):
        state.handle_event(EVENTS.validate_python(event))


@settings(max_examples=COUNT, deadline=None)
@given(streams())
def test_passed_through(deltas: list[Delta]) -> None:
    """Every byte; the end and the usage are known from the last event alone, and content from the
    first that has some."""
    stream = written(ResponsesWriter(Frame.of(call())), deltas)
    reader = ResponsesStreamReader()
    reads = [reader.read(event, data) for event, data in EventSplitter().pairs(stream)]
    assert b"".join(read.forward for read in reads) == stream
    assert [read.terminal for read in reads] == [False] * (len(reads) - 1) + [True]
    (counts,) = [delta.counts for delta in deltas if isinstance(delta, Counted)]
    assert reads[-1].usage == counts.usage
    assert not any(read.content for read in reads[:2])


def test_cut_at_every_byte() -> None:
    """The same events come out, whichever way it came in."""
    ways: list[tuple[Any, Any]] = [
        (AnthropicWriter(), AnthropicEvents),
        (OpenAIWriter(shows_usage=True), OpenAIEvents),
    ]
    for writer, events in ways:
        stream = written(writer, DELTAS)
        frame = Frame.of(call())

        def through(cuts: list[int], stream: bytes = stream, events: Any = events) -> bytes:
            reader = TranslatedStream(events(), ResponsesWriter(frame))  # noqa: B023
            splitter, out = EventSplitter(), []
            for start, end in itertools.pairwise([0, *cuts, len(stream)]):
                for event, data in splitter.pairs(stream[start:end]):
                    out.append(reader.read(event, data).forward)
            return b"".join(out)

        whole = through([])
        assert whole.count(b"event: response.completed\n") == 1
        for at in range(1, len(stream)):
            assert through([at]) == whole, at


class TestEvents:
    def write(self, *deltas: Delta) -> list[dict[str, Any]]:
        writer = ResponsesWriter(Frame.of(call()))
        return _events(written(writer, [Began("x", "m"), *deltas]))

    def test_refusals_citations_and_hidden_thoughts(self) -> None:
        events = self.write(
            Hidden("secret"), Said("a"), Cited({"n": 1}), Refusing("no"), Finished(Finish.REFUSED),
            Ended(),
        )  # fmt: skip
        response = events[-1]["response"]
        hidden, message = response["output"]
        assert hidden["encrypted_content"] == "headrace-redacted.secret"
        text, refusal = message["content"]
        assert (text["text"], text["citations"]) == ("a", [{"n": 1}])
        assert refusal == {"type": "refusal", "refusal": "no"}
        assert response["status"] == "completed"
        again = responses_asking.read(sent({"input": response["output"]}))
        assert again.turns[0].parts[0] == Redacted("secret")
        assert again.turns[0].parts[1] == Text("a", citations=[{"n": 1}])

    def test_what_a_filter_stopped_is_incomplete(self) -> None:
        events = self.write(Said("a"), Finished(Finish.REFUSED), Ended())
        assert events[-1]["type"] == "response.incomplete"
        assert events[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}

    def test_thoughts_without_a_signature(self) -> None:
        events = self.write(Thought("Hm"), Said("a"), Finished(Finish.STOP), Ended())
        thought = events[-1]["response"]["output"][0]
        assert thought["summary"] == [{"type": "summary_text", "text": "Hm"}]
        read = responses_asking.read(sent({"input": [thought]}))
        assert read.turns[0].parts == [Thinking("Hm")]

    def test_fragments_of_an_earlier_call_cannot_come_late(self) -> None:
        writer = ResponsesWriter(Frame.of(call()))
        for delta in (Began("x", "m"), Called(0, "a", "f"), Called(1, "b", "g")):
            writer.write(delta)
        with pytest.raises(BadAnswer):
            writer.write(Arguments(0, "{"))

    def test_an_end_without_a_beginning_is_no_answer(self) -> None:
        with pytest.raises(BadAnswer):
            ResponsesWriter(Frame.of(call())).write(Ended())

    def test_usage_that_never_came_is_nothing(self) -> None:
        response = self.write(Said("a"), Finished(Finish.STOP), Ended())[-1]["response"]
        assert response["usage"]["total_tokens"] == 0
        assert Counts().usage == Usage()


class TestFaultsInEvents:
    @pytest.mark.parametrize(
        "data",
        [
            b'{"type":"error","code":"server_error","message":"x"}',
            b'{"type":"error","error":{"message":"x"}}',
            b'{"type":"response.failed","response":{"status":"failed","error":{"code":"x"}}}',
            b'{"type":"response.failed","response":{"status":"failed","error":null}}',
            b'{"type":"response.cancelled"}',
            b'{"type":"response.completed","response":{"error":{"code":"x"}}}',
        ],
    )
    def test_are_for_the_log(self, data: bytes) -> None:
        read = ResponsesStreamReader().read(b"", data)
        assert read.error
        assert (read.forward, read.terminal) == (b"", False)

    @pytest.mark.parametrize("data", [b"{", b"[]", b'{"a":1}', b'{"type":"response.completed"}'])
    def test_what_is_no_event_is_no_answer(self, data: bytes) -> None:
        with pytest.raises(BadAnswer):
            ResponsesStreamReader().read(b"", data)

    def test_done_ends_nothing(self) -> None:
        read = ResponsesStreamReader().read(b"data: [DONE]\n\n", b"[DONE]")
        assert (read.forward, read.terminal) == (b"", False)

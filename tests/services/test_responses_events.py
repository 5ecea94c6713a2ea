"""The Responses API's streams: what comes in events is what comes whole."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from headrace.nouns import Usage
from headrace.platform.http.sse import EventSplitter
from headrace.services.dialects import responses_asking
from headrace.services.dialects.anthropic_events import AnthropicEvents, AnthropicWriter
from headrace.services.dialects.neutral import (
    Arguments,
    Began,
    Called,
    Cited,
    Counts,
    Delta,
    Ended,
    Finish,
    Finished,
    Hidden,
    Redacted,
    Refusing,
    Said,
    Text,
    Thinking,
    Thought,
)  # fmt: skip
from headrace.services.dialects.openai_events import OpenAIEvents, OpenAIWriter
from headrace.services.dialects.responses_events import ResponsesWriter
from headrace.services.responses_wire import ResponsesStreamReader
from headrace.services.service import BadAnswer
from headrace.services.translated import TranslatedStream
from services.test_dialect_events import DELTAS, written
from services.test_dialects import sent
from services.test_responses import frame

EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def events_of(stream: bytes) -> list[dict[str, Any]]:
    pairs = EventSplitter().pairs(stream)
    found = []
    for event, data in pairs:
        assert data is not None
        read = msgspec.json.decode(data)
        assert event.startswith(b"event: %b\n" % read["type"].encode())
        found.append(read)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def output_of_deltas(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
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
                part = item["content"][event["content_index"]]
                part["text"] += event["delta"]
                part["logprobs"] += event["logprobs"]
            case "response.content_part.done" if "citations" in event["part"]:
                cited = event["part"]["citations"]
                item["content"][event["content_index"]]["citations"] = cited
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


def test_cut_at_every_byte() -> None:
    """The same events come out, whichever way it came in."""
    ways: list[tuple[Any, Any]] = [
        (AnthropicWriter(), AnthropicEvents),
        (OpenAIWriter(shows_usage=True), OpenAIEvents),
    ]
    for writer, events in ways:
        stream = written(writer, DELTAS)
        of_one = frame()

        def through(cuts: list[int], stream: bytes = stream, events: Any = events) -> bytes:
            reader = TranslatedStream(events(), ResponsesWriter(of_one))  # noqa: B023
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
        writer = ResponsesWriter(frame())
        return events_of(written(writer, [Began("x", "m"), *deltas]))

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
        writer = ResponsesWriter(frame())
        for delta in (Began("x", "m"), Called(0, "a", "f"), Called(1, "b", "g")):
            writer.write(delta)
        with pytest.raises(BadAnswer):
            writer.write(Arguments(0, "{"))

    def test_an_end_without_a_beginning_is_no_answer(self) -> None:
        with pytest.raises(BadAnswer):
            ResponsesWriter(frame()).write(Ended())

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

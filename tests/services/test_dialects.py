"""The neutral form: what two dialects both express survives the way there and back, exactly."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import Reason, Refused
from headrace.services.dialects import (
    anthropic_asking,
    bedrock_asking,
    cohere_asking,
    google_answering,
    google_asking,
    one_call,
    openai_answering,
    openai_asked,
    openai_asking,
    responses_asking,
)  # fmt: skip
from headrace.services.dialects.neutral import (
    Answered,
    Asked,
    Part,
    Redacted,
    Text,
    Thinking,
    ToolUse,
)
from headrace.services.dialects.omissions import Omissions
from services.generated_chats import json_values

COUNT = 100_000 if os.environ.get("HEADRACE_SOAK") == "1" else 100


def sent(body: dict[str, Any]) -> dict[str, Any]:
    """As the other end reads it."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return read


def test_a_signature_of_gemini_stays_away_from_anthropic() -> None:
    """Who falls back from one to the other in a conversation is not refused for it."""
    thought = {"type": "thinking", "thinking": "Hm", "signature": "google#abc"}
    message = {"role": "assistant", "content": "Yes?", "thinking_blocks": [thought]}
    asked = openai_asking.read(sent({"messages": [{"role": "user", "content": "Hi"}, message]}))
    lost = Omissions("by_meaning", "Anthropic's API")
    body = anthropic_asking.written(asked, "m", lost, 7)
    assert "google#" not in json.dumps(body)
    assert lost.headers() == b"x-headrace-dropped: messages.reasoning_content\r\n"


class TestOmissions:
    def ask(self, policy: Any = "by_meaning", **members: Any) -> tuple[dict[str, Any], bytes]:
        lost = Omissions(policy, "Anthropic's API")
        asked = openai_asking.read({"messages": [{"role": "user", "content": "Hi"}], **members})
        return anthropic_asking.written(asked, "m", lost, 7), lost.headers()

    def test_tuning_is_dropped_and_told(self) -> None:
        body, told = self.ask(seed=1, logit_bias={"1": 2}, metadata={"a": "b"}, temperature=1.7)
        assert told == b"x-headrace-dropped: seed, logit_bias, metadata, temperature\r\n" or (
            set(told.decode().split(": ")[1].strip().split(", "))
            == {"seed", "logit_bias", "metadata", "temperature"}
        )
        assert body["temperature"] == 1.0
        assert body["max_tokens"] == 7

    @pytest.mark.parametrize(
        "members",
        [
            {"logprobs": True},
            {"n": 2},
            {"response_format": {"type": "json_object"}},
            {"audio": {"voice": "alloy"}},
            {"modalities": ["text", "audio"]},
            {"web_search_options": {}},
            {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
            {"a_member_of_tomorrow": 1},
        ],
        ids=lambda m: next(iter(m)),
    )
    def test_meaning_is_refused(self, members: dict[str, Any]) -> None:
        with pytest.raises(Refused, match="cannot be expressed in Anthropic's API") as caught:
            self.ask(**members)
        assert caught.value.reason is Reason.UNSUPPORTED_BY_PROVIDER
        _, told = self.ask("drop", **members)
        assert next(iter(members)) in told.decode()

    def test_what_litellm_notes_of_its_own_answers_is_told(self) -> None:
        noted = {"provider_specific_fields": {"refusal": None}}
        messages = [{"role": "assistant", "content": "In Bern.", **noted}]
        _, told = self.ask(messages=messages)
        assert told == b"x-headrace-dropped: messages.provider_specific_fields\r\n"

    def test_all_is_refused_where_the_operator_says_so(self) -> None:
        with pytest.raises(Refused, match="'seed' cannot be expressed"):
            self.ask("refuse", seed=1)

    def test_what_says_nothing_is_not_told(self) -> None:
        body, told = self.ask(
            "refuse", n=1, seed=None, logprobs=False, store=False, modalities=["text"], stop=None,
            stream_options={"include_usage": True}, tool_choice="auto", logit_bias=None,
        )  # fmt: skip
        assert told == b""
        assert body == {
            "model": "m", "max_tokens": 7, "messages": [{"role": "user", "content": "Hi"}],
        }  # fmt: skip

    def test_a_hostile_name_is_no_header_line(self) -> None:
        _, told = self.ask("drop", **{"a\r\nx: 1, ü": 1})
        assert told == b"x-headrace-dropped: a??x??1???\r\n"


BAD_BODIES = [
    {"messages": "x"},
    {"messages": [1]},
    {"messages": [{"role": "user", "content": 1}]},
    {"messages": [{"role": "user", "content": [1]}]},
    {"messages": [{"role": "tool", "content": "x"}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f",
                                                        "arguments": "{"}}]}]},
    {"messages": [], "tools": 1},
    {"messages": [], "stop": 1},
    {"messages": [], "response_format": "json"},
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=json.dumps)
def test_unsound_requests_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        openai_asking.read(sent(body))
    assert caught.value.reason is Reason.BAD_REQUEST


@settings(max_examples=COUNT, deadline=None)
@given(st.dictionaries(st.sampled_from([
    "messages", "tools", "tool_choice", "system", "stop", "stop_sequences", "response_format",
    "output_config", "metadata", "n", "modalities", "thinking", "service_tier",
]), json_values))  # fmt: skip
def test_no_body_breaks_a_reader(body: dict[str, Any]) -> None:
    for read in (openai_asking.read, anthropic_asking.read):
        try:
            asked = read(sent(body))
            lost = Omissions("drop", "x")
            anthropic_asking.written(asked, "m", lost, 1)
            openai_asked.written(asked, "m", lost, "max_tokens")
        except Refused as refused:
            assert refused.reason is Reason.BAD_REQUEST


def test_members_of_parts_are_not_lost_in_silence() -> None:
    part = {"type": "text", "text": "x", "tomorrow": 1, "nothing": None}
    asked = openai_asking.read({"messages": [{"role": "user", "content": [dict(part)]}]})
    assert asked.others == ["messages[0].content[0].tomorrow"]
    asked = anthropic_asking.read({"messages": [{"role": "user", "content": [dict(part)]}]})
    assert asked.others == ["messages[0].content[0].tomorrow"]


class TestWhatBothSay:
    """Small cases of what the generated round trips found lost."""

    NAMED: ClassVar[dict[str, Any]] = {
        "name": "place", "description": "Where.", "schema": {"type": "object"}, "strict": False,
    }  # fmt: skip

    def chat(self, *messages: dict[str, Any], **members: Any) -> Asked:
        said = [{"role": "user", "content": "Hi"}, *messages]
        return openai_asking.read(sent({"messages": said, **members}))

    def anthropic(self, asked: Asked) -> tuple[dict[str, Any], list[str]]:
        lost = Omissions("drop", "Anthropic's API")
        return anthropic_asking.written(asked, "m", lost, 7), list(lost.dropped)

    def test_how_a_schema_is_named_and_whether_it_binds(self) -> None:
        form = {"type": "json_schema", **self.NAMED}
        by_chat = self.chat(
            response_format={"type": "json_schema", "json_schema": dict(self.NAMED)}
        )
        by_responses = responses_asking.read(sent({"input": "Hi", "text": {"format": form}}))
        for asked in (by_chat, by_responses):
            lost = Omissions("refuse", "OpenAI")
            body = openai_asked.written(asked, "m", lost, "max_tokens")
            assert body["response_format"]["json_schema"] == self.NAMED
            _, told = self.anthropic(asked)
            assert told == ["response_format.json_schema.description"]
            output = bedrock_asking.written(asked, "m", Omissions("refuse", "x"))["outputConfig"]
            named = output["textFormat"]["structure"]["jsonSchema"]
            assert (named["name"], named["description"]) == ("place", "Where.")

    @pytest.mark.parametrize("tier", ["flex", "priority"])
    def test_tiers_of_openais_apis(self, tier: str) -> None:
        asked = responses_asking.read(sent({"input": "Hi", "service_tier": tier}))
        body = openai_asked.written(asked, "m", Omissions("refuse", "OpenAI"), "max_tokens")
        assert body["service_tier"] == tier
        body, told = self.anthropic(asked)
        assert "service_tier" not in body
        assert told == ["service_tier"]

    def test_citations_of_a_message_that_is_sent_back(self) -> None:
        own = {"type": "char_location", "cited_text": "x", "document_index": 0}
        cohere = {"start": 0, "end": 1, "text": "x", "sources": []}
        message = {"role": "assistant", "content": "x", "citations": [own, cohere]}
        body, told = self.anthropic(self.chat(message))
        (block,) = body["messages"][1]["content"]
        assert block["citations"] == [own]
        assert told == ["messages.citations"]

    def test_a_turn_of_which_nothing_is_left_is_none(self) -> None:
        """Providers refuse a message without content."""
        thought = {"role": "assistant", "content": None, "reasoning_content": "Hm"}
        asked = self.chat(thought)
        assert len(self.anthropic(asked)[0]["messages"]) == 1
        lost = Omissions("drop", "x")
        for body in (
            openai_asked.written(asked, "m", lost, "max_tokens"),
            bedrock_asking.written(asked, "m", lost),
        ):
            assert len(body["messages"]) == 1
        assert list(lost.dropped) == ["messages.thinking"]


@pytest.mark.parametrize("write", [google_asking.written, cohere_asking.written])
def test_marks_within_results_are_told(write: Any) -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    text = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [text]}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    lost = Omissions("by_meaning", "x")
    write(anthropic_asking.read(sent({"messages": messages})), "gemini-3", lost)
    assert lost.headers() == b"x-headrace-dropped: messages.cache_control\r\n"


class TestOneCallAtMost:
    """By the gateway, where the provider cannot be told."""

    def test_who_wants_it(self) -> None:
        chat: dict[str, Any] = {"messages": [], "tools": []}
        wishes = [
            ({**chat, "parallel_tool_calls": False}, True),
            ({**chat, "parallel_tool_calls": True}, False),
            ({**chat, "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, True),
            ({**chat, "tool_choice": {"type": "any", "disable_parallel_tool_use": False}}, False),
            ({**chat, "tool_choice": "auto", "user": "parallel_tool_calls"}, False),
            (chat, False),
        ]
        for body, wanted in wishes:
            assert one_call.is_wanted(json.dumps(body).encode()) is wanted, body

    def test_what_is_left_of_an_answer(self) -> None:
        first, second = ToolUse("a", "f", {}), ToolUse("b", "f", {})
        thoughts: list[Part] = [Thinking("1", "s"), Redacted("2")]
        more: list[Part] = [Thinking("3", "t"), Redacted("4")]
        said = Text("x")
        cases: list[tuple[list[Part], list[Part]]] = [
            ([said], [said]),
            ([*thoughts, said, first], [*thoughts, said, first]),
            ([*thoughts, first, *more, second, said], [*thoughts, first]),
            ([first, said, second], [first, said]),
            (thoughts, thoughts),
        ]
        for parts, kept in cases:
            assert one_call.first_call(list(parts)) == kept


def test_tokens_of_audio_are_told_and_counted() -> None:
    """They have a price of their own."""
    body = {
        "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 9,
            "candidatesTokenCount": 7,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 5},
            ],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}],
        },
    }  # fmt: skip
    answer = google_answering.read(json.dumps(body).encode(), "id")
    assert isinstance(answer, Answered)
    assert answer.counts is not None
    usage = answer.counts.usage
    assert (usage.audio_input_tokens, usage.audio_output_tokens) == (5, 6)
    told = openai_answering.written(answer)["usage"]
    assert told["prompt_tokens_details"]["audio_tokens"] == 5
    assert told["completion_tokens_details"]["audio_tokens"] == 6

"""The neutral form: what two dialects both express survives the way there and back, exactly."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import Reason, Refused
from headrace.services.dialects import (
    anthropic_asking,
    openai_asked,
    openai_asking,
)  # fmt: skip
from headrace.services.dialects.neutral import (
    Answered,
    Asked,
    Choice,
    Counts,
    Document,
    Finish,
    Image,
    Part,
    Redacted,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions

COUNT = 100_000 if os.environ.get("HEADRACE_SOAK") == "1" else 100

texts = st.text(min_size=1, max_size=20)
ids = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=4)
base64s = st.binary(min_size=1, max_size=12).map(msgspec.to_builtins)
plain_texts = st.builds(Text, texts)
images = st.builds(
    Image, media_type=st.sampled_from(["image/png", "image/jpeg"]), data=base64s
) | st.builds(Image, url=texts.map(lambda t: "https://example.com/" + t))
documents = st.builds(
    Document,
    st.just("base64"),
    base64s,
    media_type=st.just("application/pdf"),
    title=st.none() | texts,
) | st.builds(Document, st.sampled_from(["text", "file"]), texts, title=st.none() | texts)
results = st.builds(ToolResult, ids, st.lists(plain_texts, max_size=2))
uses = st.builds(ToolUse, ids, ids, objects)
user_parts: st.SearchStrategy[list[Part]] = st.builds(
    lambda results, others: [*results, *others],
    st.lists(results, max_size=2),
    st.lists(plain_texts | images | documents, min_size=1, max_size=3),
)
assistant_parts: st.SearchStrategy[list[Part]] = st.builds(
    lambda texts, uses: [*texts, *uses],
    st.lists(plain_texts, min_size=1, max_size=2),
    st.lists(uses, max_size=2),
)
tools = st.builds(
    Tool, ids, st.none() | texts, st.just({"type": "object", "properties": {}}),
    st.none() | st.booleans(),
)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> Asked:
    """What both dialects can say."""
    asked = Asked(
        tools=draw(st.lists(tools, max_size=2)),
        max_tokens=draw(st.integers(1, 10_000)),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 1)),
        stop=draw(st.lists(texts, max_size=4)),
        schema=draw(st.none() | objects),
        effort=draw(st.sampled_from([None, "low", "medium", "high", "xhigh"])),
        user=draw(st.none() | texts),
        tier=draw(st.sampled_from([None, "auto", "standard"])),
        stream=draw(st.booleans()),
    )
    if asked.tools:
        asked.choice = draw(
            st.none()
            | st.builds(Choice, st.sampled_from(["none", "any"]))
            | st.builds(Choice, st.just("tool"), ids)
        )
        asked.one_call_at_most = draw(st.booleans()) and asked.choice != Choice("none")
    asked.add("system", draw(st.lists(plain_texts, max_size=2)))
    for i in range(draw(st.integers(1, 4))):
        if i % 2:
            asked.add("assistant", draw(assistant_parts))
        else:
            asked.add("user", draw(user_parts))
        asked.add("system", draw(st.lists(plain_texts, max_size=1)) if i else [])
    return asked


def sent(body: dict[str, Any]) -> dict[str, Any]:
    """As the other end reads it."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return read


thoughts = st.builds(Thinking, texts, texts) | st.builds(Redacted, texts)
answers = st.builds(
    Answered,
    texts,
    texts,
    st.builds(
        lambda thoughts, text, uses: [*thoughts, *text, *uses],
        st.lists(thoughts, max_size=2),
        st.lists(plain_texts, min_size=1, max_size=1),
        st.lists(uses, max_size=2),
    ),
    st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.TOOLS, Finish.REFUSED]),
    counts=st.none()
    | st.builds(
        lambda new, out, cached, written, thought: Counts(
            new + cached + written, out, cached, written, thought
        ),
        *[st.integers(0, 10**6)] * 5,
    ),
    tier=st.just("standard"),
)


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

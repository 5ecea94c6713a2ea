"""The Responses API's dialect: what it and the neutral form both express survives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import Reason, Refused
from headrace.nouns import Operation
from headrace.services.dialects import (
    anthropic_asking,
    openai_asked,
    responses_asking,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions
from headrace.services.dialects.responses_answering import Frame
from headrace.services.responses_wire import DROPPED, read_whole, without_foreign_thinking
from headrace.services.service import BadAnswer
from services.generated_chats import json_values
from services.test_dialects import COUNT, sent
from support.replies import call


def frame() -> Frame:
    """Of a new response."""
    body = msgspec.json.encode({"model": "m", "input": "Hi"})
    return Frame.of(call(body, operation=Operation.RESPONSES))


# --- requests


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


def test_what_is_no_response_is_no_answer() -> None:
    for body in (b"{}", b"[]", b'{"output":[],"status":"queued"}', b'{"status":"completed"}'):
        with pytest.raises(BadAnswer):
            read_whole(body)
    failed = read_whole(b'{"status":"failed","output":[],"error":{"code":"server_error"}}')
    assert failed.error == b'{"code":"server_error"}'

"""The Responses API's dialect: what it and the neutral form both express survives."""

from __future__ import annotations

import base64
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
from headrace.services.dialects.neutral import (
    Asked,
    Document,
    Image,
    Part,
    Text,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from headrace.services.dialects.objects import given as members_given
from headrace.services.dialects.omissions import Omissions
from headrace.services.dialects.responses_answering import Frame
from headrace.services.responses_wire import DROPPED, read_whole, without_foreign_thinking
from headrace.services.service import BadAnswer
from services.test_dialects import COUNT, json_values, sent
from support.replies import call


def frame() -> Frame:
    """Of a new response."""
    body = msgspec.json.encode({"model": "m", "input": "Hi"})
    return Frame.of(call(body, operation=Operation.RESPONSES))


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

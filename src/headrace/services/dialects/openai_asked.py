"""Requests for a chat in OpenAI's dialect, written.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from headrace.services.dialects import tables
from headrace.services.dialects.neutral import (
    Asked,
    Choice,
    Document,
    Foreign,
    Image,
    Part,
    Redacted,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from headrace.services.dialects.objects import given, unparsed
from headrace.services.dialects.omissions import Omissions

_TEXT_PLAIN = "data:text/plain;base64,"
_DISABLED = {"type": "disabled"}


def written(
    asked: Asked, model: str, lost: Omissions, limit_member: str, no_thinking: str | None = None
) -> dict[str, Any]:
    """The body. `limit_member` is the server's name for the most tokens of an answer, `no_thinking`
    the effort with which all of its models answer without thinking; None if there is none. Raises
    Refused."""
    lost.lose_members(asked, ("top_k",))
    effort = _near(asked.effort, lost)
    if asked.thinking == _DISABLED and no_thinking is not None:
        effort = no_thinking
    elif asked.thinking is not None:
        lost.lose("thinking")
    messages: list[dict[str, Any]] = []
    if asked.system:
        texts = _write_parts(asked.system, "system", lost)
        messages.append({"role": "system", "content": texts})
    for i, turn in enumerate(asked.turns):
        messages += _write_turn(turn, f"messages[{i}]", lost)
    body = given(
        model=model,
        messages=messages,
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=asked.seed,
        logprobs=asked.logprobs,
        top_logprobs=asked.top_logprobs,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        logit_bias=asked.logit_bias,
        stop=asked.stop or None,
        user=asked.user,
        tools=[_write_tool(tool, f"tools[{i}]", lost) for i, tool in enumerate(asked.tools)]
        or None,
        tool_choice=_write_choice(asked.choice),
        parallel_tool_calls=False if asked.one_call_at_most and asked.tools else None,
        response_format=_write_format(asked),
        reasoning_effort=effort,
        stream=True if asked.stream else None,
    )
    if asked.max_tokens is not None:
        body[limit_member] = asked.max_tokens
    if asked.tier is not None and asked.tier in tables.TO_OPENAI_TIERS:
        body["service_tier"] = tables.TO_OPENAI_TIERS[asked.tier]
    elif asked.tier is not None:
        lost.lose("service_tier")
    if asked.cache is not None:
        lost.lose("cache_control")
    return body


def _near(effort: str | None, lost: Omissions) -> str | None:
    if effort is None or effort not in tables.OPENAI_EFFORTS:
        return effort
    lost.lose("effort")
    return tables.OPENAI_EFFORTS[effort]


def _write_format(asked: Asked) -> dict[str, Any] | None:
    if asked.any_json:
        return {"type": "json_object"}
    if asked.schema is None:
        return None
    schema = given(
        name=asked.schema_name or "answer",
        description=asked.schema_description,
        schema=asked.schema,
        strict=asked.schema_strict,
    )
    return {"type": "json_schema", "json_schema": schema}


def _write_choice(choice: Choice | None) -> Any:
    if choice is None:
        return None
    if choice.kind == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "none" if choice.kind == "none" else "required"


def _write_tool(tool: Tool, where: str, lost: Omissions) -> dict[str, Any]:
    if tool.cache is not None:
        lost.lose(f"{where}.cache_control")
    function = given(
        name=tool.name, description=tool.description, parameters=tool.schema, strict=tool.strict
    )
    return {"type": "function", "function": function}


def _write_turn(turn: Turn, where: str, lost: Omissions) -> list[dict[str, Any]]:
    if turn.role == "assistant":
        message = _write_assistant(turn.parts, where, lost)
        return [message] if any(message[name] for name in message.keys() - {"role"}) else []
    messages: list[dict[str, Any]] = []
    waiting: list[Part] = []

    def flush() -> None:
        if waiting:
            content = _write_parts(waiting, where, lost)
            if content:
                messages.append({"role": turn.role, "content": content})
            waiting.clear()

    for part in turn.parts:
        if isinstance(part, ToolResult):
            flush()
            messages.append(_write_result(part, where, lost))
        else:
            waiting.append(part)
    flush()
    return messages


def _write_result(result: ToolResult, where: str, lost: Omissions) -> dict[str, Any]:
    texts = texts_of(result, where, lost)
    content = _write_parts(texts, where, lost) if texts else ""
    return {"role": "tool", "tool_call_id": result.id, "content": content}


def texts_of(result: ToolResult, where: str, lost: Omissions) -> list[Text]:
    """The texts of a tool's result, for dialects whose results have no others. Raises Refused."""
    if result.error:
        lost.lose(f"{where}.is_error")
    if result.cache is not None:
        lost.lose(f"{where}.cache_control")
    texts = []
    for part in result.parts:
        if isinstance(part, Text):
            texts.append(part)
        else:
            lost.lose(f"{where}.tool_result.{type(part).__name__.lower()}", _RESULT_ADVICE)
    return texts


_RESULT_ADVICE = "Results of tools are text there: put it into a message of the user."


def _write_assistant(parts: list[Part], where: str, lost: Omissions) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    said: list[Part] = []
    calls = []
    for part in parts:
        match part:
            case Thinking() | Redacted():
                lost.lose(f"{where}.thinking")
            case ToolUse():
                if part.cache is not None:
                    lost.lose(f"{where}.cache_control")
                function = {"name": part.name, "arguments": unparsed(part.input)}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Refusal():
                message["refusal"] = message.get("refusal", "") + part.text
            case _:
                said.append(part)
    if said:
        message["content"] = _write_parts(said, where, lost)
    if calls:
        message["tool_calls"] = calls
    return message


def _write_parts(parts: Sequence[Part], where: str, lost: Omissions) -> Any:
    written = [made for part in parts if (made := _write_part(part, where, lost)) is not None]
    if len(written) == 1 and written[0]["type"] == "text":
        return written[0]["text"]
    return written


def _write_part(part: Part, where: str, lost: Omissions) -> dict[str, Any] | None:
    if getattr(part, "cache", None) is not None:
        lost.lose(f"{where}.cache_control")
    match part:
        case Text():
            if part.citations:
                lost.lose(f"{where}.citations")
            return {"type": "text", "text": part.text}
        case Image() if part.file_id is None:
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "image_url", "image_url": given(url=url, detail=part.detail)}
        case Document() if part.kind != "url":
            return _write_file(part, where, lost)
        case Foreign():
            lost.lose(part.name)
            return None
    lost.lose(f"{where}.{type(part).__name__.lower()}")
    return None


def _write_file(part: Document, where: str, lost: Omissions) -> dict[str, Any]:
    if part.context is not None:
        lost.lose(f"{where}.document.context")
    if part.cited:
        lost.lose(f"{where}.document.citations_enabled")
    if part.kind == "file":
        return {"type": "file", "file": given(file_id=part.source, filename=part.title)}
    if part.kind == "text":
        data = _TEXT_PLAIN + base64.b64encode(part.source.encode()).decode()
    else:
        data = f"data:{part.media_type};base64,{part.source}"
    return {"type": "file", "file": given(filename=part.title, file_data=data)}

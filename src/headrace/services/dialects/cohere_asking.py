"""Requests for a chat in the words of Cohere's API, version 2, written.

https://docs.cohere.com/v2/reference/chat. A choice of one tool is said by sending that tool alone
and demanding a call. Cannot be said: log probabilities (they come in another form), `logit_bias`,
end users, cache marks, service tiers, degrees of effort, documents but as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.services.dialects.neutral import (
    Asked,
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
from headrace.services.dialects.openai_asked import texts_of

_UNKNOWN_HERE = ("logprobs", "top_logprobs", "logit_bias", "user", "cache")


def written(asked: Asked, model: str, lost: Omissions) -> dict[str, Any]:
    """The body. Raises Refused."""
    lost.lose_members(asked, _UNKNOWN_HERE)
    if asked.tier not in (None, "auto", "standard"):
        lost.lose("service_tier")
    if asked.schema_description is not None:
        lost.lose("response_format.json_schema.description")
    messages: list[dict[str, Any]] = []
    if asked.system:
        messages.append({"role": "system", "content": _content(asked.system, "system", lost)})
    for i, turn in enumerate(asked.turns):
        messages += _messages(turn, f"messages[{i}]", lost)
    choice = asked.choice
    tools = asked.tools
    if choice is not None and choice.kind == "tool":
        tools = [tool for tool in tools if tool.name == choice.name]
    demanded = None if choice is None else "NONE" if choice.kind == "none" else "REQUIRED"
    as_json = asked.any_json or asked.schema is not None
    return given(
        model=model,
        messages=messages,
        stream=True if asked.stream else None,
        tools=[_tool(tool, f"tools[{i}]", lost) for i, tool in enumerate(tools)] or None,
        tool_choice=demanded if tools else None,
        strict_tools=True if any(tool.strict for tool in tools) else None,
        response_format=given(type="json_object", json_schema=asked.schema) if as_json else None,
        max_tokens=asked.max_tokens,
        stop_sequences=asked.stop or None,
        temperature=asked.temperature,
        seed=asked.seed,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        k=asked.top_k,
        p=asked.top_p,
        thinking=_thinking(asked, lost),
    )


def _thinking(asked: Asked, lost: Omissions) -> dict[str, Any] | None:
    said = asked.thinking if isinstance(asked.thinking, dict) else {}
    if said.get("type") == "disabled" or (asked.effort == "none" and not said):
        return {"type": "disabled"}
    if asked.effort is not None:
        lost.lose("reasoning_effort")
    if said.get("type") in ("enabled", "adaptive"):
        return given(type="enabled", token_budget=said.get("budget_tokens"))
    return None


def _tool(tool: Tool, where: str, lost: Omissions) -> dict[str, Any]:
    if tool.cache is not None:
        lost.lose(f"{where}.cache_control")
    schema = tool.schema or {"type": "object", "properties": {}}
    function = given(name=tool.name, description=tool.description, parameters=schema)
    return {"type": "function", "function": function}


def _messages(turn: Turn, where: str, lost: Omissions) -> list[dict[str, Any]]:
    if turn.role == "assistant":
        return [_assistant(turn.parts, where, lost)]
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    others = [part for part in turn.parts if not isinstance(part, ToolResult)]
    messages = [_result(result, where, lost) for result in results]
    if others:
        messages.append({"role": turn.role, "content": _content(others, where, lost)})
    return messages


def _assistant(parts: list[Part], where: str, lost: Omissions) -> dict[str, Any]:
    calls, said, thoughts = [], [], []
    for part in parts:
        match part:
            case ToolUse():
                if part.cache is not None:
                    lost.lose(f"{where}.cache_control")
                function = {"name": part.name, "arguments": unparsed(part.input)}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Thinking():
                thoughts.append(part.text)
            case Redacted():
                lost.lose(f"{where}.thinking")
            case _:
                said.append(part)
    content = _content(said, where, lost) if said else None
    thought = "".join(thoughts)
    if thought and not calls:
        texts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        content = [{"type": "thinking", "thinking": thought}, *(texts or ())]
    return given(
        role="assistant",
        content=content,
        tool_calls=calls or None,
        tool_plan=thought if thought and calls else None,
    )


def _result(result: ToolResult, where: str, lost: Omissions) -> dict[str, Any]:
    blocks = [_block(text, where, lost) for text in texts_of(result, where, lost)]
    content = "".join(block["text"] for block in blocks if block is not None)
    return {"role": "tool", "tool_call_id": result.id, "content": content}


def _content(parts: Sequence[Part], where: str, lost: Omissions) -> Any:
    made = [block for part in parts if (block := _block(part, where, lost)) is not None]
    if len(made) == 1 and made[0]["type"] == "text":
        return made[0]["text"]
    return made


def _block(part: Part, where: str, lost: Omissions) -> dict[str, Any] | None:
    if getattr(part, "cache", None) is not None:
        lost.lose(f"{where}.cache_control")
    match part:
        case Text():
            if part.citations:
                lost.lose(f"{where}.citations")
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "text", "text": part.text}
        case Image() if part.file_id is None:
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "image_url", "image_url": given(url=url, detail=part.detail)}
        case Document() if part.kind == "text" and not part.cited:
            if part.title is not None:
                lost.lose(f"{where}.title")
            return {"type": "text", "text": part.source}
        case Foreign():
            lost.lose(part.name)
            return None
    lost.lose(f"{where}.{type(part).__name__.lower()}")
    return None

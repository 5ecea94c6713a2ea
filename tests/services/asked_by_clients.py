"""Requests as clients of OpenAI's two APIs write them, made of the neutral form independently of
the gateway's readers."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from headrace.services.dialects.neutral import (
    Asked,
    Document,
    Image,
    Part,
    Redacted,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip
from services.expressible import of_one_side

CHOICES = {"none": "none", "any": "required"}
TIERS = {"standard": "default"}


def said(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _data_url(part: Image | Document) -> str:
    if isinstance(part, Document) and part.kind == "text":
        return "data:text/plain;base64," + base64.b64encode(part.source.encode()).decode()
    data = part.source if isinstance(part, Document) else part.data
    return f"data:{part.media_type};base64,{data}"


def _form(asked: Asked) -> dict[str, Any] | None:
    if asked.schema is None:
        return None
    return said(
        name=asked.schema_name, description=asked.schema_description, schema=asked.schema,
        strict=asked.schema_strict,
    )  # fmt: skip


# --- chats


def chat_of(asked: Asked) -> dict[str, Any]:
    """A request of a chat. Every second message of the system is a developer's."""
    messages: list[dict[str, Any]] = []
    for i, turn in enumerate([Turn("system", asked.system), *asked.turns]):
        if turn.role == "assistant":
            messages.append(_assistant(turn.parts))
        elif turn.role == "system":
            if turn.parts:
                role = "developer" if i % 2 else "system"
                messages.append({"role": role, "content": list(map(_chat_part, turn.parts))})
        else:
            messages += map(_of_a_user, of_one_side(turn))
    choice: Any = None
    if asked.choice is not None:
        named = {"type": "function", "function": {"name": asked.choice.name}}
        choice = CHOICES.get(asked.choice.kind, named)
    form = _form(asked)
    wanted: Any = {"type": "json_object"} if asked.any_json else None
    if form is not None:
        wanted = {"type": "json_schema", "json_schema": form}
    same = (
        "temperature", "top_p", "top_k", "seed", "logprobs", "top_logprobs", "frequency_penalty",
        "presence_penalty", "logit_bias", "thinking", "user",
    )  # fmt: skip
    return said(
        model="m",
        messages=messages,
        max_completion_tokens=asked.max_tokens,
        stop=asked.stop or None,
        reasoning_effort=asked.effort,
        service_tier=TIERS.get(asked.tier or "", asked.tier),
        cache_control=asked.cache,
        stream=asked.stream,
        tools=[_chat_tool(tool) for tool in asked.tools] or None,
        tool_choice=choice,
        parallel_tool_calls=False if asked.one_call_at_most else None,
        response_format=wanted,
        **{name: getattr(asked, name) for name in same},
    )


def _chat_tool(tool: Any) -> dict[str, Any]:
    function = said(
        name=tool.name, description=tool.description, parameters=tool.schema, strict=tool.strict
    )
    return said(type="function", function=function, cache_control=tool.cache)


def _of_a_user(parts: list[Part]) -> dict[str, Any]:
    first = parts[0]
    if isinstance(first, ToolResult):
        content = list(map(_chat_part, first.parts))
        return {"role": "tool", "tool_call_id": first.id, "content": content}
    return {"role": "user", "content": list(map(_chat_part, parts))}


def _assistant(parts: list[Part]) -> dict[str, Any]:
    texts = [part for part in parts if isinstance(part, Text)]
    calls = [part for part in parts if isinstance(part, ToolUse)]
    thoughts = [_block(part) for part in parts if isinstance(part, Thinking | Redacted)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    return said(
        role="assistant",
        content=list(map(_chat_part, texts)) or None,
        refusal=refusal or None,
        thinking_blocks=thoughts or None,
        reasoning_content="".join(t.get("thinking", "") for t in thoughts) or None,
        citations=[c for text in texts for c in text.citations or []] or None,
        tool_calls=[
            said(
                id=call.id, type="function", cache_control=call.cache,
                function={"name": call.name, "arguments": _json(call.input)},
            )
            for call in calls
        ] or None,
    )  # fmt: skip


def _block(thought: Thinking | Redacted) -> dict[str, Any]:
    if isinstance(thought, Redacted):
        return {"type": "redacted_thinking", "data": thought.data}
    return said(type="thinking", thinking=thought.text, signature=thought.signature)


def _chat_part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return said(type="text", text=part.text, cache_control=part.cache)
        case Image():
            image = said(url=part.url or _data_url(part), detail=part.detail)
            return said(type="image_url", image_url=image, cache_control=part.cache)
        case Document(kind="file"):
            file = said(file_id=part.source, filename=part.title)
            return said(type="file", file=file, cache_control=part.cache)
        case Document():
            file = said(file_data=_data_url(part), filename=part.title)
            return said(type="file", file=file, cache_control=part.cache)
    raise AssertionError(part)


# --- responses


def response_of(asked: Asked) -> dict[str, Any]:
    """A request of the Responses API."""
    items = _items(Turn("system", asked.system)) if asked.system else []
    for turn in asked.turns:
        items += _items(turn)
    form = _form(asked)
    wanted: Any = {"format": {"type": "json_object"}} if asked.any_json else None
    if form is not None:
        wanted = {"format": {"type": "json_schema", **form}}
    choice: Any = None
    if asked.choice is not None:
        named = {"type": "function", "name": asked.choice.name}
        choice = CHOICES.get(asked.choice.kind, named)
    tools = [
        said(
            type="function", name=t.name, description=t.description, parameters=t.schema,
            strict=t.strict,
        )
        for t in asked.tools
    ]  # fmt: skip
    return said(
        model="m",
        input=items,
        max_output_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        text=wanted,
        include=["message.output_text.logprobs"] if asked.logprobs else None,
        top_logprobs=asked.top_logprobs,
        reasoning=None if asked.effort is None else {"effort": asked.effort, "summary": "auto"},
        user=asked.user,
        service_tier=TIERS.get(asked.tier or "", asked.tier),
        stream=asked.stream,
        tools=tools or None,
        tool_choice=choice,
        parallel_tool_calls=False if asked.one_call_at_most else None,
        store=False,
    )


def _items(turn: Turn) -> list[dict[str, Any]]:
    """Items in their order: what is said together is one message."""
    role = "developer" if turn.role == "system" else turn.role
    items: list[dict[str, Any]] = []
    for part in turn.parts:
        item = _item(part)
        if item is not None:
            items.append(item)
            continue
        if not items or items[-1].get("type") != "message":
            items.append({"type": "message", "role": role, "content": []})
        kind = "output_text" if turn.role == "assistant" else "input_text"
        items[-1]["content"].append(_response_part(part, kind))
    return items


def _item(part: Part) -> dict[str, Any] | None:
    match part:
        case ToolResult():
            output = [_response_part(inner, "input_text") for inner in part.parts]
            return {"type": "function_call_output", "call_id": part.id, "output": output}
        case ToolUse():
            use = {"call_id": part.id, "name": part.name, "arguments": _json(part.input)}
            return {"type": "function_call", "id": "fc_1", "status": "completed", **use}
        case Redacted():
            sealed = "headrace-redacted." + part.data
            return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
        case Thinking():
            signature = part.signature
            return said(
                type="reasoning", id="rs_1",
                summary=[{"type": "summary_text", "text": part.text}],
                encrypted_content=signature and "headrace-signature." + signature,
            )  # fmt: skip
    return None


def _response_part(part: Part, text_kind: str) -> dict[str, Any]:
    match part:
        case Text():
            return said(type=text_kind, text=part.text, citations=part.citations)
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image(file_id=str()):
            return {"type": "input_image", "file_id": part.file_id, "detail": part.detail or "auto"}
        case Image():
            url = part.url or _data_url(part)
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case Document(kind="file"):
            return said(type="input_file", file_id=part.source, filename=part.title)
        case Document(kind="url"):
            return said(type="input_file", file_url=part.source, filename=part.title)
        case Document():
            return said(type="input_file", file_data=_data_url(part), filename=part.title)
    raise AssertionError(part)

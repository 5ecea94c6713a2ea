"""Requests for a chat in OpenAI's dialect, read and written.

https://platform.openai.com/docs/api-reference/chat/create. What other dialects have is taken where
OpenAI's clients and compatible servers have come to write it: `cache_control` at parts and tools,
`thinking` in the body, `reasoning_content` and `thinking_blocks` (with signatures) in messages of
the assistant.
"""

from __future__ import annotations

import base64
import binascii
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
)  # fmt: skip
from headrace.services.dialects.objects import (
    given,
    list_of,
    object_of,
    parsed,
    rest,
    text_of,
    unparsed,
    wrong,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions

SAME = (
    "temperature", "top_p", "top_k", "seed", "top_logprobs", "frequency_penalty",
    "presence_penalty", "logit_bias", "thinking",
)  # fmt: skip
"""Members whose names and values the neutral form has."""
_TEXT_PLAIN = "data:text/plain;base64,"
_PARTS_OF_SYSTEM = ("system", "developer")


# --- reading


def read(members: dict[str, Any]) -> Asked:
    """Takes the members out of a body. Raises Refused(BAD_REQUEST)."""
    take = members.pop
    asked = Asked(stream=bool(take("stream", None)))
    for name in ("model", "stream_options"):
        take(name, None)
    for name in SAME:
        value = take(name, None)
        if value is not None:
            setattr(asked, name, value)
    if members.get("n") == 1:
        take("n")
    if members.get("modalities") == ["text"]:
        take("modalities")
    asked.logprobs = take("logprobs", None) or None
    limit = take("max_tokens", None)
    asked.max_tokens = take("max_completion_tokens", None) or limit
    stop = take("stop", None)
    if stop is not None:
        asked.stop = [stop] if isinstance(stop, str) else list_of(stop, "stop")
    asked.effort = take("reasoning_effort", None)
    users = [name for name in ("user", "safety_identifier") if members.get(name) is not None]
    if users:
        asked.user = take(users[0])
    tier = members.get("service_tier")
    if isinstance(tier, str) and tier in tables.OPENAI_TIERS:
        asked.tier = tables.OPENAI_TIERS[take("service_tier")]
    asked.cache = take("cache_control", None)
    if members.get("store") is False:
        take("store")
    _read_format(members, asked)
    _read_tools(members, asked)
    for i, message in enumerate(list_of(take("messages", None), "messages")):
        where = f"messages[{i}]"
        _read_message(object_of(message, where), where, asked)
    asked.others += rest(members)
    return asked


def _read_format(members: dict[str, Any], asked: Asked) -> None:
    wanted = members.pop("response_format", None)
    if wanted is None:
        return
    kind = object_of(wanted, "response_format").get("type")
    if kind == "json_object":
        asked.any_json = True
    elif kind == "json_schema":
        described = object_of(wanted.get("json_schema"), "response_format.json_schema")
        asked.schema = object_of(described.get("schema") or {}, "response_format.json_schema")
    elif kind != "text":
        asked.others.append("response_format")


def _read_tools(members: dict[str, Any], asked: Asked) -> None:
    for i, tool in enumerate(list_of(members.pop("tools", None) or [], "tools")):
        where = f"tools[{i}]"
        if object_of(tool, where).get("type") != "function":
            asked.others.append(f"{where}.{tool.get('type')}")
            continue
        function = dict(object_of(tool.get("function"), f"{where}.function"))
        name = text_of(function.pop("name", None), f"{where}.function.name")
        made = Tool(name, cache=tool.get("cache_control"))
        made.description = function.pop("description", None)
        made.schema = function.pop("parameters", None)
        made.strict = function.pop("strict", None)
        asked.tools.append(made)
        asked.others += rest(function, f"{where}.function.")
    choice = members.pop("tool_choice", None)
    if isinstance(choice, dict) and choice.get("type") == "function":
        named = object_of(choice.get("function"), "tool_choice.function").get("name")
        asked.choice = Choice("tool", text_of(named, "tool_choice.function.name"))
    elif choice in ("none", "required"):
        asked.choice = Choice("none" if choice == "none" else "any")
    elif choice not in (None, "auto"):
        asked.others.append("tool_choice")
    asked.one_call_at_most = members.pop("parallel_tool_calls", None) is False


def _read_message(message: dict[str, Any], where: str, asked: Asked) -> None:
    role = message.pop("role", None)
    parts = _read_content(message.pop("content", None), f"{where}.content")
    if role in _PARTS_OF_SYSTEM:
        asked.add("system", parts)
    elif role == "user":
        asked.add("user", parts)
    elif role == "tool":
        id = text_of(message.pop("tool_call_id", None), f"{where}.tool_call_id")
        asked.add("user", [ToolResult(id, parts)])
    elif role == "assistant":
        asked.add("assistant", [*_thoughts(message), *parts, *_calls(message, where)])
    else:
        asked.others.append(f"{where}.role")
    asked.others += rest(message, f"{where}.")


def _thoughts(message: dict[str, Any]) -> list[Part]:
    blocks = message.pop("thinking_blocks", None)
    text = message.pop("reasoning_content", None)
    if not isinstance(blocks, list) or not blocks:
        return [Thinking(text)] if isinstance(text, str) and text else []
    thoughts: list[Part] = []
    for block in blocks:
        if isinstance(block, dict) and block.get("type") == "thinking":
            thoughts.append(Thinking(str(block.get("thinking") or ""), block.get("signature")))
        elif isinstance(block, dict) and block.get("type") == "redacted_thinking":
            thoughts.append(Redacted(str(block.get("data") or "")))
    return thoughts


def _calls(message: dict[str, Any], where: str) -> list[Part]:
    said = message.pop("refusal", None)
    calls: list[Part] = [Refusal(said)] if said else []
    for j, call in enumerate(list_of(message.pop("tool_calls", None) or [], f"{where}.tool_calls")):
        at = f"{where}.tool_calls[{j}]"
        function = object_of(call, at).get("function")
        if call.get("type", "function") != "function" or not isinstance(function, dict):
            calls.append(Foreign(at))
            continue
        arguments = parsed(function.get("arguments", ""), f"{at}.function.arguments")
        name = text_of(function.get("name"), f"{at}.function.name")
        cache = call.get("cache_control")
        calls.append(ToolUse(text_of(call.get("id"), f"{at}.id"), name, arguments, cache))
    return calls


def _read_content(content: Any, where: str) -> list[Part]:
    if content is None or isinstance(content, str):
        return [Text(content)] if content else []
    return [
        part
        for i, value in enumerate(list_of(content, where))
        if (part := _read_part(object_of(value, f"{where}[{i}]"), f"{where}[{i}]")) is not None
    ]


def _read_part(part: dict[str, Any], where: str) -> Part | None:
    kind, cache = part.get("type"), part.get("cache_control")
    match kind:
        case "text":
            text = text_of(part.get("text"), f"{where}.text")
            return Text(text, cache) if text else None
        case "image_url":
            image = object_of(part.get("image_url"), f"{where}.image_url")
            url = text_of(image.get("url"), f"{where}.image_url.url")
            detail = image.get("detail")
            detail = None if detail == "auto" else detail
            media_type, data = _data_url(url)
            if data is None:
                return Image(url=url, detail=detail, cache=cache)
            return Image(media_type=media_type, data=data, detail=detail, cache=cache)
        case "file":
            return _read_file(object_of(part.get("file"), f"{where}.file"), where, cache)
        case "refusal":
            return Refusal(text_of(part.get("refusal"), f"{where}.refusal"))
    return Foreign(f"{where}.{kind}")


def _read_file(file: dict[str, Any], where: str, cache: Any) -> Part:
    title = file.get("filename")
    if file.get("file_id") is not None:
        id = text_of(file["file_id"], f"{where}.file.file_id")
        return Document("file", id, title=title, cache=cache)
    url = text_of(file.get("file_data"), f"{where}.file.file_data")
    media_type, data = _data_url(url)
    if data is None:
        raise wrong(f"{where}.file.file_data", "a data URL: `data:application/pdf;base64,...`")
    if media_type == "text/plain":
        return Document("text", _plain(data, where), title=title, cache=cache)
    return Document("base64", data, media_type, title, cache=cache)


def _plain(data: str, where: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise wrong(f"{where}.file.file_data", "base64 of UTF-8 text") from None


def _data_url(url: str) -> tuple[str | None, str | None]:
    """Media type and base64 of a data URL; None for another."""
    if not url.startswith("data:"):
        return None, None
    head, comma, data = url[5:].partition(",")
    media_type, semicolon, encoding = head.rpartition(";")
    if not comma or not semicolon or encoding != "base64":
        return None, None
    return media_type.partition(";")[0], data


# --- writing


def written(asked: Asked, model: str, lost: Omissions, limit_member: str) -> dict[str, Any]:
    """The body. `limit_member` is the server's name for the most tokens of an answer. Raises
    Refused."""
    for name in asked.others:
        lost.lose(name)
    for name in ("top_k", "thinking"):
        value = getattr(asked, name)
        if value is not None and value != {"type": "disabled"}:
            lost.lose(name)
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
        reasoning_effort=_near(asked.effort, lost),
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
    schema = {"name": "answer", "schema": asked.schema, "strict": True}
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
        return [_write_assistant(turn.parts, where, lost)]
    messages: list[dict[str, Any]] = []
    waiting: list[Part] = []

    def flush() -> None:
        if waiting:
            content = _write_parts(waiting, where, lost)
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
    if result.error:
        lost.lose(f"{where}.is_error")
    if result.cache is not None:
        lost.lose(f"{where}.cache_control")
    texts: list[Part] = []
    for part in result.parts:
        if isinstance(part, Text):
            texts.append(part)
        else:
            lost.lose(f"{where}.tool_result.{type(part).__name__.lower()}", _RESULT_ADVICE)
    content = _write_parts(texts, where, lost) if texts else ""
    return {"role": "tool", "tool_call_id": result.id, "content": content}


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


def _write_parts(parts: list[Part], where: str, lost: Omissions) -> Any:
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

"""Requests for a chat in OpenAI's dialect, read.

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
)  # fmt: skip
from headrace.services.dialects.objects import (
    list_of,
    object_of,
    parsed,
    rest,
    text_of,
    unknown,
    wrong,
)  # fmt: skip

SAME = (
    "temperature", "top_p", "top_k", "seed", "top_logprobs", "frequency_penalty",
    "presence_penalty", "logit_bias", "thinking",
)  # fmt: skip
"""Members whose names and values the neutral form has."""
PARTS_OF_SYSTEM = ("system", "developer")
_PART_MEMBERS = {
    "text": {"text", "cache_control", "annotations"},
    "image_url": {"image_url", "cache_control"},
    "file": {"file", "cache_control"},
    "refusal": {"refusal"},
}


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
    read_user_and_tier(members, asked)
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


def read_user_and_tier(members: dict[str, Any], asked: Asked) -> None:
    """Takes them out of a body of any of OpenAI's APIs."""
    users = [name for name in ("user", "safety_identifier") if members.get(name) is not None]
    if users:
        asked.user = members.pop(users[0])
    tier = members.get("service_tier")
    if isinstance(tier, str) and tier in tables.OPENAI_TIERS:
        asked.tier = tables.OPENAI_TIERS[members.pop("service_tier")]


def _read_format(members: dict[str, Any], asked: Asked) -> None:
    wanted = members.pop("response_format", None)
    if wanted is None:
        return
    kind = object_of(wanted, "response_format").get("type")
    if kind == "json_object":
        asked.any_json = True
    elif kind == "json_schema":
        read_schema(wanted.get("json_schema"), "response_format.json_schema", asked)
    elif kind != "text":
        asked.others.append("response_format")


def read_schema(described: Any, where: str, asked: Asked) -> None:
    """What an answer has to fit, as any of OpenAI's APIs describes it."""
    described = object_of(described, where)
    asked.schema = object_of(described.get("schema") or {}, f"{where}.schema")
    asked.schema_name = described.get("name")
    asked.schema_description = described.get("description")
    asked.schema_strict = described.get("strict")


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
    parts = _read_content(message.pop("content", None), f"{where}.content", asked.others)
    if role in PARTS_OF_SYSTEM:
        asked.add("system", parts)
    elif role == "user":
        asked.add("user", parts)
    elif role == "tool":
        id = text_of(message.pop("tool_call_id", None), f"{where}.tool_call_id")
        asked.add("user", [ToolResult(id, parts)])
    elif role == "assistant":
        _cite(message, parts)
        asked.add("assistant", [*_thoughts(message), *parts, *_calls(message, where)])
    else:
        asked.others.append(f"{where}.role")
    asked.others += rest(message, f"{where}.")


def _cite(message: dict[str, Any], parts: list[Part]) -> None:
    """Takes the citations that answers have beside their text, to that text."""
    said = [part for part in parts if isinstance(part, Text)]
    if said and isinstance(message.get("citations"), list):
        said[-1].citations = message.pop("citations") or None


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


def _read_content(content: Any, where: str, others: list[str]) -> list[Part]:
    if content is None or isinstance(content, str):
        return [Text(content)] if content else []
    parts = []
    for i, value in enumerate(list_of(content, where)):
        at = f"{where}[{i}]"
        part = _read_part(object_of(value, at), at)
        others += unknown(value, _PART_MEMBERS, at)
        if part is not None:
            parts.append(part)
    return parts


def _read_part(part: dict[str, Any], where: str) -> Part | None:
    kind, cache = part.get("type"), part.get("cache_control")
    match kind:
        case "text":
            text = text_of(part.get("text"), f"{where}.text")
            return Text(text, cache) if text else None
        case "image_url":
            image = object_of(part.get("image_url"), f"{where}.image_url")
            url = text_of(image.get("url"), f"{where}.image_url.url")
            return image_at(url, detail_of(image), cache)
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
    return document_in(url, f"{where}.file.file_data", title, cache)


def detail_of(image: dict[str, Any]) -> Any:
    """How closely it is to be looked at, if not as usual."""
    detail = image.get("detail")
    return None if detail == "auto" else detail


def image_at(url: str, detail: Any, cache: Any = None) -> Image:
    """The image that a URL names or, as a data URL, holds."""
    media_type, data = _data_url(url)
    if data is None:
        return Image(url=url, detail=detail, cache=cache)
    return Image(media_type=media_type, data=data, detail=detail, cache=cache)


def document_in(url: str, where: str, title: Any, cache: Any = None) -> Document:
    """The document that a data URL holds. Raises Refused(BAD_REQUEST)."""
    media_type, data = _data_url(url)
    if data is None:
        raise wrong(where, "a data URL: `data:application/pdf;base64,...`")
    if media_type == "text/plain":
        return Document("text", _plain(data, where), title=title, cache=cache)
    return Document("base64", data, media_type, title, cache=cache)


def _plain(data: str, where: str) -> str:
    """The text that base64 holds. Raises Refused(BAD_REQUEST)."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise wrong(where, "base64 of UTF-8 text") from None


def _data_url(url: str) -> tuple[str | None, str | None]:
    """Media type and base64 of a data URL; None for another."""
    if not url.startswith("data:"):
        return None, None
    head, comma, data = url[5:].partition(",")
    media_type, semicolon, encoding = head.rpartition(";")
    if not comma or not semicolon or encoding != "base64":
        return None, None
    return media_type.partition(";")[0], data

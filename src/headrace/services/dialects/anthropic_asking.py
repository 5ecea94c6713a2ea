"""Requests for a message in Anthropic's dialect, read and written.

https://platform.claude.com/docs/en/api/messages/create, in the version 2023-06-01, which takes
`temperature` and its siblings.
"""

from __future__ import annotations

from typing import Any

from headrace.services.dialects import tables
from headrace.services.dialects.google_asking import MARK as OF_GOOGLE
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
    given,
    list_of,
    object_of,
    rest,
    text_of,
    unknown,
)  # fmt: skip
from headrace.services.dialects.omissions import Omissions

SAME = ("max_tokens", "temperature", "top_p", "top_k", "thinking")
"""Members whose names and values the neutral form has."""
_PART_MEMBERS = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "cache_control", "title", "context", "citations"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
}
_UNKNOWN_HERE = (
    "seed", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "logit_bias",
)  # fmt: skip


# --- reading


def read(members: dict[str, Any]) -> Asked:
    """Takes the members out of a body. Raises Refused(BAD_REQUEST)."""
    take = members.pop
    asked = Asked(stream=bool(take("stream", None)), cache=take("cache_control", None))
    take("model", None)
    for name in SAME:
        setattr(asked, name, take(name, None))
    asked.stop = list_of(take("stop_sequences", None) or [], "stop_sequences")
    tier = members.get("service_tier")
    if isinstance(tier, str) and tier in tables.ANTHROPIC_TIERS:
        asked.tier = tables.ANTHROPIC_TIERS[take("service_tier")]
    metadata = object_of(take("metadata", None) or {}, "metadata")
    asked.user = metadata.pop("user_id", None)
    asked.others += rest(metadata, "metadata.")
    _read_output(members, asked)
    _read_tools(members, asked)
    asked.add("system", _read_content(take("system", None), "system", asked.others))
    for i, message in enumerate(list_of(take("messages", None), "messages")):
        where = f"messages[{i}]"
        role = object_of(message, where).pop("role", None)
        parts = _read_content(message.pop("content", None), f"{where}.content", asked.others)
        if role in ("user", "assistant", "system"):
            asked.add(role, parts)
        else:
            asked.others.append(f"{where}.role")
        asked.others += rest(message, f"{where}.")
    asked.others += rest(members)
    return asked


def _read_output(members: dict[str, Any], asked: Asked) -> None:
    config = object_of(members.pop("output_config", None) or {}, "output_config")
    asked.effort = config.pop("effort", None)
    wanted = config.pop("format", None) or members.pop("output_format", None)
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        asked.schema = object_of(wanted.get("schema"), "output_config.format.schema")
        asked.schema_strict = True  # as all are here
    elif wanted is not None:
        asked.others.append("output_config.format")
    asked.others += rest(config, "output_config.")


def _read_tools(members: dict[str, Any], asked: Asked) -> None:
    for i, tool in enumerate(list_of(members.pop("tools", None) or [], "tools")):
        where = f"tools[{i}]"
        kind = object_of(tool, where).pop("type", None)
        if kind not in (None, "custom"):
            asked.others.append(f"{where}.{kind}")
            continue
        made = Tool(text_of(tool.pop("name", None), f"{where}.name"))
        made.description = tool.pop("description", None)
        made.schema = tool.pop("input_schema", None)
        made.strict = tool.pop("strict", None)
        made.cache = tool.pop("cache_control", None)
        asked.tools.append(made)
        asked.others += rest(tool, f"{where}.")
    choice = object_of(members.pop("tool_choice", None) or {"type": "auto"}, "tool_choice")
    asked.one_call_at_most = bool(choice.get("disable_parallel_tool_use"))
    match choice.get("type"):
        case "any":
            asked.choice = Choice("any")
        case "none":
            asked.choice = Choice("none")
        case "tool":
            asked.choice = Choice("tool", text_of(choice.get("name"), "tool_choice.name"))
        case "auto":
            pass
        case _:
            asked.others.append("tool_choice")


def _read_content(content: Any, where: str, others: list[str]) -> list[Part]:
    if content is None or isinstance(content, str):
        return [Text(content)] if content else []
    parts = []
    for i, value in enumerate(list_of(content, where)):
        at = f"{where}[{i}]"
        part = _read_part(object_of(value, at), at, others)
        others += unknown(value, _PART_MEMBERS, at)
        if part is not None:
            parts.append(part)
    return parts


def _read_part(part: dict[str, Any], where: str, others: list[str]) -> Part | None:
    kind, cache = part.get("type"), part.get("cache_control")
    match kind:
        case "text":
            text = text_of(part.get("text"), f"{where}.text")
            return Text(text, cache, part.get("citations") or None) if text else None
        case "image":
            return _read_image(object_of(part.get("source"), f"{where}.source"), where, cache)
        case "document":
            return _read_document(part, where, cache)
        case "thinking":
            return Thinking(str(part.get("thinking") or ""), part.get("signature"))
        case "redacted_thinking":
            return Redacted(str(part.get("data") or ""))
        case "tool_use" if part.get("toolset_name") is None:
            id, name = text_of(part.get("id"), f"{where}.id"), text_of(part.get("name"), where)
            return ToolUse(id, name, object_of(part.get("input"), f"{where}.input"), cache)
        case "tool_result":
            id = text_of(part.get("tool_use_id"), f"{where}.tool_use_id")
            parts = _read_content(part.get("content"), f"{where}.content", others)
            return ToolResult(id, parts, bool(part.get("is_error")), cache)
    return Foreign(f"{where}.{kind}")


def _read_image(source: dict[str, Any], where: str, cache: Any) -> Part:
    match source.get("type"):
        case "base64":
            data = text_of(source.get("data"), f"{where}.source.data")
            return Image(media_type=source.get("media_type"), data=data, cache=cache)
        case "url":
            return Image(url=text_of(source.get("url"), f"{where}.source.url"), cache=cache)
        case "file":
            id = text_of(source.get("file_id"), f"{where}.source.file_id")
            return Image(file_id=id, cache=cache)
    return Foreign(f"{where}.source.{source.get('type')}")


def _read_document(part: dict[str, Any], where: str, cache: Any) -> Part:
    source = object_of(part.get("source"), f"{where}.source")
    kind = source.get("type")
    names = {"base64": "data", "text": "data", "url": "url", "file": "file_id"}
    if kind not in ("base64", "text", "url", "file"):
        return Foreign(f"{where}.source.{kind}")
    cited = part.get("citations")
    return Document(
        kind,
        text_of(source.get(names[kind]), f"{where}.source.{names[kind]}"),
        source.get("media_type") if kind == "base64" else None,
        part.get("title"),
        part.get("context"),
        isinstance(cited, dict) and bool(cited.get("enabled")),
        cache,
    )


# --- writing


def written(asked: Asked, model: str, lost: Omissions, max_tokens: int) -> dict[str, Any]:
    """The body. `max_tokens` is for clients that name no limit. Raises Refused."""
    lost.lose_members(asked, _UNKNOWN_HERE)
    if asked.any_json:
        lost.lose("response_format.json_object", "Give a schema: `json_schema` is understood.")
    body = given(
        model=model,
        max_tokens=max_tokens if asked.max_tokens is None else asked.max_tokens,
        system=_write_content(asked.system, "system", lost) if asked.system else None,
        messages=[
            {"role": turn.role, "content": content}
            for i, turn in enumerate(asked.turns)
            if (content := _write_content(turn.parts, f"messages[{i}]", lost))
        ],
        temperature=_within(asked.temperature, lost),
        top_p=asked.top_p,
        top_k=asked.top_k,
        stop_sequences=asked.stop or None,
        tools=[_write_tool(tool) for tool in asked.tools] or None,
        tool_choice=_write_choice(asked) if asked.tools else None,
        thinking=asked.thinking,
        output_config=_write_output(asked, lost) or None,
        metadata=None if asked.user is None else {"user_id": asked.user},
        stream=True if asked.stream else None,
        cache_control=asked.cache,
    )
    if asked.effort == "none" and asked.thinking is None:
        body["thinking"] = {"type": "disabled"}
    if asked.tier is not None and asked.tier in tables.TO_ANTHROPIC_TIERS:
        body["service_tier"] = tables.TO_ANTHROPIC_TIERS[asked.tier]
    elif asked.tier is not None:
        lost.lose("service_tier")
    return body


def _within(temperature: Any, lost: Omissions) -> Any:
    """OpenAI's scale goes to 2."""
    if isinstance(temperature, int | float) and temperature > 1:
        lost.lose("temperature")
        return 1.0
    return temperature


def _write_output(asked: Asked, lost: Omissions) -> dict[str, Any]:
    effort = asked.effort
    if effort is not None and effort in tables.ANTHROPIC_EFFORTS:
        lost.lose("reasoning_effort")
        effort = tables.ANTHROPIC_EFFORTS[effort]
    wanted = None if asked.schema is None else {"type": "json_schema", "schema": asked.schema}
    if asked.schema_description is not None:
        lost.lose("response_format.json_schema.description")
    return given(effort=None if effort == "none" else effort, format=wanted)


def _write_choice(asked: Asked) -> dict[str, Any] | None:
    choice, alone = asked.choice, asked.one_call_at_most
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if alone else None
    if choice.kind == "none":
        return {"type": "none"}
    parallel = True if alone else None
    return given(type=choice.kind, name=choice.name, disable_parallel_tool_use=parallel)


def _write_tool(tool: Tool) -> dict[str, Any]:
    return given(
        name=tool.name,
        description=tool.description,
        input_schema=tool.schema or {"type": "object", "properties": {}},
        strict=tool.strict,
        cache_control=tool.cache,
    )


def _write_content(parts: list[Part], where: str, lost: Omissions) -> Any:
    if len(parts) == 1:
        only = parts[0]
        if isinstance(only, Text) and only.cache is None and not only.citations:
            return only.text
    return [block for part in parts if (block := _write_part(part, where, lost)) is not None]


def _write_part(part: Part, where: str, lost: Omissions) -> dict[str, Any] | None:
    match part:
        case Text():
            cache, cited = part.cache, _own_citations(part, where, lost)
            return given(type="text", text=part.text, cache_control=cache, citations=cited)
        case Image():
            if part.detail is not None:
                lost.lose(f"{where}.detail")
            return given(type="image", source=_image_source(part), cache_control=part.cache)
        case Document():
            return given(
                type="document",
                source=_document_source(part),
                title=part.title,
                context=part.context,
                citations={"enabled": True} if part.cited else None,
                cache_control=part.cache,
            )
        case Thinking() if part.signature and not part.signature.startswith(OF_GOOGLE):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case Thinking():
            lost.lose(f"{where}.reasoning_content")
            return None
        case Redacted():
            return {"type": "redacted_thinking", "data": part.data}
        case ToolUse():
            return given(
                type="tool_use",
                id=part.id,
                name=part.name,
                input=part.input,
                cache_control=part.cache,
            )
        case ToolResult():
            return given(
                type="tool_result",
                tool_use_id=part.id,
                content=_write_content(part.parts, where, lost) if part.parts else None,
                is_error=True if part.error else None,
                cache_control=part.cache,
            )
        case Refusal():
            return {"type": "text", "text": part.text}
        case Foreign():
            lost.lose(part.name)
            return None


def _own_citations(text: Text, where: str, lost: Omissions) -> list[Any] | None:
    """Those in Anthropic's form: of another provider's the whole request would be refused."""
    cited = text.citations or []
    own = [c for c in cited if isinstance(c, dict) and str(c.get("type")).endswith("_location")]
    if len(own) < len(cited):
        lost.lose(f"{where}.citations")
    return own or None


def _image_source(image: Image) -> dict[str, Any]:
    if image.url is not None:
        return {"type": "url", "url": image.url}
    if image.file_id is not None:
        return {"type": "file", "file_id": image.file_id}
    return {"type": "base64", "media_type": image.media_type, "data": image.data}


def _document_source(part: Document) -> dict[str, Any]:
    match part.kind:
        case "url":
            return {"type": "url", "url": part.source}
        case "file":
            return {"type": "file", "file_id": part.source}
        case "text":
            return {"type": "text", "media_type": "text/plain", "data": part.source}
    return {"type": "base64", "media_type": part.media_type, "data": part.source}

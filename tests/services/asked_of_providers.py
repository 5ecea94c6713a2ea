"""Requests in the words of providers that no client speaks, read into the neutral form
independently of the gateway, which only writes them."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from headrace.services.dialects.neutral import (
    Asked,
    Choice,
    Document,
    Image,
    Part,
    Redacted,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip


def of_bedrock(body: dict[str, Any]) -> Asked:
    """https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"""
    config, own = body.get("inferenceConfig", {}), body.get("additionalModelRequestFields", {})
    output, calling = body.get("outputConfig", {}), body.get("toolConfig", {})
    asked = Asked(
        system=_blocks(body.get("system", [])),
        turns=[Turn(m["role"], _blocks(m["content"])) for m in body["messages"]],
        max_tokens=config.get("maxTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        stop=config.get("stopSequences", []),
        top_k=own.get("top_k"),
        thinking=own.get("thinking"),
        effort=output.get("effort"),
        user=body.get("requestMetadata", {}).get("user"),
    )
    if "serviceTier" in body:
        asked.tier = "standard" if body["serviceTier"] == {"type": "default"} else "?"
    if "textFormat" in output:
        schema = output["textFormat"]["structure"]["jsonSchema"]
        asked.schema = msgspec.json.decode(schema["schema"])
        asked.schema_name, asked.schema_description = schema["name"], schema.get("description")
    for member in calling.get("tools", ()):
        if "cachePoint" in member:
            asked.tools[-1].cache = _mark(member["cachePoint"])
            continue
        spec = member["toolSpec"]
        schema = spec["inputSchema"]["json"]
        tool = Tool(spec["name"], spec.get("description"), schema, spec.get("strict"))
        asked.tools.append(tool)
    choice = calling.get("toolChoice", {})
    if choice:
        named = choice.get("tool", {}).get("name")
        asked.choice = Choice("any") if "any" in choice else Choice("tool", named)
    return asked


def _mark(point: dict[str, Any]) -> dict[str, Any]:
    assert point["type"] == "default"
    return {"type": "ephemeral"} | ({"ttl": point["ttl"]} if "ttl" in point else {})


def _blocks(blocks: list[dict[str, Any]]) -> list[Part]:
    parts: list[Part] = []
    for block in blocks:
        if "cachePoint" in block:
            last = parts[-1]
            assert isinstance(last, Text | Image | Document | ToolUse | ToolResult)
            last.cache = _mark(block["cachePoint"])
        else:
            parts.append(_block(block))
    return parts


def _block(block: dict[str, Any]) -> Part:
    ((kind, value),) = block.items()
    match kind:
        case "text":
            return Text(value)
        case "image":
            return Image(media_type=f"image/{value['format']}", data=value["source"]["bytes"])
        case "document":
            return _document(value)
        case "reasoningContent" if "reasoningText" in value:
            return Thinking(value["reasoningText"]["text"], value["reasoningText"]["signature"])
        case "reasoningContent":
            return Redacted(value["redactedContent"])
        case "toolUse":
            return ToolUse(value["toolUseId"], value["name"], value["input"])
        case "toolResult":
            parts = [part for part in _blocks(value["content"]) if part != Text("")]
            return ToolResult(value["toolUseId"], parts, value.get("status") == "error")
    raise AssertionError(block)


def _document(value: dict[str, Any]) -> Document:
    data = value["source"]["bytes"]
    if value["format"] == "txt":
        document = Document("text", base64.b64decode(data).decode())
    else:
        document = Document("base64", data, f"application/{value['format']}")
    document.context = value.get("context")
    document.cited = value.get("citations") == {"enabled": True}
    return document


def of_cohere(body: dict[str, Any]) -> Asked:
    """https://docs.cohere.com/v2/reference/chat"""
    wanted = body.get("response_format") or {}
    asked = Asked(
        max_tokens=body.get("max_tokens"),
        temperature=body.get("temperature"),
        top_p=body.get("p"),
        top_k=body.get("k"),
        stop=body.get("stop_sequences", []),
        seed=body.get("seed"),
        frequency_penalty=body.get("frequency_penalty"),
        presence_penalty=body.get("presence_penalty"),
        schema=wanted.get("json_schema"),
        any_json=wanted == {"type": "json_object"},
        stream=body.get("stream", False),
    )
    if "thinking" in body:
        thinking = dict(body["thinking"])
        budget = thinking.pop("token_budget", None)
        asked.thinking = thinking | ({} if budget is None else {"budget_tokens": budget})
    for message in body["messages"]:
        _add_of_cohere(message, asked)
    for member in body.get("tools", ()):
        function = member["function"]
        tool = Tool(function["name"], function.get("description"), function["parameters"])
        asked.tools.append(tool)
    words = {"NONE": "none", "REQUIRED": "any"}
    if "tool_choice" in body:
        asked.choice = Choice("none" if words[body["tool_choice"]] == "none" else "any")
    if body.get("strict_tools"):
        asked.tools[0].strict = True
    return asked


def _add_of_cohere(message: dict[str, Any], asked: Asked) -> None:
    content = message.get("content") or []
    texts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts = [_of_cohere(part) for part in texts]
    match message["role"]:
        case "tool":
            asked.add(
                "user", [ToolResult(message["tool_call_id"], [p for p in parts if p != Text("")])]
            )
        case "assistant":
            plan = message.get("tool_plan")
            calls: list[Part] = [
                ToolUse(
                    c["id"], c["function"]["name"], msgspec.json.decode(c["function"]["arguments"])
                )
                for c in message.get("tool_calls", ())
            ]
            thoughts: list[Part] = [Thinking(plan)] if plan else []
            asked.add("assistant", [*thoughts, *parts, *calls])
        case role:
            asked.add(role, parts)


def _of_cohere(part: dict[str, Any]) -> Part:
    match part["type"]:
        case "text":
            return Text(part["text"])
        case "thinking":
            return Thinking(part["thinking"])
        case "image_url":
            image = part["image_url"]
            head, _, data = image["url"].partition(";base64,")
            if data:
                media_type = head.removeprefix("data:")
                return Image(media_type=media_type, data=data, detail=image.get("detail"))
            return Image(url=image["url"], detail=image.get("detail"))
    raise AssertionError(part)

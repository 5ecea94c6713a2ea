"""Requests for a chat in the words of Bedrock's Converse, written.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. What only Claude
has (`thinking`, `top_k`) goes into `additionalModelRequestFields`, to Claude alone.

Cannot be said: `seed`, penalties, `logit_bias`, log probabilities, JSON without a schema, a choice
of no tool, images and documents by URL (but for S3), stored files.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from headrace.services.dialects.google_asking import MARK as OF_GOOGLE
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
)
from headrace.services.dialects.objects import given, unparsed
from headrace.services.dialects.omissions import Omissions

_UNKNOWN_HERE = (
    "seed", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "logit_bias",
)  # fmt: skip
_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_UNFIT_IN_NAMES = re.compile(r"[^A-Za-z0-9 \-()\[\]]")
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.\-]{1,256}\Z")
"""What a value of `requestMetadata` may be."""


def written(asked: Asked, model: str, lost: Omissions) -> dict[str, Any]:
    """The body. `model` is Bedrock's id of it. Raises Refused."""
    lost.lose_members(asked, _UNKNOWN_HERE)
    if asked.any_json:
        lost.lose("response_format.json_object", "Give a schema: `json_schema` is understood.")
    if asked.cache is not None:
        lost.lose("cache_control")
    if asked.tier not in (None, "auto", "standard"):
        lost.lose("service_tier")
    writer = _Parts(lost)
    messages = [
        {"role": turn.role, "content": content}
        for i, turn in enumerate(asked.turns)
        if (content := writer.parts(turn.parts, f"messages[{i}]"))
    ]
    return given(
        system=writer.parts(asked.system, "system") if asked.system else None,
        messages=messages,
        inferenceConfig=_inference(asked, lost) or None,
        toolConfig=_tools(asked, lost),
        additionalModelRequestFields=_of_the_model(asked, model, lost) or None,
        outputConfig=_output(asked, lost) or None,
        requestMetadata=_metadata(asked, lost),
        serviceTier={"type": "default"} if asked.tier == "standard" else None,
    )


def _inference(asked: Asked, lost: Omissions) -> dict[str, Any]:
    temperature = asked.temperature
    if isinstance(temperature, int | float) and temperature > 1:
        lost.lose("temperature")
        temperature = 1.0
    return given(
        maxTokens=asked.max_tokens,
        temperature=temperature,
        topP=asked.top_p,
        stopSequences=asked.stop or None,
    )


def _of_the_model(asked: Asked, model: str, lost: Omissions) -> dict[str, Any]:
    own = given(thinking=asked.thinking, top_k=asked.top_k)
    if "anthropic." in model:
        if asked.effort == "none" and "thinking" not in own:
            own["thinking"] = {"type": "disabled"}
        return own
    for name in own:
        lost.lose(name)
    return {}


def _output(asked: Asked, lost: Omissions) -> dict[str, Any]:
    effort = asked.effort
    if effort == "minimal":
        lost.lose("reasoning_effort")
        effort = "low"
    wanted = None
    if asked.schema is not None:
        schema = given(
            name=asked.schema_name or "answer",
            description=asked.schema_description,
            schema=unparsed(asked.schema),
        )
        wanted = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    return given(textFormat=wanted, effort=None if effort == "none" else effort)


def _metadata(asked: Asked, lost: Omissions) -> dict[str, str] | None:
    if asked.user is None:
        return None
    if not isinstance(asked.user, str) or not _METADATA.match(asked.user):
        lost.lose("user")
        return None
    return {"user": asked.user}


def _tools(asked: Asked, lost: Omissions) -> dict[str, Any] | None:
    if not asked.tools:
        return None
    tools: list[dict[str, Any]] = []
    for tool in asked.tools:
        tools.append({"toolSpec": _tool(tool)})
        if tool.cache is not None:
            tools.append(_cache_point(tool.cache))
    choice = asked.choice
    if choice is None:
        return {"tools": tools}
    if choice.kind == "none":
        lost.lose("tool_choice", "Send no tools instead.")
        return {"tools": tools}
    named = {"tool": {"name": choice.name}} if choice.kind == "tool" else {"any": {}}
    return {"tools": tools, "toolChoice": named}


def _tool(tool: Tool) -> dict[str, Any]:
    return given(
        name=tool.name,
        description=tool.description or None,
        inputSchema={"json": tool.schema or {"type": "object", "properties": {}}},
        strict=tool.strict,
    )


def _cache_point(cache: Any) -> dict[str, Any]:
    ttl = cache.get("ttl") if isinstance(cache, dict) else None
    return {"cachePoint": given(type="default", ttl=ttl)}


class _Parts:
    """Writes the parts of turns. Documents need names of their own."""

    def __init__(self, lost: Omissions) -> None:
        self._lost = lost
        self._documents = 0

    def parts(self, parts: list[Part], where: str) -> list[dict[str, Any]]:
        """Raises Refused."""
        blocks: list[dict[str, Any]] = []
        for part in parts:
            block = self._block(part, where)
            if block is None:
                continue
            blocks.append(block)
            cache = getattr(part, "cache", None)
            if cache is not None:
                blocks.append(_cache_point(cache))
        return blocks

    def _block(self, part: Part, where: str) -> dict[str, Any] | None:
        match part:
            case Text():
                if part.citations:
                    self._lost.lose(f"{where}.citations")
                return {"text": part.text}
            case Refusal():
                return {"text": part.text}
            case Thinking() if part.signature and not part.signature.startswith(OF_GOOGLE):
                text = {"text": part.text, "signature": part.signature}
                return {"reasoningContent": {"reasoningText": text}}
            case Thinking():
                self._lost.lose(f"{where}.thinking")
            case Redacted():
                return {"reasoningContent": {"redactedContent": part.data}}
            case ToolUse():
                return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": part.input}}
            case ToolResult():
                content = self.parts(part.parts, where) or [{"text": ""}]
                status = "error" if part.error else None
                return {"toolResult": given(toolUseId=part.id, content=content, status=status)}
            case Image():
                return self._image(part, where)
            case Document():
                return self._document(part, where)
            case Foreign():
                self._lost.lose(part.name)
        return None

    def _image(self, image: Image, where: str) -> dict[str, Any] | None:
        if image.detail is not None:
            self._lost.lose(f"{where}.detail")
        kind = (image.media_type or "").removeprefix("image/")
        if image.data is not None:
            return {"image": {"format": kind, "source": {"bytes": image.data}}}
        url = image.url or ""
        if url.startswith("s3://"):
            ending = url.rpartition(".")[2].lower()
            kind = "jpeg" if ending == "jpg" else ending
            return {"image": {"format": kind, "source": {"s3Location": {"uri": url}}}}
        name = "image_url" if image.url is not None else "file_id"
        self._lost.lose(f"{where}.{name}", "Send the image's bytes.")
        return None

    def _document(self, part: Document, where: str) -> dict[str, Any] | None:
        self._documents += 1
        stem = _UNFIT_IN_NAMES.sub(" ", (part.title or "document").rpartition(".")[0] or "document")
        name = f"{' '.join(stem.split())[:100] or 'document'} {self._documents}"
        common = given(
            name=name,
            context=part.context,
            citations={"enabled": True} if part.cited else None,
        )
        if part.kind == "text":
            data = base64.b64encode(part.source.encode()).decode()
            return {"document": {"format": "txt", "source": {"bytes": data}, **common}}
        kind = _FORMATS.get(part.media_type or "")
        if part.kind == "base64" and kind is not None:
            return {"document": {"format": kind, "source": {"bytes": part.source}, **common}}
        self._lost.lose(f"{where}.document", "Send its bytes: PDF, text, HTML, Office or CSV.")
        return None

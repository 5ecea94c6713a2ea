"""Requests for content in Gemini's words, written.

https://ai.google.dev/api/generate-content, and its guides to function calling, structured output,
thinking and thought signatures. Two things have another place there:

- A signature stands on the part that follows the thought, and Gemini 3 demands it on the first
  call of a turn. Clients get it as a thinking block's signature and send it back there; for a call
  that comes without, the documented word that skips the check is sent.
- An image or document by URL is fetched by Google, which takes public HTTPS URLs.

Cannot be said: log probabilities (they come in another form), `logit_bias`, marks for caches, end
users, system messages after the first turn, stored files of other providers.
"""

from __future__ import annotations

import base64
import mimetypes
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
from headrace.services.dialects.objects import given, wrong
from headrace.services.dialects.omissions import Omissions

MARK = "google#"
"""Before the signatures that clients get, so that another provider's is not sent here."""
UNSIGNED = "skip_thought_signature_validator"
"""https://ai.google.dev/gemini-api/docs/thought-signatures"""
FILES = "https://generativelanguage.googleapis.com/"
BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576}
"""Tokens of thinking by effort, for models without levels, as Google's own OpenAI-compatible API
has it: https://ai.google.dev/gemini-api/docs/openai"""
_UNKNOWN_HERE = ("logit_bias", "user", "cache")


def written(asked: Asked, model: str, lost: Omissions) -> dict[str, Any]:
    """The body. `model` is the provider's name of it. Raises Refused."""
    lost.lose_members(asked, _UNKNOWN_HERE)
    if asked.tier not in (None, "auto", "standard"):
        lost.lose("service_tier")
    if asked.schema_description is not None:
        lost.lose("response_format.json_schema.description")
    contents = _Contents(lost, signs=not model.startswith(("gemini-1", "gemini-2.0")))
    for i, turn in enumerate(asked.turns):
        contents.add(turn, f"messages[{i}]")
    system = [*_texts(asked.system, "system", lost), *contents.system]
    return given(
        systemInstruction={"parts": system} if system else None,
        contents=contents.written,
        tools=[{"functionDeclarations": _tools(asked.tools, lost)}] if asked.tools else None,
        toolConfig=_tool_config(asked),
        generationConfig=_config(asked, model, lost) or None,
    )


def _config(asked: Asked, model: str, lost: Omissions) -> dict[str, Any]:
    as_json = asked.any_json or asked.schema is not None
    return given(
        maxOutputTokens=asked.max_tokens,
        temperature=asked.temperature,
        topP=asked.top_p,
        topK=asked.top_k,
        stopSequences=asked.stop or None,
        seed=asked.seed,
        frequencyPenalty=asked.frequency_penalty,
        presencePenalty=asked.presence_penalty,
        responseLogprobs=asked.logprobs,
        logprobs=asked.top_logprobs or None,
        responseMimeType="application/json" if as_json else None,
        responseJsonSchema=asked.schema,
        thinkingConfig=_thinking(asked, model, lost) or None,
    )


def _thinking(asked: Asked, model: str, lost: Omissions) -> dict[str, Any]:
    said = asked.thinking if isinstance(asked.thinking, dict) else {}
    kind = said.get("type")
    shown = True if kind in ("enabled", "adaptive") else None
    if kind == "disabled":
        return {"thinkingBudget": 0}
    if kind == "enabled" and said.get("budget_tokens") is not None:
        return given(thinkingBudget=said["budget_tokens"], includeThoughts=shown)
    effort = asked.effort
    if effort in ("xhigh", "max"):
        lost.lose("reasoning_effort")
        effort = "high"
    if effort is None:
        return given(includeThoughts=shown)
    if effort == "none" or model.startswith("gemini-2"):
        return given(thinkingBudget=BUDGETS.get(effort), includeThoughts=shown)
    return given(thinkingLevel=effort.upper(), includeThoughts=shown)


def _tools(tools: list[Tool], lost: Omissions) -> list[dict[str, Any]]:
    for i, tool in enumerate(tools):
        if tool.cache is not None:
            lost.lose(f"tools[{i}].cache_control")
    return [
        given(name=tool.name, description=tool.description, parametersJsonSchema=tool.schema)
        for tool in tools
    ]


def _tool_config(asked: Asked) -> dict[str, Any] | None:
    """`VALIDATED` holds the model to the tools' schemas, as `strict` demands; `ANY` does too."""
    if not asked.tools:
        return None
    choice = asked.choice
    if choice is None:
        if not any(tool.strict for tool in asked.tools):
            return None
        config: dict[str, Any] = {"mode": "VALIDATED"}
    elif choice.kind == "none":
        config = {"mode": "NONE"}
    else:
        named = [choice.name] if choice.kind == "tool" else None
        config = given(mode="ANY", allowedFunctionNames=named)
    return {"functionCallingConfig": config}


class _Contents:
    """Turns, one after another. `signs`: the model may demand signatures."""

    def __init__(self, lost: Omissions, *, signs: bool) -> None:
        self._lost = lost
        self._signs = signs
        self._names: dict[str, str] = {}
        """Of the functions, by the ids of their calls."""
        self.system: list[dict[str, Any]] = []
        self.written: list[dict[str, Any]] = []

    def add(self, turn: Turn, where: str) -> None:
        """Raises Refused."""
        if turn.role == "system":
            self._lost.lose(f"{where}.system", "Put it before all other messages.")
            self.system += _texts(turn.parts, where, self._lost)
            return
        parts: list[dict[str, Any]] = []
        signature: str | None = None
        called = False
        for part in turn.parts:
            if isinstance(part, Thinking | Redacted):
                signature = self._signature(part, where) or signature
                continue
            made = self._part(part, where)
            if made is None:
                continue
            if isinstance(part, ToolUse):
                if signature is None and not called and self._signs:
                    signature = UNSIGNED
                called = True
            if signature is not None:
                made["thoughtSignature"], signature = signature, None
            parts.append(made)
        if signature is not None and parts:
            parts[-1].setdefault("thoughtSignature", signature)
        if parts:
            role = "model" if turn.role == "assistant" else "user"
            self.written.append({"role": role, "parts": parts})

    def _signature(self, part: Thinking | Redacted, where: str) -> str | None:
        """That of a thought of Gemini's. Its text is a summary, which the API does not want."""
        if isinstance(part, Thinking) and (part.signature or "").startswith(MARK):
            return (part.signature or "").removeprefix(MARK)
        self._lost.lose(f"{where}.thinking")
        return None

    def _part(self, part: Part, where: str) -> dict[str, Any] | None:
        if getattr(part, "cache", None) is not None:
            self._lost.lose(f"{where}.cache_control")
        match part:
            case Text():
                if part.citations:
                    self._lost.lose(f"{where}.citations")
                return {"text": part.text}
            case Refusal():
                return {"text": part.text}
            case ToolUse():
                self._names[part.id] = part.name
                return {"functionCall": {"id": part.id, "name": part.name, "args": part.input}}
            case ToolResult():
                return self._result(part, where)
            case Image():
                return _image(part, where, self._lost)
            case Document():
                return _document(part, where, self._lost)
            case Foreign():
                self._lost.lose(part.name)
        return None

    def _result(self, result: ToolResult, where: str) -> dict[str, Any]:
        name = self._names.get(result.id)
        if name is None:
            raise wrong(f"{where}.tool_call_id", "the id of a call in an earlier message")
        texts: list[str] = []
        files: list[dict[str, Any]] = []
        for part in result.parts:
            if isinstance(part, Text):
                texts += [text["text"] for text in _texts([part], where, self._lost)]
            elif isinstance(part, Image | Document):
                files.append(self._part(part, where) or {})
            else:
                self._lost.lose(f"{where}.tool_result.{type(part).__name__.lower()}")
        response = {"error" if result.error else "output": "".join(texts)}
        return {
            "functionResponse": given(
                id=result.id, name=name, response=response, parts=[f for f in files if f] or None
            )
        }


def _texts(parts: list[Part], where: str, lost: Omissions) -> list[dict[str, Any]]:
    texts = []
    for part in parts:
        if getattr(part, "cache", None) is not None:
            lost.lose(f"{where}.cache_control")
        if isinstance(part, Text):
            texts.append({"text": part.text})
        else:
            name = part.name if isinstance(part, Foreign) else type(part).__name__.lower()
            lost.lose(f"{where}.{name}")
    return texts


def _image(image: Image, where: str, lost: Omissions) -> dict[str, Any] | None:
    if image.detail is not None:
        lost.lose(f"{where}.detail")
    if image.url is not None:
        return _by_url(image.url)
    if image.file_id is not None:
        return _stored(image.file_id, where, lost)
    return {"inlineData": {"mimeType": image.media_type, "data": image.data}}


def _document(part: Document, where: str, lost: Omissions) -> dict[str, Any] | None:
    if part.title is not None:
        lost.lose(f"{where}.title")
    if part.context is not None:
        lost.lose(f"{where}.document.context")
    if part.cited:
        lost.lose(f"{where}.document.citations_enabled")
    match part.kind:
        case "url":
            return _by_url(part.source)
        case "file":
            return _stored(part.source, where, lost)
        case "text":
            data = base64.b64encode(part.source.encode()).decode()
            return {"inlineData": {"mimeType": "text/plain", "data": data}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.source}}


def _by_url(url: str) -> dict[str, Any]:
    kind, _ = mimetypes.guess_type(url.partition("?")[0])
    return {"fileData": given(mimeType=kind, fileUri=url)}


def _stored(id: str, where: str, lost: Omissions) -> dict[str, Any] | None:
    if id.startswith(FILES):
        return {"fileData": {"fileUri": id}}
    lost.lose(f"{where}.file_id", "Send the file's bytes.")
    return None

"""Gemini's wire format: generateContent whole and streamed, counts of tokens, embeddings.

https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from headrace_upstream.answer import Answer
from headrace_upstream.asked import Asked, Body, Message, Part, ResponseFormat, texts_of
from headrace_upstream.openai import logprobs_of, vector_of
from headrace_upstream.template import SEQ, TOKENS_IN, TOKENS_TOTAL, Event
from headrace_upstream.words import cut_into_tokens

SIGNATURE = "YSBzY3JpcHRlZCB0aG91Z2h0IHNpZ25hdHVyZSwgb3BhcXVl"
_FINISH = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


# --- what is asked


def body_of(members: dict[str, Any], stream: bool) -> Body:
    """The request's body in the words that all dialects share here."""
    if "requests" in members:
        asked = [_text(one.get("content") or {}) for one in members["requests"]]
        dimensions = members["requests"][0].get("outputDimensionality") if asked else None
        return Body(input=asked, dimensions=dimensions)
    members = members.get("generateContentRequest") or members
    config = members.get("generationConfig") or {}
    declared = [f for tool in members.get("tools") or () for f in tool["functionDeclarations"]]
    tools = [{"name": f["name"], "parameters": _schema(f)} for f in declared]
    calling = (members.get("toolConfig") or {}).get("functionCallingConfig") or {}
    choice: str | dict[str, Any] | None = None
    if calling.get("mode") == "ANY":
        named = calling.get("allowedFunctionNames")
        choice = {"type": "tool", "name": named[0]} if named else "required"
    system = members.get("systemInstruction")
    return Body(
        messages=[_message(content) for content in members["contents"]],
        system=None if system is None else _text(system),
        stream=stream,
        max_tokens=config.get("maxOutputTokens"),
        logprobs=config.get("responseLogprobs"),
        top_logprobs=config.get("logprobs"),
        tools=Raw(msgspec.json.encode(tools)) if tools else Raw(b""),
        tool_choice=choice,
        response_format=_format(config),
    )


def _schema(function: dict[str, Any]) -> Any:
    """Google takes both spellings; its own SDK sends the second."""
    names = ("parametersJsonSchema", "parameters_json_schema", "parameters")
    return next((function[name] for name in names if name in function), {})


def _message(content: dict[str, Any]) -> Message:
    parts = content.get("parts") or ()
    read = [Part("text", part["text"]) for part in parts if part.get("text")]
    read += [Part("image") for part in parts if "inlineData" in part or "fileData" in part]
    return Message("user" if content.get("role") == "user" else "assistant", list(read))


def _text(content: dict[str, Any]) -> str:
    return "".join(part.get("text") or "" for part in content.get("parts") or ())


def _format(config: dict[str, Any]) -> ResponseFormat | None:
    schema = config.get("responseJsonSchema")
    if schema is not None:
        return ResponseFormat("json_schema", {"schema": schema})
    if config.get("responseMimeType") == "application/json":
        return ResponseFormat("json_object")
    return None


# --- what is answered


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A `GenerateContentResponse`."""
    parts: list[dict[str, Any]] = []
    if answer.thinking is not None:
        parts.append({"text": answer.thinking, "thought": True})
    parts += _calls(answer) if answer.calls else [{"text": answer.text}]
    told = None if answer.calls else _logprobs(asked, answer.pieces)
    return _response(answer, parts, _reason(answer), told)


def events(asked: Asked, answer: Answer) -> list[Event]:
    """The stream's events. The last has the reason for the end; no other event follows."""
    listed = [
        _event(_response(answer, [{"text": piece, "thought": True}]), 1)
        for piece in cut_into_tokens(answer.thinking or "")
    ]
    listed += [
        _event(_response(answer, [{"text": piece}], logprobs=_logprobs(asked, [piece])), 1)
        for piece in answer.pieces
    ]
    listed += [_event(_response(answer, [part]), 1) for part in _calls(answer)]
    last = _response(answer, [{"text": ""}], _reason(answer))
    return [*listed, Event(msgspec.json.encode(last), terminal=True)]


def embeddings(asked: Asked, dimensions: int) -> dict[str, Any]:
    """The answer to `batchEmbedContents`."""
    wanted = asked.body.dimensions or dimensions
    vectors = [vector_of(text, wanted) for text in texts_of(asked.body.input or "")]
    return {"embeddings": [{"values": vector.tolist()} for vector in vectors]}


def count(asked: Asked) -> dict[str, Any]:
    """The answer to `countTokens`."""
    tokens = asked.tokens_in
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    return {"totalTokens": tokens, "promptTokensDetails": details}


def blocked(answer: Answer) -> dict[str, Any]:
    """What stands in the answer's place when the question was not let through."""
    response = _response(answer, [])
    del response["candidates"]
    return response | {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}


def error_event(message: str) -> Event:
    """How Google reports a fault inside a stream."""
    error = {"code": 503, "message": message, "status": "UNAVAILABLE"}
    return Event(msgspec.json.encode({"error": error}))


def _reason(answer: Answer) -> str:
    if any(call.parsed is None for call in answer.calls):
        return "MALFORMED_FUNCTION_CALL"
    return answer.finish if answer.finish_scripted else _FINISH.get(answer.finish, "OTHER")


def _calls(answer: Answer) -> list[dict[str, Any]]:
    """The first of a turn bears the signature."""
    parts: list[dict[str, Any]] = [
        {
            "functionCall": {
                "name": call.name,
                "args": call.parsed,
                "id": f"{SEQ}{index}",
            }
        }
        for index, call in enumerate(answer.calls)
        if call.parsed is not None
    ]
    if parts:
        parts[0]["thoughtSignature"] = SIGNATURE
    return parts


def _logprobs(asked: Asked, pieces: Iterable[str]) -> dict[str, Any] | None:
    """A `LogprobsResult`, if it was asked for."""
    told = logprobs_of(asked.body, pieces)
    if told is None:
        return None
    tops = [[_candidate(top) for top in token["top_logprobs"]] for token in told["content"]]
    return {
        "chosenCandidates": [_candidate(token) for token in told["content"]],
        "topCandidates": [{"candidates": top} for top in tops],
    }


def _candidate(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token["token"], "tokenId": 7, "logProbability": token["logprob"]}


def _response(
    answer: Answer,
    parts: list[dict[str, Any]],
    reason: str | None = None,
    logprobs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    if logprobs is not None:
        candidate["logprobsResult"] = logprobs
    response: dict[str, Any] = {
        "candidates": [candidate],
        "modelVersion": answer.model,
        "responseId": SEQ,
    }
    if answer.report_usage:
        response["usageMetadata"] = _usage(answer)
    return response


def _usage(answer: Answer) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": TOKENS_IN,
        "candidatesTokenCount": answer.tokens_out - answer.reasoning,
        "totalTokenCount": TOKENS_TOTAL,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": TOKENS_IN}],
    }
    if answer.cached:
        usage["cachedContentTokenCount"] = answer.cached
    if answer.reasoning:
        usage["thoughtsTokenCount"] = answer.reasoning
    return usage


def _event(response: dict[str, Any], tokens: int) -> Event:
    return Event(msgspec.json.encode(response), tokens=tokens)

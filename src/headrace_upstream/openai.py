"""OpenAI's wire format: chat completions, completions, embeddings, models; whole and streamed."""

from __future__ import annotations

import base64
import hashlib
from array import array
from collections.abc import Iterable
from typing import Any

import msgspec

from headrace_upstream.answer import Answer, Call
from headrace_upstream.asked import Asked, Body, texts_of
from headrace_upstream.template import CREATED, SEQ, TOKENS_IN, TOKENS_TOTAL, Event
from headrace_upstream.words import cut_into_tokens

_ID = f"chatcmpl-{SEQ}"
_FINGERPRINT = "fp_scripted"
DONE = Event(b"[DONE]", terminal=True)
MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5")

Chunk = tuple[dict[str, Any], int]


def usage_of(answer: Answer) -> dict[str, Any]:
    """OpenAI's usage object, with holes for the input."""
    return {
        "prompt_tokens": TOKENS_IN,
        "completion_tokens": answer.tokens_out,
        "total_tokens": TOKENS_TOTAL,
        "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def logprobs_of(body: Body, pieces: Iterable[str]) -> dict[str, Any] | None:
    """What a choice tells of the tokens of its text, if that was asked for."""
    if not body.logprobs:
        return None
    return {
        "content": [_likely(piece, body.top_logprobs or 0) for piece in pieces],
        "refusal": None,
    }


def _likely(piece: str, top: int) -> dict[str, Any]:
    """The longer a token, the less likely it is."""
    others = [piece, *(f"{piece}{'?' * n}" for n in range(1, top))][:top]
    told = [
        {"token": text, "logprob": -len(text) / 8, "bytes": list(text.encode())}
        for text in (piece, *others)
    ]
    return {**told[0], "top_logprobs": told[1:]}


def whole_chat(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A `chat.completion` object."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.calls else answer.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.thinking is not None:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [
            {**_call(index, call), "function": {"name": call.name, "arguments": call.arguments}}
            for index, call in enumerate(answer.calls)
        ]
    completion: dict[str, Any] = {
        "id": _ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": answer.model,
        "choices": [
            {
                "index": index,
                "message": message,
                "logprobs": None if answer.calls else logprobs_of(asked.body, answer.pieces),
                "finish_reason": answer.finish,
            }
            for index in range(asked.body.n or 1)
        ],
    }
    if answer.report_usage:
        completion["usage"] = usage_of(answer)
    return completion | {"service_tier": "default", "system_fingerprint": _FINGERPRINT}


def chat_chunks(asked: Asked, answer: Answer) -> list[Chunk]:
    """`chat.completion.chunk` objects, each with the number of tokens it carries."""
    chunks: list[Chunk] = []
    choices = range(asked.body.n or 1)

    def say(index: int, delta: dict[str, Any], finish: str | None = None, tokens: int = 0) -> None:
        told = logprobs_of(asked.body, [delta["content"]]) if delta.get("content") else None
        choice = {"index": index, "delta": delta, "logprobs": told, "finish_reason": finish}
        chunks.append((_chunk(asked, answer, [choice]), tokens))

    for index in choices:
        say(index, {"role": "assistant", "content": None if answer.calls else "", "refusal": None})
    for piece in cut_into_tokens(answer.thinking or ""):
        for index in choices:
            say(index, {"reasoning_content": piece}, tokens=1)
    for piece in answer.pieces:
        for index in choices:
            say(index, {"content": piece}, tokens=1)
    for number, call in enumerate(answer.calls):
        for index in choices:
            opening = _call(number, call) | {"function": {"name": call.name, "arguments": ""}}
            say(index, {"tool_calls": [{"index": number, **opening}]})
        for fragment in call.fragments:
            delta = {"tool_calls": [{"index": number, "function": {"arguments": fragment}}]}
            for index in choices:
                say(index, delta, tokens=1)
    for index in choices:
        say(index, {}, finish=answer.finish)
    if asked.include_usage and answer.report_usage:
        chunks.append((_chunk(asked, answer, []) | {"usage": usage_of(answer)}, 0))
    return chunks


def whole_completion(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A `text_completion` object."""
    prompts = len(texts_of(asked.body.prompt or ""))
    completion: dict[str, Any] = {
        "id": f"cmpl-{SEQ}",
        "object": "text_completion",
        "created": CREATED,
        "model": answer.model,
        "choices": [
            {"text": answer.text, "index": at, "logprobs": None, "finish_reason": answer.finish}
            for at in range(prompts)
        ],
    }
    return completion | ({"usage": usage_of(answer)} if answer.report_usage else {})


def completion_chunks(asked: Asked, answer: Answer) -> list[Chunk]:
    """`text_completion` objects of a stream."""

    def one(choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk = {
            "id": f"cmpl-{SEQ}",
            "object": "text_completion",
            "created": CREATED,
            "choices": choices,
            "model": answer.model,
        }
        return chunk | ({"usage": None} if asked.include_usage else {})

    def choice(text: str, finish: str | None) -> dict[str, Any]:
        return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}

    chunks: list[Chunk] = [(one([choice(piece, None)]), 1) for piece in answer.pieces]
    chunks.append((one([choice("", answer.finish)]), 0))
    if asked.include_usage and answer.report_usage:
        chunks.append((one([]) | {"usage": usage_of(answer)}, 0))
    return chunks


def embeddings(asked: Asked, model: str, dimensions: int) -> dict[str, Any]:
    """A list of embeddings. Equal texts get equal vectors of length 1; nothing else is meant."""
    dimensions = asked.body.dimensions or dimensions
    packed = asked.body.encoding_format == "base64"
    vectors = [vector_of(text, dimensions) for text in texts_of(asked.body.input or "")]
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode()
                if packed
                else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": TOKENS_IN, "total_tokens": TOKENS_IN},
    }


def vector_of(text: str, dimensions: int) -> array[float]:
    """A unit vector made from the text's SHAKE-256, as little-endian float32."""
    noise = array("h", hashlib.shake_256(text.encode()).digest(2 * dimensions))
    length = sum(value * value for value in noise) ** 0.5 or 1.0
    return array("f", [value / length for value in noise])


def models() -> dict[str, Any]:
    return {"object": "list", "data": [model_card(name) for name in MODELS]}


def model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "scripted"}


def events_of(chunks: list[Chunk]) -> list[Event]:
    """The chunks as events, and the terminal one."""
    encoded = [Event(msgspec.json.encode(data), tokens=tokens) for data, tokens in chunks]
    return [*encoded, DONE]


def error_event(message: str) -> Event:
    """How OpenAI reports a fault inside a stream."""
    error = {"message": message, "type": "server_error", "param": None, "code": None}
    return Event(msgspec.json.encode({"error": error}))


def _chunk(asked: Asked, answer: Answer, choices: list[dict[str, Any]]) -> dict[str, Any]:
    chunk = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
        "choices": choices,
    }
    return chunk | ({"usage": None} if asked.include_usage else {})


def _call(index: int, call: Call) -> dict[str, Any]:
    return {"id": f"call_{SEQ}{index}", "type": "function"}

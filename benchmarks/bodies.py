"""Requests and answers of the benchmark: OpenAI chat completions of a known size."""

from __future__ import annotations

import json

MODEL = "gpt-4o-mini"

ANSWER = json.dumps(
    {
        "id": "chatcmpl-benchmark0000000000000000",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "A headrace is the channel that leads water to a mill or turbine.",
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 15, "total_tokens": 215},
        "system_fingerprint": "fp_benchmark",
    },
    separators=(",", ":"),
).encode()
"""A whole answer of about 0.5 KB."""

_SENTENCE = "The water of the upper river is led along the hill to the wheel, said the miller. "


def whole_request(size_bytes: int) -> bytes:
    """A chat request of exactly `size_bytes`, most of it one user message."""
    bare = _request("", stream=False, max_tokens=64)
    missing = size_bytes - len(bare)
    if missing < 0:
        raise ValueError(f"a chat request needs at least {len(bare)} bytes, not {size_bytes}")
    text = (_SENTENCE * (missing // len(_SENTENCE) + 1))[:missing]
    return _request(text, stream=False, max_tokens=64)


def stream_request(chunks: int) -> bytes:
    """A 1 KB chat request that the stream upstream answers with `chunks` content events."""
    return _request(_SENTENCE * 9, stream=True, max_tokens=chunks)


def _request(text: str, *, stream: bool, max_tokens: int) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant. Answer in one sentence."},
        {"role": "user", "content": text},
    ]
    body: dict[str, object] = {"model": MODEL, "messages": messages, "max_tokens": max_tokens}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body, separators=(",", ":")).encode()

"""Whole answers in Anthropic's dialect, read and written.

https://platform.claude.com/docs/en/api/messages. Thinking of a provider that signs none has an
empty signature.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.services.answer_json import answer_of, present
from headrace.services.anthropic_wire import UsageRead
from headrace.services.dialects import tables
from headrace.services.dialects.neutral import (
    Answered,
    Counts,
    Finish,
    Part,
    Redacted,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)  # fmt: skip
from headrace.services.dialects.objects import given
from headrace.services.service import BadAnswer


class _Block(Struct):
    type: str = ""
    text: str = ""
    citations: list[Any] | None = None
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _Answer(Struct):
    id: str = ""
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageRead | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_answers = msgspec.json.Decoder(_Answer, strict=False)


def read(body: bytes) -> Answered | bytes:
    """The answer, or the error that stands in its place. Raises BadAnswer."""
    answer = answer_of(_answers, body)
    if present(answer.error):
        return bytes(answer.error)
    if answer.content is None:
        raise BadAnswer("a JSON object without the answer's members")
    usage = answer.usage
    parts = [part for block in answer.content if (part := _read_block(block)) is not None]
    return Answered(
        answer.id,
        answer.model,
        parts,
        tables.ANTHROPIC_FINISH.get(answer.stop_reason or "end_turn", Finish.STOP),
        answer.stop_sequence,
        None if usage is None else counts_of(usage),
        None if usage is None else usage.service_tier,
    )


def counts_of(usage: UsageRead) -> Counts:
    tokens = usage.tokens
    return Counts(
        tokens.input_tokens,
        tokens.output_tokens,
        tokens.cached_tokens,
        usage.cache_creation_input_tokens or 0,
        tokens.reasoning_tokens,
    )


def _read_block(block: _Block) -> Part | None:
    match block.type:
        case "text":
            return Text(block.text, citations=block.citations or None)
        case "tool_use":
            if not isinstance(block.input, dict):
                raise BadAnswer("a tool's input is no JSON object")
            return ToolUse(block.id, block.name, block.input)
        case "thinking":
            return Thinking(block.thinking, block.signature or None)
        case "redacted_thinking":
            return Redacted(block.data)
    return None


def written(answer: Answered) -> dict[str, Any]:
    """A `message`."""
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [block for part in answer.parts if (block := _write_block(part)) is not None],
        "stop_reason": tables.TO_ANTHROPIC_FINISH[answer.finish],
        "stop_sequence": answer.stop,
        "usage": usage(answer.counts or Counts(), answer.tier),
    }


def _write_block(part: Part) -> dict[str, Any] | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text, "citations": part.citations}
        case ToolUse():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.input}
        case Thinking():
            signature = part.signature or ""
            return {"type": "thinking", "thinking": part.text, "signature": signature}
        case Redacted():
            return {"type": "redacted_thinking", "data": part.data}
        case Refusal():
            return {"type": "text", "text": part.text, "citations": None}
    return None


def usage(counts: Counts, tier: str | None = None) -> dict[str, Any]:
    """The usage object: its input tokens are those that no cache held."""
    thought = {"thinking_tokens": counts.reasoning} if counts.reasoning else None
    return given(
        input_tokens=max(0, counts.input - counts.cached - counts.cache_written),
        cache_creation_input_tokens=counts.cache_written,
        cache_read_input_tokens=counts.cached,
        output_tokens=counts.output,
        output_tokens_details=thought,
        service_tier=tier,
    )

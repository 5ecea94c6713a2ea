"""Whole answers to a chat in OpenAI's dialect, read and written.

https://platform.openai.com/docs/api-reference/chat/object. Thinking stands in `reasoning_content`
and `thinking_blocks` of the message, citations in `citations`, why it ended in
`native_finish_reason` where OpenAI has no word for it.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from msgspec import Struct

from headrace.services.answer_json import answer_of, arguments_of, present
from headrace.services.counts import Count
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
from headrace.services.dialects.objects import given, unparsed
from headrace.services.service import BadAnswer


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: str | None = None


class _Call(Struct):
    id: str = ""
    function: _Function = _Function()


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class Logprobs(Struct, gc=False):
    content: list[Any] | None = None
    """An object for each token."""


class _Choice(Struct):
    message: _Message
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _InputDetails(Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None


class _OutputDetails(Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class UsageRead(Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    @property
    def counts(self) -> Counts:
        of_input = self.prompt_tokens_details or _InputDetails()
        of_output = self.completion_tokens_details or _OutputDetails()
        return Counts(
            self.prompt_tokens or 0,
            self.completion_tokens or 0,
            of_input.cached_tokens or 0,
            of_input.cache_write_tokens or 0,
            of_output.reasoning_tokens or 0,
            of_input.audio_tokens or 0,
            of_output.audio_tokens or 0,
        )


class _Answer(Struct):
    id: str = ""
    model: str = ""
    choices: list[_Choice] | None = None
    usage: UsageRead | None = None
    service_tier: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


_answers = msgspec.json.Decoder(_Answer, strict=False)
_objects = msgspec.json.Decoder(dict[str, Any])


def read(body: bytes) -> Answered | bytes:
    """The answer, or the error that stands in its place. Raises BadAnswer."""
    answer = answer_of(_answers, body)
    if present(answer.error):
        return bytes(answer.error)
    if not answer.choices:
        raise BadAnswer("a JSON object without the answer's members")
    choice = answer.choices[0]
    message = choice.message
    parts: list[Part] = []
    if message.reasoning_content:
        parts.append(Thinking(message.reasoning_content))
    if message.content:
        told = None if choice.logprobs is None else choice.logprobs.content
        parts.append(Text(message.content, logprobs=told or None))
    if message.refusal:
        parts.append(Refusal(message.refusal))
    parts += [_read_call(call) for call in message.tool_calls or ()]
    finish = tables.OPENAI_FINISH.get(choice.finish_reason or "stop", Finish.STOP)
    stop = choice.stop_reason if isinstance(choice.stop_reason, str) else None
    if finish is Finish.STOP and stop is not None:
        finish = Finish.STOP_SEQUENCE
    if message.refusal and finish is Finish.STOP:
        finish = Finish.REFUSED
    return Answered(
        answer.id,
        answer.model,
        parts,
        finish,
        stop,
        None if answer.usage is None else answer.usage.counts,
        tables.OPENAI_TIERS_USED.get(answer.service_tier or ""),
    )


def _read_call(call: _Call) -> ToolUse:
    return ToolUse(call.id, call.function.name, arguments_of(call.function.arguments))


def written(answer: Answered) -> dict[str, Any]:
    """A `chat.completion`."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    texts, calls, thoughts, citations, refusals = [], [], [], [], []
    logprobs: list[Any] = []
    for part in answer.parts:
        match part:
            case Text():
                texts.append(part.text)
                citations += part.citations or []
                logprobs += part.logprobs or []
            case ToolUse():
                function = {"name": part.name, "arguments": unparsed(part.input)}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Thinking():
                signature = part.signature
                thoughts.append(given(type="thinking", thinking=part.text, signature=signature))
            case Redacted():
                thoughts.append({"type": "redacted_thinking", "data": part.data})
            case Refusal():
                refusals.append(part.text)
    if texts or not (calls or refusals):
        message["content"] = "".join(texts)
    if refusals:
        message["refusal"] = "".join(refusals)
    if thoughts:
        message["reasoning_content"] = "".join(t.get("thinking", "") for t in thoughts)
        message["thinking_blocks"] = thoughts
    if citations:
        message["citations"] = citations
    if calls:
        message["tool_calls"] = calls
    told = {"content": logprobs, "refusal": None} if logprobs else None
    choice = {"index": 0, "message": message, "logprobs": told, **finish_members(answer)}
    return given(
        id=answer.id,
        object="chat.completion",
        created=int(time.time()),
        model=answer.model,
        choices=[choice],
        usage=None if answer.counts is None else usage(answer.counts),
        service_tier=tables.TO_OPENAI_TIERS_USED.get(answer.tier or ""),
    )


class Ending(Struct):
    finish: Finish
    stop: str | None = None


_WITHOUT_WORD = {
    Finish.PAUSED: "pause_turn",
    Finish.WINDOW: "model_context_window_exceeded",
    Finish.STOP_SEQUENCE: "stop_sequence",
}


def finish_members(ending: Answered | Ending) -> dict[str, Any]:
    """Members of a choice that say why it ended."""
    members: dict[str, Any] = {"finish_reason": tables.TO_OPENAI_FINISH[ending.finish]}
    native = _WITHOUT_WORD.get(ending.finish)
    if native is not None:
        members["native_finish_reason"] = native
    if ending.stop is not None:
        members["stop_reason"] = ending.stop  # as vLLM has it
    return members


def usage(counts: Counts) -> dict[str, Any]:
    """The usage object."""
    written, heard = counts.cache_written or None, counts.audio_input or None
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": given(
            cached_tokens=counts.cached, cache_write_tokens=written, audio_tokens=heard
        ),
        "completion_tokens_details": given(
            reasoning_tokens=counts.reasoning, audio_tokens=counts.audio_output or None
        ),
    }

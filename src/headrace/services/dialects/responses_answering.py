"""Whole answers in the words of OpenAI's Responses API, written.

https://platform.openai.com/docs/api-reference/responses/object. A response repeats what was asked.
Thinking is a `reasoning` item's summary, with `encrypted_content` that this gateway can read again.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from msgspec import Struct

from headrace.nouns import Call
from headrace.services.answer_json import present
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
from headrace.services.dialects.responses_asking import sealed
from headrace.services.openai_wire import members_of

OWN = "resp_hr"
"""Begins the ids that this gateway gives."""
_REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""Members of the request that the answer repeats, and what stands there if they were not said. Who
asks is not repeated."""
_INCOMPLETE = {
    Finish.LENGTH: "max_output_tokens",
    Finish.WINDOW: "max_output_tokens",
    Finish.REFUSED: "content_filter",
}


class Frame(Struct):
    """What a response has beside its answer."""

    id: str
    created_at: int
    repeated: dict[str, Any]

    @classmethod
    def of(cls, call: Call) -> Frame:
        """A new response to a call."""
        asked = members_of(call.body)
        repeated = {
            name: asked[name] if name in asked and present(asked[name]) else default
            for name, default in _REPEATED.items()
        }
        repeated["previous_response_id"] = call.previous
        return cls(OWN + secrets.token_hex(24), int(time.time()), repeated)

    def item_id(self, kind: str, number: int) -> str:
        """The id of an item of the output, by its kind's prefix."""
        return f"{kind}_{self.id.removeprefix(OWN)}{number:03x}"

    def response(
        self,
        model: str,
        output: list[dict[str, Any]],
        finish: Finish | None,
        counts: Counts | None,
        tier: str | None,
    ) -> dict[str, Any]:
        """The `response` object. `finish` is None while it goes on."""
        reason = None if finish is None else incomplete_reason(finish, output)
        status = "in_progress" if finish is None else "incomplete" if reason else "completed"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": model,
            "output": output,
            **self.repeated,
            "service_tier": tables.TO_OPENAI_TIERS_USED.get(tier or "", "default"),
            "usage": None if counts is None else usage(counts),
        }


def incomplete_reason(finish: Finish, output: list[dict[str, Any]]) -> str | None:
    """Why an answer is not complete. A refusal in the model's own words is."""
    if finish is Finish.REFUSED and any(
        part["type"] == "refusal" for item in output for part in item.get("content", ())
    ):
        return None
    return _INCOMPLETE.get(finish)


def written(answer: Answered, frame: Frame) -> dict[str, Any]:
    """A `response`."""
    output: list[dict[str, Any]] = []
    for part in answer.parts:
        if isinstance(part, Text | Refusal):
            if not output or output[-1]["type"] != "message":
                output.append(message(frame.item_id("msg", len(output)), "completed"))
            output[-1]["content"].append(_content(part))
        elif (item := _item(part, frame, len(output))) is not None:
            output.append(item)
    if incomplete_reason(answer.finish, output) is not None and output:
        output[-1]["status"] = "incomplete"
    return frame.response(answer.model, output, answer.finish, answer.counts, answer.tier)


def _content(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return output_text(part.text, part.citations, part.logprobs)


def _item(part: Part, frame: Frame, number: int) -> dict[str, Any] | None:
    match part:
        case ToolUse():
            id = frame.item_id("fc", number)
            return function_call(id, part.id, part.name, unparsed(part.input), "completed")
        case Thinking() | Redacted():
            text = part.text if isinstance(part, Thinking) else ""
            return reasoning(frame.item_id("rs", number), text, sealed(part))
    return None


def message(id: str, status: str) -> dict[str, Any]:
    """An item of the assistant's words, which are none yet."""
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": []}


def output_text(
    text: str, citations: list[Any] | None = None, logprobs: list[Any] | None = None
) -> dict[str, Any]:
    """A part of such an item. `citations` are as the provider wrote them; of `logprobs` each has
    the members that a chat's have."""
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    part["logprobs"] = logprobs or []
    return part | ({"citations": citations} if citations else {})


def function_call(id: str, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """An item that calls a function."""
    return {
        "id": id,
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call_id,
        "name": name,
    }


def reasoning(id: str, text: str, seal: str | None) -> dict[str, Any]:
    """An item of thinking."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    return given(id=id, type="reasoning", summary=summary, encrypted_content=seal)


def usage(counts: Counts) -> dict[str, Any]:
    """The usage object."""
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {
            "cached_tokens": counts.cached,
            "cache_write_tokens": counts.cache_written,
        },
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }

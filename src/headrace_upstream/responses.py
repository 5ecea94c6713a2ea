"""OpenAI's Responses API on the wire: whole responses, and their events."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_upstream.answer import Answer
from headrace_upstream.asked import Asked
from headrace_upstream.template import CREATED, SEQ, TOKENS_IN, TOKENS_TOTAL, Event
from headrace_upstream.words import cut_into_tokens

_ID = f"resp_{SEQ}"
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A `response` object."""
    return _response(asked, answer, _output(answer))


def events(asked: Asked, answer: Answer) -> list[Event]:
    """The stream's events, from `response.created` to the one that repeats all."""
    return _Stream(asked, answer).events()


def error_event(message: str) -> Event:
    """How OpenAI reports a fault inside such a stream."""
    members = {"code": "server_error", "message": message, "param": None, "sequence_number": 99}
    return Event(msgspec.json.encode({"type": "error", **members}), b"error")


def _response(asked: Asked, answer: Answer, output: list[dict[str, Any]] | None) -> dict[str, Any]:
    """`output` is None while it goes on."""
    body = asked.body
    reason = _INCOMPLETE.get(answer.finish)
    status = "in_progress" if output is None else "incomplete" if reason else "completed"
    has_usage = output is not None and answer.report_usage
    return {
        "id": _ID,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason and output is not None else None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "model": answer.model,
        "output": output or [],
        "parallel_tool_calls": True,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(answer) if has_usage else None,
        "user": None,
        "metadata": {},
    }


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": TOKENS_IN,
        "input_tokens_details": {"cached_tokens": answer.cached},
        "output_tokens": answer.tokens_out,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning},
        "total_tokens": TOKENS_TOTAL,
    }


def _output(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.thinking is not None:
        items.append(_thought(answer.thinking))
    if not answer.calls:
        return [*items, _message([_text(answer.text)])]
    calls = [_call(n, call.name, call.arguments) for n, call in enumerate(answer.calls)]
    return [*items, *calls]


def _message(content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    head = {"id": f"msg_{SEQ}", "type": "message", "status": status}
    return head | {"role": "assistant", "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _thought(text: str | None) -> dict[str, Any]:
    summary = [] if text is None else [{"type": "summary_text", "text": text}]
    return {"id": f"rs_{SEQ}", "type": "reasoning", "summary": summary}


def _call(number: int, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    head = {"id": f"fc_{SEQ}{number}", "type": "function_call", "status": status}
    return head | {"arguments": arguments, "call_id": f"call_{SEQ}{number}", "name": name}


class _Stream:
    """Numbers the events as they are made."""

    def __init__(self, asked: Asked, answer: Answer) -> None:
        self._asked = asked
        self._answer = answer
        self._listed: list[Event] = []
        self._index = 0

    def events(self) -> list[Event]:
        answer = self._answer
        for kind in ("response.created", "response.in_progress"):
            self._say(kind, response=_response(self._asked, answer, None))
        if answer.thinking is not None:
            self._think(answer.thinking)
        if answer.calls:
            for number in range(len(answer.calls)):
                self._call(number)
        else:
            self._speak()
        response = whole(self._asked, answer)
        self._say(f"response.{response['status']}", terminal=True, response=response)
        return self._listed

    def _say(self, kind: str, tokens: int = 0, *, terminal: bool = False, **members: Any) -> None:
        event = {"type": kind, "sequence_number": len(self._listed), **members}
        self._listed.append(Event(msgspec.json.encode(event), kind.encode(), tokens, terminal))

    def _item(self, step: str, item: dict[str, Any]) -> None:
        self._say(f"response.output_item.{step}", output_index=self._index, item=item)

    def _speak(self) -> None:
        self._item("added", _message([], "in_progress"))
        where: dict[str, Any] = {
            "item_id": f"msg_{SEQ}",
            "output_index": self._index,
            "content_index": 0,
        }
        self._say("response.content_part.added", **where, part=_text(""))
        for piece in self._answer.pieces:
            self._say("response.output_text.delta", 1, **where, delta=piece, logprobs=[])
        text = self._answer.text
        self._say("response.output_text.done", **where, text=text, logprobs=[])
        self._say("response.content_part.done", **where, part=_text(text))
        self._item("done", _message([_text(text)]))
        self._index += 1

    def _think(self, text: str) -> None:
        self._item("added", _thought(None))
        where: dict[str, Any] = {
            "item_id": f"rs_{SEQ}",
            "output_index": self._index,
            "summary_index": 0,
        }
        part = {"type": "summary_text", "text": ""}
        self._say("response.reasoning_summary_part.added", **where, part=part)
        for piece in cut_into_tokens(text):
            self._say("response.reasoning_summary_text.delta", 1, **where, delta=piece)
        self._say("response.reasoning_summary_text.done", **where, text=text)
        self._say("response.reasoning_summary_part.done", **where, part=part | {"text": text})
        self._item("done", _thought(text))
        self._index += 1

    def _call(self, number: int) -> None:
        call = self._answer.calls[number]
        self._item("added", _call(number, call.name, "", "in_progress"))
        where: dict[str, Any] = {"item_id": f"fc_{SEQ}{number}", "output_index": self._index}
        for fragment in call.fragments:
            self._say("response.function_call_arguments.delta", 1, **where, delta=fragment)
        arguments = call.arguments
        self._say("response.function_call_arguments.done", **where, arguments=arguments)
        self._item("done", _call(number, call.name, arguments))
        self._index += 1

"""Streams in the words of OpenAI's Responses API, written event by event.

https://platform.openai.com/docs/api-reference/responses-streaming. One item is open at a time. The
last event repeats the whole response, so that all of it is kept till then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.services.dialects import responses_answering
from headrace.services.dialects.neutral import (
    Arguments,
    Began,
    Called,
    Cited,
    Counted,
    Counts,
    Delta,
    Ended,
    Finish,
    Finished,
    Hidden,
    Redacted,
    Refusing,
    Said,
    Signed,
    Thinking,
    Thought,
)  # fmt: skip
from headrace.services.dialects.responses_answering import Frame
from headrace.services.dialects.responses_asking import sealed
from headrace.services.service import BadAnswer

_encode = msgspec.json.Encoder().encode
_TEXT = "output_text"
_REFUSAL = "refusal"
_SAID = {_TEXT: "text", _REFUSAL: "refusal"}
"""The member that holds what a part of a kind says."""


class ResponsesWriter:
    """Writes one stream. `frame` is what the response has beside its answer."""

    __slots__ = (
        "_begun", "_citations", "_close", "_counts", "_delta", "_finish", "_frame", "_logprobs",
        "_model",
        "_number", "_open", "_output", "_part", "_pieces", "_tier",
    )  # fmt: skip

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._begun = False
        self._model = ""
        self._tier: str | None = None
        self._counts: Counts | None = None
        self._finish: Finish | None = None
        self._number = 0
        """Of the next event."""
        self._output: list[dict[str, Any]] = []
        self._open: str | int | None = None
        """message, reasoning, or a call's number."""
        self._close: Callable[[], bytes] = _nothing
        self._part: str | None = None
        """The kind of the message's open part."""
        self._pieces: list[str] = []
        """Of what is open, so far."""
        self._citations: list[Any] = []
        self._logprobs: list[Any] = []
        """Of the open part's tokens."""
        self._delta = b""
        """What every delta of what is open has."""

    def write(self, delta: Delta) -> bytes:
        """Whole events. Raises BadAnswer for what cannot come now."""
        if type(delta) is Said and self._part == _TEXT and delta.logprobs is None:
            return self._goes_on(delta.text)
        if not self._begun and not isinstance(delta, Began):
            raise BadAnswer("an answer that goes on before it began")
        match delta:
            case Said():
                return self._speak(_TEXT) + self._say(delta)
            case Refusing():
                return self._speak(_REFUSAL) + self._goes_on(delta.text)
            case Arguments():
                if self._open != delta.number:
                    raise BadAnswer("fragments of a call that another has followed")
                return self._goes_on(delta.text)
            case Began():
                return self._begin(delta)
            case Called():
                return self._call(delta)
            case Thought():
                return self._think() + self._goes_on(delta.text)
            case Signed():
                signed = self._think()
                return signed + self._end_thought(sealed(Thinking("", delta.signature)))
            case Hidden():
                return self._hide(delta)
            case Cited():
                opened = self._speak(_TEXT)
                self._citations.append(delta.citation)
                return opened
            case Finished():
                self._finish = delta.finish
                self._counts = delta.counts or self._counts
                return self._end_item()
            case Counted():
                self._counts = delta.counts
            case Ended():
                return self._end()
        return b""

    # --- the response

    def _begin(self, began: Began) -> bytes:
        self._begun = True
        self._model, self._tier, self._counts = began.model, began.tier, began.counts
        response = self._frame.response(self._model, [], None, None, self._tier)
        created = self._event("response.created", response=response)
        return created + self._event("response.in_progress", response=response)

    def _end(self) -> bytes:
        closed = self._end_item()
        finish = self._finish or Finish.STOP
        reason = responses_answering.incomplete_reason(finish, self._output)
        if reason is not None and self._output:
            self._output[-1]["status"] = "incomplete"
        counts = self._counts or Counts()
        response = self._frame.response(self._model, self._output, finish, counts, self._tier)
        kind = "response.completed" if reason is None else "response.incomplete"
        return closed + self._event(kind, response=response)

    # --- its items

    def _start(self, kind: str | int, item: dict[str, Any], close: Callable[[], bytes]) -> bytes:
        closed = self._end_item()
        self._open, self._close = kind, close
        self._output.append(item)
        return closed + self._event(
            "response.output_item.added", output_index=self._index, item=item
        )

    def _end_item(self) -> bytes:
        if self._open is None:
            return b""
        closed = self._close()
        self._open = self._part = None
        self._pieces.clear()
        item = self._output[-1]
        return closed + self._event(
            "response.output_item.done", output_index=self._index, item=item
        )

    @property
    def _index(self) -> int:
        return len(self._output) - 1

    def _item_id(self, kind: str) -> str:
        return self._frame.item_id(kind, len(self._output))

    # --- what is said

    def _speak(self, kind: str) -> bytes:
        """Opens a part of a kind in a message, if none is open."""
        if self._part == kind:
            return b""
        events = b""
        if self._open != "message":
            item = responses_answering.message(self._item_id("msg"), "in_progress")
            events = self._start("message", item, self._end_message)
        elif self._part is not None:
            events = self._end_part()
        self._part = kind
        where = self._where()
        self._listen(f"response.{kind}.delta", where, logprobs=kind == _TEXT)
        part = _part_of(kind, "")
        return events + self._event("response.content_part.added", **where, part=part)

    def _say(self, said: Said) -> bytes:
        if said.logprobs is None:
            return self._goes_on(said.text)
        self._pieces.append(said.text)
        self._logprobs += said.logprobs
        told = {"delta": said.text, "logprobs": said.logprobs}
        return self._event(f"response.{_TEXT}.delta", **self._where(), **told)

    def _where(self) -> dict[str, Any]:
        item = self._output[-1]
        return {
            "item_id": item["id"],
            "output_index": self._index,
            "content_index": len(item["content"]),
        }

    def _end_part(self) -> bytes:
        kind, where, text = self._part or _TEXT, self._where(), "".join(self._pieces)
        part = _part_of(kind, text)
        said: dict[str, Any] = {_SAID[kind]: text}
        if kind == _TEXT:
            said["logprobs"] = part["logprobs"] = self._logprobs
            self._logprobs = []
            if self._citations:
                part["citations"] = self._citations
                self._citations = []
        self._pieces.clear()
        self._part = None
        done = self._event(f"response.{kind}.done", **where, **said)
        done += self._event("response.content_part.done", **where, part=part)
        self._output[-1]["content"].append(part)
        return done

    def _end_message(self) -> bytes:
        closed = b"" if self._part is None else self._end_part()
        self._output[-1]["status"] = "completed"
        return closed

    # --- what is called

    def _call(self, called: Called) -> bytes:
        item = responses_answering.function_call(
            self._item_id("fc"), called.id, called.name, "", "in_progress"
        )
        added = self._start(called.number, item, self._end_call)
        where = {"item_id": item["id"], "output_index": self._index}
        self._listen("response.function_call_arguments.delta", where)
        return added

    def _end_call(self) -> bytes:
        item = self._output[-1]
        item["arguments"] = "".join(self._pieces)
        item["status"] = "completed"
        return self._event(
            "response.function_call_arguments.done",
            item_id=item["id"],
            output_index=self._index,
            arguments=item["arguments"],
            name=item["name"],
        )

    # --- what is thought

    def _think(self) -> bytes:
        if self._open == "reasoning":
            return b""
        item = responses_answering.reasoning(self._item_id("rs"), "", None)
        added = self._start("reasoning", item, self._close_thought)
        where = self._thought()
        self._listen("response.reasoning_summary_text.delta", where)
        part = {"type": "summary_text", "text": ""}
        return added + self._event("response.reasoning_summary_part.added", **where, part=part)

    def _thought(self) -> dict[str, Any]:
        id = self._output[-1]["id"]
        return {"item_id": id, "output_index": self._index, "summary_index": 0}

    def _close_thought(self) -> bytes:
        where, text = self._thought(), "".join(self._pieces)
        part = {"type": "summary_text", "text": text}
        self._output[-1]["summary"] = [part] if text else []
        done = self._event("response.reasoning_summary_text.done", **where, text=text)
        return done + self._event("response.reasoning_summary_part.done", **where, part=part)

    def _end_thought(self, seal: str | None) -> bytes:
        self._output[-1]["encrypted_content"] = seal
        return self._end_item()

    def _hide(self, hidden: Hidden) -> bytes:
        seal = sealed(Redacted(hidden.data))
        item = responses_answering.reasoning(self._item_id("rs"), "", seal)
        return self._start("hidden", item, _nothing) + self._end_item()

    # --- events

    def _listen(self, kind: str, where: dict[str, Any], *, logprobs: bool = False) -> None:
        """Makes what the deltas that follow have in common."""
        head = _encode({"type": kind, **where, **({"logprobs": []} if logprobs else {})})
        self._delta = b"event: %b\ndata: %b" % (kind.encode(), head[:-1])

    def _goes_on(self, text: str) -> bytes:
        self._pieces.append(text)
        number = self._number
        self._number += 1
        return b'%b,"sequence_number":%d,"delta":%b}\n\n' % (self._delta, number, _encode(text))

    def _event(self, kind: str, **members: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **members}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event))


def _part_of(kind: str, text: str) -> dict[str, Any]:
    if kind == _REFUSAL:
        return {"type": _REFUSAL, "refusal": text}
    return responses_answering.output_text(text)


def _nothing() -> bytes:
    return b""

"""What was said in a call, by OpenTelemetry's conventions for generative AI
(https://github.com/open-telemetry/semantic-conventions-genai, schema 1.42): messages of parts, as
JSON. From three dialects: OpenAI's chat completions and responses, and Anthropic's messages. Pure.

Secrets are taken out of each text before it is cut to its bound. Pictures, sound and files stand
with their kind alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.gateway.telemetry.listening import Said
from headrace.nouns import Operation
from headrace.platform.http.sse import EventSplitter, EventTooLarge, data_of
from headrace.platform.telemetry.spans import Value

Part = dict[str, Any]
Message = dict[str, Any]
_FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "completed": "stop", "max_tokens": "length",
    "incomplete": "length", "tool_use": "tool_call", "tool_calls": "tool_call",
    "refusal": "content_filter",
}  # fmt: skip
"""The conventions' words, where a dialect has another."""
BARE_BYTES = 32
"""What a message, or a part of one, counts for beside its texts."""
WORD_LIMIT = 64
"""Characters of a role, a kind, a reason: one of a few words, unless a client makes some up."""
_TEXTS = frozenset({"text", "input_text", "output_text"})


def content_of(
    operation: Operation, said: Said, most_bytes: int, scrub: Callable[[str], str]
) -> dict[str, Value]:
    """Attributes of the call's span. `most_bytes` is of the texts asked, and of those answered."""
    asked, answered = _Bounded(most_bytes, scrub), _Bounded(most_bytes, scrub)
    found: dict[str, Value] = {}
    answers = _answered(operation, said.answered)
    if answers:
        found["gen_ai.output.messages"] = _text([answered.message(m) for m in answers])
    system, messages = _asked(operation, said.asked)
    # The last word first: of a long conversation the beginning is left out.
    kept = [asked.message(message) for message in reversed(messages) if not asked.full]
    left_out = len(kept) < len(messages)
    if kept:
        found["gen_ai.input.messages"] = _text(kept[::-1])
    if system and not asked.full:
        found["gen_ai.system_instructions"] = _text(asked.parts(system))
    elif system:
        left_out = True
    if said.cut or left_out or asked.cut or answered.cut:
        found["headrace.content.cut"] = True
    return found


class _Bounded:
    """Takes texts until there is no room for more."""

    def __init__(self, most_bytes: int, scrub: Callable[[str], str]) -> None:
        self._left = most_bytes
        self._scrub = scrub
        self.cut = False

    @property
    def full(self) -> bool:
        return self._left <= 0

    def message(self, message: Message) -> Message:
        self._left -= BARE_BYTES
        return {**message, "parts": self.parts(message["parts"])}

    def parts(self, parts: Sequence[Part]) -> list[Part]:
        kept: list[Part] = []
        for part in parts:
            if self.full:
                self.cut = True
                break
            self._left -= BARE_BYTES
            kept.append({name: self._taken(name, value) for name, value in part.items()})
        return kept

    def _taken(self, name: str, value: Any) -> Any:
        if name == "type":
            return value[:WORD_LIMIT]
        text = value if isinstance(value, str) else _text(value)
        data = self._scrub(text).encode("utf-8", "replace")
        self.cut = self.cut or len(data) > self._left
        kept = data[: max(0, self._left)]
        self._left -= len(data)
        return kept.decode("utf-8", "ignore")


def _asked(operation: Operation, body: bytes) -> tuple[list[Part], list[Message]]:
    """System instructions, and messages."""
    asked = _decoded(body)
    if not isinstance(asked, Mapping):
        return [], []
    if operation is Operation.RESPONSES:
        return _parts(asked.get("instructions")), _items(asked.get("input"))
    messages = [_message(m) for m in _list(asked.get("messages")) if isinstance(m, Mapping)]
    return _parts(asked.get("system")), messages


def _answered(operation: Operation, data: bytes) -> list[Message]:
    objects = _objects(data)
    if operation is Operation.MESSAGES:
        return _anthropic_answer(objects)
    if operation is Operation.RESPONSES:
        return _responses_answer(objects)
    return _chat_answer(objects)


def _message(message: Mapping[str, Any]) -> Message:
    """As OpenAI's and Anthropic's dialects have it."""
    role = _word(message.get("role"))[:WORD_LIMIT]
    if role == "tool":
        return {"role": role, "parts": [_response(message.get("tool_call_id"), message)]}
    parts = [_reasoning(text) for text in (message.get("reasoning_content"),) if text]
    parts += _parts(message.get("content")) + _parts(message.get("refusal"))
    for call in _list(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            parts.append(_call(call.get("id"), function.get("name"), function.get("arguments")))
    return {"role": role, "parts": parts}


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    return [_part(one) for one in _list(content) if isinstance(one, Mapping)]


def _part(one: Mapping[str, Any]) -> Part:
    kind = _word(one.get("type"))
    if kind in _TEXTS:
        return {"type": "text", "content": _word(one.get("text"))}
    if kind == "thinking":
        return _reasoning(one.get("thinking"))
    if kind == "tool_use":
        return _call(one.get("id"), one.get("name"), one.get("input"))
    if kind == "tool_result":
        return _response(one.get("tool_use_id"), one)
    return {"type": kind or "unknown"}


def _reasoning(text: Any) -> Part:
    return {"type": "reasoning", "content": _word(text)}


def _call(id: Any, name: Any, arguments: Any) -> Part:
    return {"type": "tool_call", "id": _word(id), "name": _word(name), "arguments": arguments or ""}


def _response(id: Any, result: Mapping[str, Any]) -> Part:
    texts = [part.get("content", "") for part in _parts(result.get("content"))]
    return {"type": "tool_call_response", "id": _word(id), "response": "".join(texts)}


def _chat_answer(objects: Sequence[Any]) -> list[Message]:
    """Of a whole completion, or put together from the pieces of a stream."""
    found: dict[Any, dict[str, Any]] = {}
    for answer in objects:
        choices = answer.get("choices") if isinstance(answer, Mapping) else None
        for choice in _list(choices):
            if not isinstance(choice, Mapping):
                continue
            one = found.setdefault(_number(choice.get("index")), {"calls": {}})
            one["finish"] = choice.get("finish_reason") or one.get("finish")
            said = choice.get("message") or choice.get("delta")
            if isinstance(said, Mapping):
                _add_said(one, said)
    answers = []
    for one in found.values():
        calls = [{"id": i, "function": {"name": n, "arguments": a}} for i, n, a in
                 (tuple(call) for call in one.pop("calls").values())]  # fmt: skip
        finish = one.pop("finish", None)
        answers.append(_ended(_message({"role": "assistant", **one, "tool_calls": calls}), finish))
    return answers


def _add_said(one: dict[str, Any], said: Mapping[str, Any]) -> None:
    for name in ("content", "refusal", "reasoning_content"):
        if isinstance(said.get(name), str):
            one[name] = one.get(name, "") + said[name]
    for at, call in enumerate(_list(said.get("tool_calls"))):
        if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
            continue
        function = call["function"]
        known = one["calls"].setdefault(_number(call.get("index"), at), ["", "", ""])
        for place, piece in enumerate((call.get("id"), function.get("name"),
                                       function.get("arguments"))):  # fmt: skip
            known[place] += _word(piece)


def _anthropic_answer(objects: Sequence[Any]) -> list[Message]:
    blocks: dict[Any, dict[str, Any]] = {}
    finish = None
    for answer in objects:
        if not isinstance(answer, Mapping):
            continue
        if _list(answer.get("content")):
            blocks = {at: dict(b) for at, b in enumerate(answer["content"]) if isinstance(b, dict)}
        finish = answer.get("stop_reason") or finish
        index, delta = _number(answer.get("index")), answer.get("delta")
        if isinstance(answer.get("content_block"), Mapping):
            blocks[index] = dict(answer["content_block"])
        elif isinstance(delta, Mapping):
            finish = delta.get("stop_reason") or finish
            block = blocks.setdefault(index, {})
            for name in ("text", "thinking"):
                if isinstance(delta.get(name), str):
                    block[name] = _word(block.get(name)) + delta[name]
            if isinstance(delta.get("partial_json"), str):
                block["input"] = (block.get("input") or "") + delta["partial_json"]
    parts = [_part(block) for block in blocks.values() if block.get("type")]
    return [_ended({"role": "assistant", "parts": parts}, finish)] if parts else []


def _responses_answer(objects: Sequence[Any]) -> list[Message]:
    """Of a whole response, or of the event that ends a stream, which holds all of it."""
    response: Any = None
    for answer in objects:
        if isinstance(answer, Mapping):
            last = answer.get("response", answer)
            response = last if isinstance(last, Mapping) and last.get("output") else response
    if response is None:
        return []
    parts = [part for m in _items(response["output"]) for part in m["parts"]]
    return [_ended({"role": "assistant", "parts": parts}, response.get("status"))]


def _items(items: Any) -> list[Message]:
    """Items of the Responses API."""
    if isinstance(items, str):
        return [{"role": "user", "parts": _parts(items)}]
    return [_item(one) for one in _list(items) if isinstance(one, Mapping)]


def _item(one: Mapping[str, Any]) -> Message:
    kind, id = one.get("type", "message"), one.get("call_id")
    if kind == "message":
        return _message(one)
    if kind == "function_call":
        part = _call(id, one.get("name"), one.get("arguments"))
        return {"role": "assistant", "parts": [part]}
    if kind == "function_call_output":
        return {"role": "tool", "parts": [_response(id, {"content": one.get("output")})]}
    if kind == "reasoning":
        summary = [p for p in _list(one.get("summary")) if isinstance(p, Mapping)]
        texts = [_word(part.get("text")) for part in summary]
        return {"role": "assistant", "parts": [_reasoning("\n".join(texts))] if texts else []}
    return {"role": "assistant", "parts": [{"type": _word(kind)}]}


def _ended(message: Message, finish: Any) -> Message:
    word = _word(finish)[:WORD_LIMIT]
    return {**message, "finish_reason": _FINISHES.get(word, word)}


def _objects(data: bytes) -> list[Any]:
    """A whole answer, or the data of each event of a stream."""
    if data.lstrip()[:1] == b"{":
        return [_decoded(data)]
    return list(_events(data))


def _events(data: bytes) -> Iterator[Any]:
    try:
        for event in EventSplitter().feed(data):
            found = data_of(event)
            if found is not None and found != b"[DONE]":
                yield _decoded(found)
    except EventTooLarge:
        return


def _decoded(data: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any, default: int = 0) -> int:
    return value if isinstance(value, int) else default


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""Requests for an answer that fits a JSON schema, in each client's dialect: read, put into words
for a model that knows no schemas, and asked once more. And what an answer said. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from headrace.nouns import Operation
from headrace.platform.http.sse import EventSplitter, EventTooLarge, data_of
from headrace.services.openai_wire import Members, members_of, written

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_lists = msgspec.json.Decoder(list[Raw])
_FORMS = ("response_format", "output_format")
_HOLDERS = ("output_config", "text")
"""Where a dialect has its form as the member `format`."""
_SHORT_CHARACTERS = 20_000
"""Of an answer that did not fit, this much is shown to the model again."""
_KINDS = (Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES)


def schema_of(operation: Operation, body: bytes) -> Any:
    """The schema that the answer has to fit; None if the request asks for none."""
    if operation not in _KINDS or b"json_schema" not in body:
        return None
    try:
        members = members_of(body)
        forms = [_decode(members[name]) for name in _FORMS if name in members]
        for name in _HOLDERS:
            holder = _decode(members[name]) if name in members else None
            if isinstance(holder, dict):
                forms.append(holder.get("format"))
    except (msgspec.MsgspecError, RecursionError):
        return None
    for form in forms:
        if isinstance(form, dict) and form.get("type") == "json_schema":
            named = form.get("json_schema", form)
            return named.get("schema") if isinstance(named, dict) else None
    return None


def in_words(operation: Operation, body: bytes) -> bytes:
    """The same request for a model that is asked in words to keep to the schema."""
    schema = schema_of(operation, body)
    if schema is None:
        return body
    members = members_of(body)
    for name in _FORMS:
        members.pop(name, None)
    for name in _HOLDERS:
        holder = _decode(members.pop(name, Raw(b"null")))
        if isinstance(holder, dict):
            holder.pop("format", None)
            if holder:
                members[name] = Raw(_encode(holder))
    words = (
        "Answer with one JSON value that fits the JSON Schema below, and with nothing else: no "
        f"prose, no code fences.\n{_encode(schema).decode()}"
    )
    if operation is Operation.CHAT:
        said = _encode({"role": "system", "content": words})
        members["messages"] = Raw(_encode([Raw(said), *_lists.decode(members["messages"])]))
    else:
        name = "system" if operation is Operation.MESSAGES else "instructions"
        members[name] = Raw(_encode(_added(_decode(members.get(name, Raw(b"null"))), words)))
    return written(members)


def _added(system: Any, words: str) -> Any:
    if isinstance(system, list):
        return [*system, {"type": "text", "text": words}]
    return f"{system}\n\n{words}" if system else words


def again(operation: Operation, body: bytes, text: str, faults: Sequence[str]) -> bytes:
    """The request, with the answer that does not fit and what is wrong with it."""
    members = members_of(body)
    asked = (
        "That answer does not fit the JSON schema. "
        + " ".join(faults)
        + " Answer again with the corrected JSON value and nothing else."
    )
    turns = [
        {"role": "assistant", "content": text[:_SHORT_CHARACTERS] or "(nothing)"},
        {"role": "user", "content": asked},
    ]
    name = "input" if operation is Operation.RESPONSES else "messages"
    before = _items(members, name)
    members[name] = Raw(_encode([*before, *turns]))
    return written(members)


def _items(members: Members, name: str) -> list[Any]:
    given = members[name]
    if bytes(given).startswith(b"["):
        return list(_lists.decode(given))
    return [{"role": "user", "content": _decode(given)}]


class Said(Struct):
    """The texts of an answer's choices."""

    texts: list[str]


def said(operation: Operation, body: bytes | None, events: Sequence[bytes]) -> Said | None:
    """What an answer said, a whole `body` or the `events` of a stream. None if it need not fit, for
    it calls tools, refuses, or was cut off by a limit, which its finish reason tells; or if it is
    in no form that is known."""
    try:
        whole = _gathered(operation, _events(events)) if body is None else _decode(body)
        match operation:
            case Operation.CHAT:
                return _of_chat(whole)
            case Operation.MESSAGES:
                return _of_message(whole)
            case _:
                return _of_response(whole)
    except (msgspec.MsgspecError, EventTooLarge, RecursionError, LookupError, TypeError):
        return None


def _of_chat(whole: Any) -> Said | None:
    texts = []
    for choice in whole["choices"]:
        message = choice["message"]
        if choice.get("finish_reason") != "stop" or message.get("refusal"):
            return None
        texts.append(message.get("content") or "")
    return Said(texts)


def _of_message(whole: Any) -> Said | None:
    if whole.get("stop_reason") not in ("end_turn", "stop_sequence"):
        return None
    parts = [block["text"] for block in whole["content"] if block["type"] == "text"]
    return Said(["".join(parts)])


def _of_response(whole: Any) -> Said | None:
    if whole.get("status") != "completed":
        return None
    texts = []
    for item in whole["output"]:
        if item["type"] == "message":
            if any(part["type"] == "refusal" for part in item["content"]):
                return None
            texts += [part["text"] for part in item["content"] if part["type"] == "output_text"]
        elif item["type"] != "reasoning":
            return None
    return Said(["".join(texts)])


def _events(events: Sequence[bytes]) -> Iterator[Any]:
    for event in EventSplitter().feed(b"".join(events)):
        data = data_of(event)
        if data is not None and data != b"[DONE]":
            yield _decode(data)


def _gathered(operation: Operation, events: Iterator[Any]) -> Any:
    """As much of the whole answer as `said` looks at."""
    if operation is Operation.RESPONSES:
        return [event for event in events if event.get("type") == "response.completed"][-1][
            "response"
        ]
    if operation is Operation.MESSAGES:
        texts, reason = [], None
        for event in events:
            delta = event.get("delta") or {}
            texts.append(delta.get("text") or "")
            reason = delta.get("stop_reason") or reason
        content = [{"type": "text", "text": "".join(texts)}]
        return {"stop_reason": reason, "content": content}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        for part in event.get("choices") or ():
            message = {"content": "", "refusal": ""}
            kept = choices.setdefault(part.get("index", 0), {"message": message})
            delta = part.get("delta") or {}
            for name in message:
                kept["message"][name] += delta.get(name) or ""
            kept["finish_reason"] = part.get("finish_reason") or kept.get("finish_reason")
    return {"choices": list(choices.values())}

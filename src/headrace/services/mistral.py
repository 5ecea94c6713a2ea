"""Mistral: OpenAI's API with names and forms of its own.

https://docs.mistral.ai/api/#tag/chat. It refuses what it does not know, so that only what its page
lists goes up: `seed` as `random_seed`, `max_completion_tokens` as `max_tokens`, the role
`developer` as `system`, files as `document_url`, thinking as a part of the content, ids of calls in
its nine letters and digits. Cannot express: `logit_bias`, end users, service tiers, stored files,
cache marks, OpenAI's audio and web search. Usage comes unasked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from headrace.nouns import Call, Operation
from headrace.services import openai_wire
from headrace.services.dialects.objects import list_of, object_of, rest
from headrace.services.dialects.omissions import Omissions
from headrace.services.openai_like import OpenAILikeService
from headrace.services.service import BadAnswer, EventRead, StreamReader, WholeRead

_MEMBERS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
_OWN_FORM = re.compile(rb'"content"\s*:\s*\[|"finish_reason"\s*:\s*"(?:model_length|error)"')
_ID = re.compile(r"[a-zA-Z0-9]{9}\Z")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_objects = msgspec.json.Decoder(dict[str, Any])
_values = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class MistralService(OpenAILikeService):
    """One base URL."""

    whose = "Mistral's API"
    asks_for_usage = False
    taken: Mapping[Operation, frozenset[str]] = MappingProxyType(
        {
            Operation.CHAT: frozenset(
                {
                    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop",
                    "random_seed", "metadata", "response_format", "tools", "tool_choice",
                    "presence_penalty", "frequency_penalty", "min_tokens", "repetition_penalty",
                    "top_k", "logprobs", "top_logprobs", "n", "prediction", "parallel_tool_calls",
                    "reasoning_effort", "prompt_mode", "guardrails", "safe_prompt",
                    "stream_options",
                }
            ),
            Operation.EMBEDDINGS: frozenset(
                {"model", "input", "encoding_format", "output_dimension", "output_dtype",
                 "metadata"}
            ),
        }
    )  # fmt: skip
    renamed: Mapping[str, str] = MappingProxyType(
        {
            "seed": "random_seed",
            "max_completion_tokens": "max_tokens",
            "dimensions": "output_dimension",
        }
    )

    def serves(self, operation: Operation) -> bool:
        return operation in self.taken and super().serves(operation)

    def _fitted(
        self, members: openai_wire.Members, call: Call, lost: Omissions
    ) -> openai_wire.Members:
        fitted = super()._fitted(members, call, lost)
        if call.operation is Operation.CHAT and "messages" in fitted:
            messages = list_of(_values.decode(fitted["messages"]), "messages")
            for i, message in enumerate(messages):
                where = f"messages[{i}]"
                _fit(object_of(message, where), where, lost)
            fitted["messages"] = Raw(_encode(messages))
        return fitted

    def stream_reader(self, call: Call) -> StreamReader:
        return MistralStreamReader(hide_usage=not call.wants_usage)

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        plain = self.plain(body)
        read = openai_wire.read_whole(call, plain)
        return read if plain is body else replace(read, body=plain)

    def plain(self, data: bytes) -> bytes:
        return in_openais_form(data)


class MistralStreamReader(openai_wire.OpenAIStreamReader):
    """Reads the events of a chat; few have a form of Mistral's own."""

    __slots__ = ()

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """Raises BadAnswer."""
        if data is not None:
            plain = in_openais_form(data)
            if plain is not data:
                return super().read(b"data: %b\n\n" % plain, plain)
        return super().read(event, data)


def in_openais_form(data: bytes) -> bytes:
    """An answer or an event's data; the same bytes where nothing is of Mistral's own. Raises
    BadAnswer."""
    if _OWN_FORM.search(data) is None:
        return data
    try:
        members = _objects.decode(data)
        for choice in members.get("choices") or ():
            if choice.get("finish_reason") == "error":
                raise BadAnswer("the model broke off: finish_reason is error")
            if choice.get("finish_reason") == "model_length":
                choice["finish_reason"] = "length"
            for message in (choice.get("delta"), choice.get("message")):
                if isinstance(message, dict) and isinstance(message.get("content"), list):
                    _flatten(message)
    except (msgspec.MsgspecError, RecursionError, AttributeError, TypeError) as error:
        raise BadAnswer(f"not an answer: {error}") from error
    return _encode(members)


def _flatten(message: dict[str, Any]) -> None:
    texts: list[str] = []
    thoughts: list[str] = []
    for part in message["content"]:
        if part.get("type") == "thinking":
            thoughts += [inner.get("text") or "" for inner in part.get("thinking") or ()]
        elif part.get("type") == "text":
            texts.append(part.get("text") or "")
        else:
            raise BadAnswer(f"a part of a kind that OpenAI's chats do not have: {part!r:.100}")
    message["content"] = "".join(texts)
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)


def _fit(message: dict[str, Any], where: str, lost: Omissions) -> None:
    """Puts a message into Mistral's form. Raises Refused."""
    if message.get("role") == "developer":
        message["role"] = "system"
    thought = _thought(message)
    refusal = message.pop("refusal", None)
    if refusal and not message.get("content"):
        message["content"] = refusal
    taken = _MEMBERS.get(str(message.get("role")), {"role", "content"})
    others = {name: message.pop(name) for name in message.keys() - taken}
    for name in rest(others, f"{where}."):
        lost.lose(name)
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = [_part(part, f"{where}.content", lost) for part in content]
        message["content"] = [part for part in message["content"] if part is not None]
    if thought:
        said = message.get("content") or []
        said = [{"type": "text", "text": said}] if isinstance(said, str) else said
        inner = [{"type": "text", "text": thought}]
        message["content"] = [{"type": "thinking", "thinking": inner}, *said]
    for call in message.get("tool_calls") or ():
        if isinstance(call, dict) and isinstance(call.get("id"), str):
            call["id"] = own_id(call["id"])
    if isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = own_id(message["tool_call_id"])


def _thought(message: dict[str, Any]) -> str:
    """The text of what the model thought; its signatures are other providers'."""
    text = message.pop("reasoning_content", None)
    blocks = message.pop("thinking_blocks", None) or ()
    if isinstance(text, str) and text:
        return text
    return "".join(b.get("thinking") or "" for b in blocks if isinstance(b, dict))


def _part(part: Any, where: str, lost: Omissions) -> Any:
    if not isinstance(part, dict):
        return part
    if part.pop("cache_control", None) is not None:
        lost.lose(f"{where}.cache_control")
    if part.get("type") != "file":
        return part
    file = object_of(part.get("file"), f"{where}.file")
    data = file.get("file_data")
    if not isinstance(data, str):
        lost.lose(f"{where}.file_id", "Send the file's bytes.")
        return None
    made = {"type": "document_url", "document_url": data}
    if file.get("filename") is not None:
        made["document_name"] = file["filename"]
    return made


def own_id(id: str) -> str:
    """An id as Mistral takes it, the same for the same id each time."""
    if _ID.match(id):
        return id
    number = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big")
    letters = []
    for _ in range(9):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return "".join(letters)

"""What a client got of a chat's stream, and how another backend is asked to go on with it. Pure.

OpenAI's wire format (https://platform.openai.com/docs/api-reference/chat-streaming). The text so
far is sent as the last message, of the assistant. Whether a model takes it as the beginning of its
answer is the provider's business: see docs/reliability.md.

Text is kept as it stands in the JSON, escapes and all, and never decoded on the way.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from headrace.nouns import Usage
from headrace.platform.http.sse import EventSplitter, data_of
from headrace.services.counts import Count
from headrace.services.service import BadAnswer

TEXT_LIMIT_BYTES = 1024 * 1024
"""A longer text is not continued."""
_EVENT_LIMIT_BYTES = 4 * 1024 * 1024
_NOTHING = frozenset({b"", b"null", b'""', b"[]", b"{}", b"false", b"0"})
_OTHER_THAN_TEXT = (
    "tools", "functions", "tool_choice", "function_call", "logprobs", "top_logprobs", "audio",
    "web_search_options",
)  # fmt: skip
_AS_TEXT = {"response_format": {"type": "text"}, "modalities": ["text"], "n": 1}
"""Members that may only say what goes without saying."""
_SAME = ("id", "created", "model")
_LIMITS = ("max_tokens", "max_completion_tokens")
_PREFIX_FLAG = frozenset({"mistral", "deepseek"})
"""Providers that take a last message of the assistant as a beginning only with `prefix: true`
(https://docs.mistral.ai/api, https://api-docs.deepseek.com/guides/chat_prefix_completion)."""

Members = dict[str, Raw]


class _Message(Struct):
    role: str | None = None


class _Choice(Struct):
    index: int = 0
    delta: Members | None = None
    finish_reason: Raw = Raw(b"")
    logprobs: Raw = Raw(b"")


class _Usage(Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class _Chunk(Struct):
    id: Raw = Raw(b"")
    created: Raw = Raw(b"")
    model: Raw = Raw(b"")
    choices: list[_Choice] | None = None


_chunks = msgspec.json.Decoder(_Chunk)
_usages = msgspec.json.Decoder(_Usage, strict=False)
_objects = msgspec.json.Decoder(Members)
_lists = msgspec.json.Decoder(list[Raw])
_choices = msgspec.json.Decoder(list[Members])
_messages = msgspec.json.Decoder(_Message)
_strings = msgspec.json.Decoder(str)
_values = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def is_plain(body: bytes) -> bool:
    """Whether a chat asks for one text and nothing else, and ends with another's words than the
    assistant's."""
    try:
        members = _objects.decode(body)
        messages = _lists.decode(members["messages"])
        if not messages or _messages.decode(messages[-1]).role == "assistant":
            return False
        if any(_says(members.get(name)) for name in _OTHER_THAN_TEXT):
            return False
        return all(
            _values.decode(members[name]) in (None, plain)
            for name, plain in _AS_TEXT.items()
            if name in members
        )
    except (msgspec.MsgspecError, RecursionError, KeyError):
        return False


def request(body: bytes, text: str, provider: str, tokens: int) -> bytes:
    """The chat that asks to go on after `text`, which took about so many tokens."""
    members = _objects.decode(body)
    messages = _lists.decode(members["messages"])
    said: dict[str, Any] = {"role": "assistant", "content": text}
    if provider in _PREFIX_FLAG:
        said["prefix"] = True
    members["messages"] = Raw(_encode([*messages, Raw(_encode(said))]))
    for name in _LIMITS:
        limit = _values.decode(members[name]) if name in members else None
        if isinstance(limit, int):
            members[name] = Raw(_encode(max(1, limit - tokens)))
    return _encode(members)


class Transcript:
    """Reads what goes to the client, and makes of another answer's events the same answer's."""

    __slots__ = ("_beside", "_bytes", "_head", "_parts", "_plain", "finished")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0
        self._head: Members = {}
        self._plain = True
        self._beside: Usage | None = None
        self.finished = False
        """There is a finish reason: nothing can follow."""

    def text(self) -> str | None:
        """All of it so far, None if it cannot be continued: it is finished, has no text, has other
        things beside text, or ends within a character."""
        if self.finished or not self._plain or not self._parts:
            return None
        try:
            return _strings.decode(b'"%b"' % b"".join(self._parts))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def continued(self, beside: Usage) -> None:
        """From here on, events are another answer's. `beside` is what was used before."""
        self._beside = beside

    def read(self, events: bytes) -> None:
        """Whole events, as they go to the client."""
        for _, data in _pairs(events):
            if data is not None and data != b"[DONE]":
                self._read(data)

    def rewritten(self, events: bytes) -> bytes:
        """Whole events of the answer that goes on, with the identity and the usage of the one that
        began. Raises BadAnswer."""
        out = []
        for event, data in _pairs(events):
            if data is None or data == b"[DONE]":
                out.append(event)
                continue
            try:
                data = self._rewritten(data)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise BadAnswer(f"not an event of a chat: {error}") from error
            if data:
                self._read(data)
                out.append(b"data: %b\n\n" % data)
        return b"".join(out)

    def _read(self, data: bytes) -> None:
        try:
            chunk = _chunks.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            self._plain = False
            return
        for choice in chunk.choices or ():
            if not self._head:
                self._head = {n: raw for n in _SAME if (raw := getattr(chunk, n))}
            if _says(choice.finish_reason):
                self.finished = True
            delta = choice.delta or {}
            content = bytes(delta.get("content", b""))
            if content.startswith(b'"'):
                self._keep(content[1:-1])
            elif _says(delta.get("content")):
                self._plain = False
            if (
                choice.index
                or _says(choice.logprobs)
                or any(_says(raw) for n, raw in delta.items() if n not in ("role", "content"))
            ):
                self._plain = False

    def _keep(self, text: bytes) -> None:
        self._bytes += len(text)
        if self._bytes > TEXT_LIMIT_BYTES:
            self._plain = False
            self._parts.clear()
        elif text and self._plain:
            self._parts.append(text)

    def _rewritten(self, data: bytes) -> bytes:
        """b"" for an event that does nothing but begin an answer."""
        members = _objects.decode(data)
        members.update(self._head)
        usage = members.get("usage")
        if usage is not None and _says(usage):
            members["usage"] = self._with_beside(usage)
        choices = _choices.decode(members.get("choices", b"[]"))
        kept = [choice for choice in choices if _goes_on(choice)]
        if choices and not kept and not _says(usage):
            return b""
        members["choices"] = Raw(_encode(kept))
        return _encode(members)

    def _with_beside(self, raw: Raw) -> Raw:
        beside = self._beside
        try:
            told = _usages.decode(raw)
        except msgspec.MsgspecError:  # no answer can have it, and nothing can be added to it
            return raw
        if beside is None:
            return raw
        asked = (told.prompt_tokens or 0) + beside.input_tokens
        said = (told.completion_tokens or 0) + beside.output_tokens
        sums = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        usage = _objects.decode(raw)
        usage.update({name: Raw(_encode(count)) for name, count in sums.items()})
        return Raw(_encode(usage))


def _goes_on(choice: Members) -> bool:
    """Takes the role out of the choice's delta. False if nothing is left to be said."""
    raw = choice.get("delta")
    delta = _objects.decode(raw) if raw is not None and _says(raw) else {}
    if delta.pop("role", None) is not None:
        choice["delta"] = Raw(_encode(delta))
    return _says(choice.get("finish_reason")) or any(_says(raw) for raw in delta.values())


def _says(raw: Raw | None) -> bool:
    return raw is not None and bytes(raw) not in _NOTHING


def _pairs(events: bytes) -> list[tuple[bytes, bytes | None]]:
    """Each event with its data. The last one is whole, whatever its line ends."""
    splitter = EventSplitter(_EVENT_LIMIT_BYTES)
    pairs = splitter.pairs(events)
    if splitter.rest:
        pairs.append((splitter.rest, data_of(splitter.rest)))
    return pairs

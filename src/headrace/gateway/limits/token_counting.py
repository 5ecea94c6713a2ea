"""The prompt's size, counted where that was asked for and the vocabulary is known.

quicktok comes with OpenAI's vocabularies, so nothing is fetched. It was chosen over bpe-openai for
its size (8 MB against 75), its memory (60 MB against 150) and its speed (30 us for 1 KB against
105); see docs/limits.md.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from headrace.errors import Setup, install_extra
from headrace.gateway.limits.prompt_size import PromptSize, parts_of, prompt_size
from headrace.nouns import Call

_NEW = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4")
_OLD = ("gpt-4", "gpt-3.5", "gpt-35", "text-embedding-")
PER_MESSAGE = 4
"""Tokens that OpenAI adds for each message's role and ends, at most
(https://github.com/openai/openai-cookbook, "How to count tokens with tiktoken")."""
PER_CALL = 3
COUNTED_BYTES = 256 * 1024
"""Longer prompts are estimated: counting would hold up other calls for more than 10 ms."""
MARGIN = 1.1
"""Over the count, for a bound: of tools and formats OpenAI makes other text than the body has."""
_decode = msgspec.json.Decoder().decode


class Encoding(Protocol):
    """Of a vocabulary."""

    def count(self, text: str) -> int: ...


class ExactCounter:
    """Counts for OpenAI's models, estimates for others."""

    def __init__(self) -> None:
        """Takes a second or two. Raises Setup if the extra is not installed."""
        try:
            import quicktok
        except ImportError as fault:
            raise Setup(
                f"`counting: {{tokens: exact}}` needs the package quicktok-v1: {fault}.",
                install_extra("tokens"),
            ) from None
        self._new: Encoding = quicktok.get_encoding("o200k_base")
        self._old: Encoding = quicktok.get_encoding("cl100k_base")

    def prompt_size(self, call: Call, model: str) -> PromptSize:
        """`model` is the provider's name for it."""
        encoding = self._encoding(model)
        estimate = prompt_size(call.body)
        if encoding is None or len(call.body) > COUNTED_BYTES:
            return estimate
        try:
            members = _decode(call.body)
        except (msgspec.MsgspecError, RecursionError):
            return estimate
        count = _count(members, encoding)
        if count is None:
            return estimate
        parts = parts_of(members)
        likely = count + parts.likely
        return PromptSize(likely, min(estimate.most, int(count * MARGIN) + parts.most))

    def _encoding(self, model: str) -> Encoding | None:
        name = model.rpartition("/")[2].removeprefix("ft:")
        if name.startswith(_NEW):
            return self._new
        return self._old if name.startswith(_OLD) else None


def _count(members: Any, encoding: Encoding) -> int | None:
    """Tokens of all text in a body; None if it has lists of tokens instead."""
    if not isinstance(members, dict):
        return None
    total = PER_CALL
    for name in ("tools", "functions", "response_format", "text"):
        if members.get(name):
            total += encoding.count(msgspec.json.encode(members[name]).decode())
    messages = members.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            total += PER_MESSAGE + sum(encoding.count(text) for text in _texts(message))
    for name in ("prompt", "input", "instructions"):
        texts = members.get(name)
        for text in texts if isinstance(texts, list) else (texts,):
            if isinstance(text, str):
                total += encoding.count(text)
            elif text is not None:
                return None
    return total


def _texts(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    texts = [content] if isinstance(content, str) else []
    texts += [
        part["text"]
        for part in (content if isinstance(content, list) else ())
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    if isinstance(message.get("name"), str):
        texts.append(message["name"])
    if message.get("tool_calls"):
        texts.append(msgspec.json.encode(message["tool_calls"]).decode())
    return texts

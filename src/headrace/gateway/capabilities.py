"""What a request needs of the model that answers it: vision, tools, answers that fit a schema.

Pure. Read only for models of which a backend is known to lack something.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct

from headrace.config.terms import Capability
from headrace.errors import Reason, Refused
from headrace.nouns import NO_MEMBER, Call, Operation

Needs = frozenset[Capability]
ALL: Needs = frozenset(("vision", "tools", "json_schema"))
NOTHING: Needs = frozenset()


class _Form(Struct, gc=False):
    type: str = ""


class _Said(Struct, gc=False):
    """`format` is where the Responses API and Anthropic's have it."""

    format: _Form | None = None


class _Body(Struct, gc=False):
    """Members of all dialects; each body has those of its own."""

    tools: Raw = NO_MEMBER
    functions: Raw = NO_MEMBER
    messages: Raw = NO_MEMBER
    input: Raw = NO_MEMBER
    response_format: _Form | None = None
    output_format: _Form | None = None
    output_config: _Said | None = None
    text: _Said | None = None

    @property
    def has_schema(self) -> bool:
        forms = [self.response_format, self.output_format]
        forms += [said.format for said in (self.output_config, self.text) if said is not None]
        return any(form is not None and form.type == "json_schema" for form in forms)


class _Part(Struct, gc=False):
    """A message, an item or a part of either: what it is, and where more parts are."""

    type: str = ""
    content: Raw = NO_MEMBER
    output: Raw = NO_MEMBER


_bodies = msgspec.json.Decoder(_Body)
_parts = msgspec.json.Decoder(list[_Part])
_lists = msgspec.json.Decoder(list[Raw])
_IMAGES = frozenset(("image_url", "input_image", "image"))
"""OpenAI's chats, its responses, Anthropic's messages."""
_BRACKET = ord("[")
_CHATS = frozenset((Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES))


def needs(operation: Operation, body: bytes) -> Needs:
    """Of a client's request, in its own dialect. What is not as the dialect has it needs
    nothing: who answers it says what is wrong."""
    if operation not in _CHATS:
        return NOTHING
    found: set[Capability] = set()
    try:
        asked = _bodies.decode(body)
        if _is_list(asked.tools) or _is_list(asked.functions):
            found.add("tools")
        if asked.has_schema:
            found.add("json_schema")
        if _has_image(asked.messages) or _has_image(asked.input):
            found.add("vision")
    except (msgspec.MsgspecError, RecursionError):
        pass
    return frozenset(found)


def _is_list(value: Raw) -> bool:
    """There is something in it."""
    return _begins_list(value) and bool(_lists.decode(value))


def _begins_list(value: Raw) -> bool:
    """Without a copy of it, and without a search through it: that takes longer than a parse."""
    return bool(value) and memoryview(value)[0] == _BRACKET


def _has_image(value: Raw) -> bool:
    """Among parts, and parts of parts: results of tools may be images."""
    if not _begins_list(value):
        return False
    return any(
        part.type in _IMAGES or _has_image(part.content) or _has_image(part.output)
        for part in _parts.decode(value)
    )


_WORDS: Mapping[Capability, tuple[str, str]] = MappingProxyType(
    {
        "vision": ("read images (vision)", "messages"),
        "tools": ("call tools", "tools"),
        "json_schema": ("keep to a JSON schema (json_schema)", "response_format"),
    }
)
_MOST_NAMED = 12


def lacking(call: Call, needed: Needs, has: Collection[Needs], others: Sequence[str]) -> Refused:
    """The refusal of a call that no backend of its model is able to answer. `has` is what each of
    them has, `others` are models that can answer it."""
    missing = [word for word in _WORDS if word in needed and not any(word in one for one in has)]
    told = missing or [word for word in _WORDS if word in needed]
    detail = (
        f"This request needs a model that can {' and '.join(_WORDS[word][0] for word in told)}, "
        f"which no backend of {call.model[:64]!r} can. "
    )
    if others:
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        detail += f"Models that can: {', '.join(others[:_MOST_NAMED])}{more}."
    else:
        detail += "Nor can any other model that you may use."
    in_chat = call.operation is Operation.CHAT or told[0] == "tools"
    return Refused(Reason.CAPABILITY_MISSING, detail, param=_WORDS[told[0]][1] if in_chat else None)

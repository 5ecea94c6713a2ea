"""JSON that came of a service: what can be read of it, else BadAnswer."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from headrace.services.service import BadAnswer

NULL = b"null"
T = TypeVar("T")


class _Any(Struct, gc=False):
    """An object of which nothing matters."""


ANYTHING = msgspec.json.Decoder(_Any)
"""For what only has to be a JSON object."""
_objects = msgspec.json.Decoder(dict[str, Any])


def answer_of(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A whole answer. Raises BadAnswer."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadAnswer(f"not an answer: {error}") from error


def event_of(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """An event's data. Raises BadAnswer."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadAnswer(f"not an event: {error}") from error


def arguments_of(text: str | None) -> dict[str, Any]:
    """What a tool is called with; "" and None stand for {}. Raises BadAnswer."""
    try:
        return _objects.decode(text or "{}")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadAnswer(f"a tool's arguments are no JSON object: {error}") from error


def present(raw: Raw) -> bool:
    """Whether a member is there and not null."""
    return bool(raw) and bytes(raw) != NULL

"""What an upstream says that it used, as far as that can be.

Counts that no answer can have (negative, or beyond `MOST_TOKENS`) do not fit the types here: the
decoder itself refuses them, and the answer is read once more without its usage, as if the upstream
had told none. What the client gets stays as it came.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from headrace.nouns import MOST_TOKENS, Call
from headrace.services.answer_json import present
from headrace.services.service import BadAnswer, EventRead, Service, StreamReader, WholeRead

Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
"""Of tokens."""
Amount = Annotated[float, Meta(ge=0, le=MOST_TOKENS)]
"""Of what some providers count in numbers that need not be whole."""
Seconds = Annotated[float, Meta(ge=0, le=MOST_TOKENS / 1000)]
"""Of sound, which is counted in milliseconds."""

_USAGES: Final = ("usage", "usageMetadata", "meta", "duration")
"""Members that tell it, in any provider's words."""
_AROUND: Final = ("response", "message", "delta")
"""Members of events that may hold one of those."""
_NULL: Final = Raw(b"null")
_objects = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def without_usage(answer: bytes) -> bytes | None:
    """An answer, or an event's data, with null for its usage; None if it tells none."""
    members = _members(answer)
    if members is None:
        return None
    found = _take_out(members)
    for name in _AROUND:
        inner = _members(members.get(name, b""))
        if inner is not None and _take_out(inner):
            members[name] = Raw(_encode(inner))
            found = True
    return _encode(members) if found else None


def whole_without_usage(service: Service, call: Call, body: bytes, error: BadAnswer) -> WholeRead:
    """A whole answer that could not be read, as if it told no usage. Raises BadAnswer, `error` if
    it tells none."""
    without = without_usage(body)
    if without is None:
        raise error
    return replace(service.read_whole(call, without), doubted=True)


def event_without_usage(
    reader: StreamReader, event: bytes, data: bytes | None, error: BadAnswer
) -> EventRead:
    """The same of an event."""
    without = None if data is None else without_usage(data)
    if without is None:
        raise error
    return replace(reader.read(event, without), special=True, doubted=True)


def _members(raw: bytes | Raw) -> dict[str, Raw] | None:
    try:
        return _objects.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _take_out(members: dict[str, Raw]) -> bool:
    found = [name for name in _USAGES if name in members and present(members[name])]
    members.update(dict.fromkeys(found, _NULL))
    return bool(found)

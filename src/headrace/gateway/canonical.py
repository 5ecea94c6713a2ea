"""When two requests ask the same: a body in one canonical form, and its digest.

Costs about as much as reading the body once more; nothing calls it unless a feature that shares
answers is on and the call may use it.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from headrace.nouns import Call, Operation
from headrace.services.anthropic import features_of

FORM = frozenset({"stream", "stream_options"})
"""How the answer comes, not what it says."""
UNASKED = frozenset({"model", "user", "safety_identifier", "prompt_cache_key", "metadata"})
"""Who asks, and marks for the provider's own records; the model's name counts as the call has
it, since Azure's dialect puts it into the path."""

BODY_LIMIT_BYTES = 1024 * 1024
"""A longer body equals no other: to find out would hold up the other calls."""

_LEFT_OUT = FORM | UNASKED
_encode = msgspec.json.Encoder(order="sorted").encode
_encode_as_it_came = msgspec.json.Encoder().encode


class Canonical(NamedTuple):
    """A body's members that matter for the answer."""

    members: dict[str, Any]
    text: bytes
    """JSON, without blanks, with sorted names."""


def canonical(body: bytes) -> Canonical | None:
    """None if the body is no object or can be read in two ways (a name that stands twice, a
    number that JSON readers differ on): such a request equals no other."""
    if len(body) > BODY_LIMIT_BYTES:
        return None
    try:
        members = msgspec.json.decode(body)
        if not isinstance(members, dict):
            return None
        # Most clients write as we do: what comes out as it went in has no name twice.
        plain = _encode_as_it_came(members) == body
        left_out = {n: members.pop(n) for n in _LEFT_OUT if n in members}
        text = _encode(members)
        if not plain and _names(text) + _names(_encode(left_out)) != _names(body):
            return None
    except (msgspec.MsgspecError, RecursionError, OverflowError, ValueError):
        return None
    return Canonical(members, text)


def of_call(call: Call) -> Canonical | None:
    """None also for a request for a response that is kept, or that follows on one that was: its
    answer is part of a conversation."""
    read = canonical(call.body)
    if read is None or (call.operation is Operation.RESPONSES and not _is_alone(read.members)):
        return None
    if call.backend is not None:
        return None
    return read


def digest(call: Call, read: Canonical, scope: str = "") -> bytes:
    """SHA-256 of what decides the answer. `scope` names what else may: the version of the
    policies that the call goes through. The tenant is not in it: whoever keeps answers keeps
    tenants apart."""
    total = hashlib.sha256()
    regions = call.caller.regions
    bound = () if regions is None else ("regions", *sorted(regions))  # from nowhere else
    for part in (scope, call.operation.value, call.model, *bound):
        data = part.encode("utf-8", "surrogatepass")
        total.update(b"%d:%b" % (len(data), data))
    total.update(features(call))
    total.update(read.text)
    return total.digest()


def _is_alone(members: dict[str, Any]) -> bool:
    """Whether a request for a response asks for one that nobody keeps and that follows on none.
    The API keeps them where nothing is said."""
    return members.get("store") is False and not members.get("previous_response_id")


def features(call: Call) -> bytes:
    """What beside the body decides what a call asks for."""
    return features_of(call) if call.operation is Operation.MESSAGES else b""


def _names(text: bytes) -> int:
    """Members of all objects in a JSON text: each has one colon outside of strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return sum(part.count(b":") for part in text.split(b'"')[::2])

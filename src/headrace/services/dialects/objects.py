"""Reading JSON objects member by member, so that none is overlooked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.errors import Reason, Refused

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def object_of(value: Any, where: str) -> dict[str, Any]:
    """Raises Refused(BAD_REQUEST)."""
    if not isinstance(value, dict):
        raise wrong(where, "an object")
    return value


def list_of(value: Any, where: str) -> list[Any]:
    """Raises Refused(BAD_REQUEST)."""
    if not isinstance(value, list):
        raise wrong(where, "a list")
    return value


def text_of(value: Any, where: str) -> str:
    """Raises Refused(BAD_REQUEST)."""
    if not isinstance(value, str):
        raise wrong(where, "a string")
    return value


def parsed(text: Any, where: str) -> dict[str, Any]:
    """An object in JSON text; "" stands for {}. Raises Refused(BAD_REQUEST)."""
    try:
        value = _decode(text_of(text, where) or "{}")
    except (msgspec.MsgspecError, RecursionError):
        raise wrong(where, "the JSON text of an object") from None
    return object_of(value, where)


def unparsed(value: Any) -> str:
    """JSON text."""
    return _encode(value).decode()


def rest(members: dict[str, Any], where: str = "") -> list[str]:
    """Names of the members that are left and say something."""
    return [where + name for name, value in members.items() if value is not None and value != []]


def unknown(part: dict[str, Any], known: Mapping[str, set[str]], where: str) -> list[str]:
    """Names of a part's members that its kind is not known to have and that say something."""
    kind = part.get("type")
    members = known.get(kind) if isinstance(kind, str) else None
    if members is None or part.keys() - members == {"type"}:
        return []
    others = {n: v for n, v in part.items() if n not in members and n != "type"}
    return rest(others, f"{where}.")


def given(**members: Any) -> dict[str, Any]:
    """An object of the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def wrong(where: str, kind: str) -> Refused:
    shown = "".join(c if c.isprintable() and c.isascii() else "?" for c in where)[:100]
    return Refused(Reason.BAD_REQUEST, f"{shown!r} must be {kind}.", param=shown)

"""What is asked for, checked against the form that its route has for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.edge.admin.amounts import with_texts
from headrace.edge.admin.route import Route
from headrace.edge.admin.unfit import unfit


class Refusal(Exception):  # noqa: N818
    """Refused before anything is asked of the registry."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param


def query_of(values: Mapping[str, str], route: Route) -> Any:
    """Raises Refusal."""
    if route.query is None:
        if values:
            raise Refusal(400, "invalid_request", "There is nothing to ask for behind a `?` here.")
        return None
    _check_texts(values)
    try:
        query = msgspec.convert(values, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, route.query, "query") from error
    for name in values:
        if getattr(query, name) is None:  # texts are read as what they may stand for: `null` too
            raise Refusal(400, "invalid_request", f"`{name}` cannot be null: leave it out.")
    return query


def body_of(data: bytes, route: Route) -> Any:
    """Of JSON, for a route that takes a body. Raises Refusal."""
    form = route.body
    assert form is not None
    try:
        wish = msgspec.json.decode(with_texts(data), type=form)
        _check_texts(msgspec.json.decode(data))
        _check_names(data)
    except msgspec.ValidationError as error:
        raise _invalid(error, form, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "invalid_json", "The body is not JSON.") from error
    return wish


def _check_texts(value: object) -> None:
    """No control character, which a pattern's `$` would let pass at the end of a text."""
    if isinstance(value, str):
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise Refusal(400, "invalid_request", "A text has a control character in it.")
    elif isinstance(value, Mapping):
        for name, member in value.items():
            _check_texts(name)
            _check_texts(member)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def _check_names(data: bytes) -> None:
    """A name that stands twice is read in two ways by two readers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Refusal(400, "invalid_request", "A name stands twice in the body.")
        return dict(pairs)

    try:
        json.loads(data, object_pairs_hook=once)
    except ValueError as error:
        raise Refusal(400, "invalid_json", "The body is not JSON.") from error


def _invalid(error: msgspec.ValidationError, form: type, where: str) -> Refusal:
    told = unfit(error, form, where)
    return Refusal(400, "invalid_request", told.message, told.param)

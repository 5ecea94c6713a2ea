"""The admin endpoints, on the same port: `/_script`, `/_seen`, `/_stats`, `/_health`.

They are not calls: not journaled, not counted.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from headrace_upstream.scripts import Match
from headrace_upstream.upstream import Upstream


class RuleIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """One rule of `POST /_script`."""

    behaviour: dict[str, Any]
    match: Match = Match()
    times: int | None = None
    """Used up after this many calls; null for always."""
    percent: float = 100.0
    """Of the matching calls, by dice with `seed`."""
    seed: int = 0


class ScriptIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /_script`. What is given is changed; rules are added after the others."""

    default: dict[str, Any] | None = None
    rules: list[RuleIn] = []
    refuse_connections: int | None = None
    """Reset this many of the next connections as soon as they are accepted."""


def answer(upstream: Upstream, method: bytes, target: bytes, body: bytes) -> bytes:
    """The whole response to an admin request."""
    path, _, query = target.partition(b"?")
    match method, path:
        case b"POST", b"/_script":
            return _script(upstream, body)
        case b"GET", b"/_script":
            return _response(_script_shown(upstream))
        case b"DELETE", b"/_script":
            upstream.book.clear()
            upstream.refuse_left = 0
            return _response({"cleared": True})
        case b"GET", b"/_seen":
            since = int(query.removeprefix(b"since=")) if query.startswith(b"since=") else 0
            return _response([call.public() for call in upstream.seen if call.seq > since])
        case b"DELETE", b"/_seen":
            upstream.forget()
            return _response({"cleared": True})
        case b"GET", b"/_stats":
            return _response(upstream.stats)
        case b"GET", b"/_health":
            return _response({"ok": True})
    known = "POST, GET, DELETE /_script; GET, DELETE /_seen; GET /_stats; GET /_health"
    return _response({"error": f"no such admin endpoint; there are: {known}"}, 404)


def _script(upstream: Upstream, body: bytes) -> bytes:
    try:
        script = msgspec.json.decode(body, type=ScriptIn)
        if script.default is not None:
            upstream.book.set_default(script.default)
        for rule in script.rules:
            upstream.book.add(rule.behaviour, rule.match, rule.times, rule.percent, rule.seed)
    except msgspec.MsgspecError as error:
        return _response({"error": f"the script is wrong: {error}"}, 400)
    if script.refuse_connections is not None:
        upstream.refuse_left = script.refuse_connections
    return _response(_script_shown(upstream))


def _script_shown(upstream: Upstream) -> dict[str, Any]:
    return {
        "default": upstream.book.default,
        "rules": [
            {
                "behaviour": rule.behaviour,
                "match": rule.match,
                "left": rule.left,
                "percent": rule.percent,
            }
            for rule in upstream.book.rules
        ],
        "refuse_connections": upstream.refuse_left,
    }


def _response(value: object, status: int = 200) -> bytes:
    body = msgspec.json.encode(value)
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

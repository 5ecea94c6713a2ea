"""What the head of a request says: read once, however often a client sends it."""

from __future__ import annotations

from typing import NamedTuple

from headrace.edge.client_reply import AnthropicReply, ClientReply
from headrace.edge.headers import Said
from headrace.edge.routes import Route, is_anthropic, route_of
from headrace.errors import Refused
from headrace.platform.http.exchange import Exchange


class Head(NamedTuple):
    """`route` is None where there is none: `edge.routes.route_of` says why."""

    said: Said
    route: Route | None
    reply: type[ClientReply]


def head_of(exchange: Exchange) -> Head:
    """Of an exchange whose head came before on its connection: what was read then."""
    repeated = exchange.repeated
    if repeated is None:
        return _read(exchange)
    head = repeated.notes
    if not isinstance(head, Head):
        repeated.notes = head = _read(exchange)
    return head


def _read(exchange: Exchange) -> Head:
    said = Said.of(exchange.headers)
    try:
        route = route_of(exchange.method, exchange.target)
    except Refused:
        route = None
    anthropic = is_anthropic(exchange.target, said.anthropic)
    return Head(said, route, AnthropicReply if anthropic else ClientReply)

"""What the head of a request says: read once, however often a client sends it."""

from __future__ import annotations

from typing import NamedTuple

from headrace.edge.client_reply import AnthropicReply, ClientReply, PassedReply, ResponsesReply
from headrace.edge.headers import Said
from headrace.edge.routes import Route, is_anthropic, route_of
from headrace.errors import Refused
from headrace.gateway.identity import fingerprint
from headrace.nouns import PASSED_ON, Operation
from headrace.platform.http.exchange import Exchange


class Head(NamedTuple):
    """`route` is None where there is none: `edge.routes.route_of` says why. `fingerprint` is of the
    credential, where the head may come again."""

    said: Said
    route: Route | None
    reply: type[ClientReply]
    fingerprint: bytes | None = None


def head_of(exchange: Exchange) -> Head:
    """Of an exchange whose head came before on its connection: what was read then."""
    repeated = exchange.repeated
    if repeated is None:
        return _read(exchange)
    head = repeated.notes
    if not isinstance(head, Head):
        head = _read(exchange)
        credential = head.said.credential
        if credential is not None:
            head = head._replace(fingerprint=fingerprint(credential))
        repeated.notes = head
    return head


def _read(exchange: Exchange) -> Head:
    said = Said.of(exchange.headers)
    try:
        route = route_of(exchange.method, exchange.target)
    except Refused:
        route = None
    if is_anthropic(exchange.target, said.anthropic):
        return Head(said, route, AnthropicReply)
    if route is not None and route.asks in PASSED_ON:
        return Head(said, route, PassedReply)
    responds = route is not None and route.asks is Operation.RESPONSES
    return Head(said, route, ResponsesReply if responds else ClientReply)

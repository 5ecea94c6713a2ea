"""What the head of a request says: read once, however often a client sends it."""

from __future__ import annotations

from typing import NamedTuple

from headrace.edge.client_reply import AnthropicReply, ClientReply, PassedReply, ResponsesReply
from headrace.edge.headers import Said
from headrace.edge.routes import Route, is_anthropic, route_of
from headrace.errors import Refused
from headrace.gateway.identity import fingerprint
from headrace.nouns import PASSED_ON, Operation
from headrace.platform.http.exchange import Request


class Head(NamedTuple):
    """`route` is None where there is none: `edge.routes.route_of` says why. `fingerprint` is of the
    credential, where the head may come again."""

    said: Said
    route: Route | None
    reply: type[ClientReply]
    fingerprint: bytes | None = None


def head_of(request: Request) -> Head:
    """Of an exchange whose head came before on its connection: what was read then."""
    repeated = request.repeated
    if repeated is None:
        return _read(request)
    head = repeated.notes
    if not isinstance(head, Head):
        head = _read(request)
        credential = head.said.credential
        if credential is not None:
            head = head._replace(fingerprint=fingerprint(credential))
        repeated.notes = head
    return head


def _read(request: Request) -> Head:
    said = Said.of(request.headers)
    try:
        route = route_of(request.method, request.target)
    except Refused:
        route = None
    if is_anthropic(request.target, said.anthropic):
        return Head(said, route, AnthropicReply)
    if route is not None and route.asks in PASSED_ON:
        return Head(said, route, PassedReply)
    responds = route is not None and route.asks is Operation.RESPONSES
    return Head(said, route, ResponsesReply if responds else ClientReply)

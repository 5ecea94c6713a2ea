"""`GET` and `DELETE /v1/responses/ID`: what the gateway keeps of the caller's tenant.

https://platform.openai.com/docs/api-reference/responses/get
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from headrace.edge import openai
from headrace.edge.client_reply import ClientReply
from headrace.edge.head import Head
from headrace.edge.routes import Route
from headrace.errors import Reason, Refused
from headrace.gateway import conversations
from headrace.gateway.pipeline import Pipeline
from headrace.nouns import Operation
from headrace.platform.http.exchange import Exchange


class Runtime(Protocol):
    """What serves calls now."""

    pipeline: Pipeline


async def answer(
    exchange: Exchange,
    route: Route,
    call_id: str,
    ip: str,
    head: Head,
    runtime: Runtime,
    reply: ClientReply,
) -> None:
    """Answers an exchange about one response."""
    try:
        body = await _body(exchange.method, route.name or "", ip, head, runtime.pipeline)
    except Refused as refused:
        reply.refuse(refused, b"")
        return
    headers = b"%bx-request-id: %b\r\n" % (openai.JSON_TYPE, call_id.encode())
    exchange.respond(200, headers, body)


async def _body(method: bytes, id: str, ip: str, head: Head, pipeline: Pipeline) -> bytes:
    """Raises Refused."""
    caller = pipeline.identity.identify(head.said.credential, ip, head.fingerprint)
    if not caller.may_ask(Operation.RESPONSES):
        raise Refused(Reason.OPERATION_FORBIDDEN, "Your key may not be used for responses.")
    store = pipeline.parts.responses
    kept = await conversations.found(store, caller.tenant, id)
    if kept.backend is not None or store is None:
        raise Refused(
            Reason.UNSUPPORTED_OPERATION,
            "This response is kept by its provider, and this gateway reads and deletes only what "
            "it keeps itself. Go on with it by 'previous_response_id'.",
        )
    if method != b"DELETE":
        return kept.response
    await conversations.deleted(store, caller.tenant, id)
    return msgspec.json.encode({"id": id, "object": "response", "deleted": True})

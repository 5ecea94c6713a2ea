"""Chat with any model, two beside each other, by the gateway's own port for calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import JSONResponse, Response, StreamingResponse

from headrace.config.terms import written_instant
from headrace.console.client_port import ClientPort
from headrace.console.figures import count, duration, usd
from headrace.console.page import BASE, Action, Done, Page, Visit
from headrace.edge.admin.answers import STATUS
from headrace.edge.admin.asked import Refusal
from headrace.edge.admin.called import CallPage
from headrace.gateway.administration.faults import Denied
from headrace.platform.http.messages import TransportError, WireResponse
from headrace.platform.secrets import Secret

KEY_LASTS_S = 3600.0
MOST_MESSAGES = 200
KNOWN_LOOKS = 50
KNOWN_EVERY_S = 0.2
NAME = "console-playground"


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """One of a conversation."""

    role: str
    content: str


class Playground:
    """The page and what its script asks for."""

    def __init__(self, port: ClientPort) -> None:
        self._port = port

    async def show(self, visit: Visit) -> Mapping[str, Any]:
        key = visit.session.client_key
        models: list[str] = []
        trouble = None
        if key is not None:
            try:
                models = await self._port.models(key)
            except Denied as denied:
                trouble = denied.detail
        return {
            "has_key": key is not None,
            "models": models,
            "trouble": trouble,
            "may_make": visit.may("create_key"),
            "lasts": duration(KEY_LASTS_S),
        }

    async def take_key(self, visit: Visit) -> Done:
        """One that the operator has. It is kept with the session."""
        text = visit.form.get("key", "").strip()
        if not text:
            visit.session.client_key = None
            return Done("/playground", "The key is forgotten.")
        await self._port.models(Secret(text))
        visit.session.client_key = Secret(text)
        return Done("/playground", "Calls are made with this key until you sign out.")

    async def make_key(self, visit: Visit) -> Done:
        ends = written_instant(time.time() + KEY_LASTS_S)
        wish = {"name": NAME, "expires": ends}
        if visit.by.tenants is not None:
            wish["tenant"] = min(visit.by.tenants)
        made = await visit.ask("create_key", body=wish)
        key = visit.session.client_key = Secret(made.secret)
        await self._known(key)
        return Done("/playground", f"A key {NAME} was made for {duration(KEY_LASTS_S)}.")

    async def _known(self, key: Secret) -> None:
        """Workers look at the registry now and then: a new key is known to them a moment later."""
        for _ in range(KNOWN_LOOKS):
            with contextlib.suppress(Denied):
                await self._port.models(key)
                return
            await asyncio.sleep(KNOWN_EVERY_S)

    async def ask(self, visit: Visit) -> Response:
        """The gateway's own stream, as it comes. Raises Denied, Refusal."""
        key = visit.session.client_key
        if key is None:
            raise Refusal(400, "no_key", "Give a key for calls first.")
        messages = _messages(visit.form.get("messages", ""))
        body = {
            "model": visit.form.get("model", ""),
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            response = await self._port.chat(key, body)
        except Denied as denied:  # a script reads this, not a person
            return JSONResponse({"message": denied.detail}, STATUS[denied.why])
        call = (response.header(b"x-request-id") or b"").decode("latin-1")
        if response.status != 200:
            with contextlib.closing(response):
                message = await self._port.refusal(response)
            return JSONResponse({"message": message, "call": call}, 422)
        headers = {"x-call": call, "x-accel-buffering": "no"}
        return StreamingResponse(_relayed(response), 200, headers, "text/event-stream")


def _messages(text: str) -> list[Message]:
    try:
        messages = msgspec.json.decode(text, type=list[Message])
    except msgspec.MsgspecError as error:
        raise Refusal(400, "invalid_request", "These are no messages.") from error
    if not 0 < len(messages) <= MOST_MESSAGES:
        raise Refusal(400, "invalid_request", f"Send 1 to {MOST_MESSAGES} messages.")
    return messages


async def _relayed(response: WireResponse) -> AsyncIterator[bytes]:
    """Closed with its reader: a tab that goes stops the call."""
    with contextlib.closing(response):
        try:
            while chunk := await response.next_chunk():
                yield chunk
        except TransportError:
            return  # the script sees that the end is missing


async def _cost(visit: Visit) -> Response:
    """What a call cost, once the ledger has it: an empty object until then."""
    found: CallPage = await visit.ask("list_calls", query={"call": visit.path["call"]})
    if not found.items:
        return JSONResponse({})
    call = found.items[0]
    return JSONResponse(
        {
            "cost": usd(call.cost_microusd),
            "tokens": f"{count(call.input_tokens)} in, {count(call.output_tokens)} out",
            "took": duration(call.latency_us / 1e6),
            "first": duration(None if call.ttft_us is None else call.ttft_us / 1e6),
            "backend": call.backend or call.answered_by,
            "href": f"{BASE}/calls/{call.call}",
        }
    )


def pages(port: ClientPort) -> tuple[Page, Page]:
    """The page, and what its script asks of the ledger."""
    playground = Playground(port)
    page = Page(
        path="/playground",
        title="Playground",
        template="playground.html",
        needs=("list_calls",),
        show=playground.show,
        actions=(
            Action(path="/playground/key", needs=("list_calls",), act=playground.take_key),
            Action(path="/playground/new-key", needs=("create_key",), act=playground.make_key),
            Action(path="/playground/ask", needs=("list_calls",), act=playground.ask),
        ),
        group="Try",
        icon="chat",
    )
    cost = Page(
        path="/playground/cost/{call}", title="Playground", template="playground.html",
        needs=("list_calls",), show=_cost,
    )  # fmt: skip
    return page, cost

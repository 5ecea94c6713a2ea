"""Calls that go on with an earlier response, and responses that others may go on with.

What the gateway made of a chat it keeps itself: the earlier items are put before the new ones, so
that any backend of the model can go on. What a provider keeps goes to the backend that made it.
"""

from __future__ import annotations

import logging
import time

import msgspec
from msgspec import Raw, Struct

from headrace.data.database import DatabaseAway
from headrace.data.response_store import KeptResponse, ResponseStore
from headrace.errors import Reason, Refused
from headrace.gateway import item_references
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.progress import Progress
from headrace.gateway.reply import InFront, Reply
from headrace.nouns import Call
from headrace.platform.http.sse import EventSplitter, data_of
from headrace.services.counts import Count, without_usage
from headrace.services.dialects.responses_answering import OWN
from headrace.services.openai_wire import Members, members_of, written

log = logging.getLogger("headrace.conversations")

MOST_BYTES = 8 * 1024 * 1024
"""A longer conversation is not kept."""
NOT_STORED = b"x-headrace-stored: no\r\n"
_EVENT_LIMIT_BYTES = 64 * 1024 * 1024
_BACKEND = b"x-headrace-backend: "


class _Wishes(Struct):
    previous_response_id: str | None = None
    store: bool | None = None
    input: Raw = Raw(b"")


class _Usage(Struct):
    output_tokens: Count | None = None
    total_tokens: Count | None = None


class _Response(Struct):
    id: str = ""
    output: list[Raw] | None = None
    usage: _Usage | None = None


class _Event(Struct):
    type: str = ""
    response: Raw = Raw(b"")


_wishes = msgspec.json.Decoder(_Wishes)
_responses = msgspec.json.Decoder(_Response, strict=False)
_events = msgspec.json.Decoder(_Event, strict=False)
_lists = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode
_LAST = ("response.completed", "response.incomplete")


async def answer(call: Call, reply: Reply, pipeline: Pipeline) -> None:
    """Answers a call for a response."""
    store = pipeline.parts.responses
    try:
        wishes = _wishes.decode(call.body)
        if item_references.names_items(bytes(wishes.input)):
            await _follow(call, bytes(wishes.input), store)
        if wishes.previous_response_id is not None:
            await _go_on(call, wishes.previous_response_id, store)
    except (msgspec.ValidationError, Refused) as fault:
        progress = Progress()
        refused = fault if isinstance(fault, Refused) else _wrong()
        pipeline.refuse(refused, call, reply, progress)
        pipeline.settle(call, progress)
        return
    if store is None or wishes.store is False:
        await pipeline.answer(call, reply)
        return
    keeping = Keeping(reply)
    asked = _items_of(members_of(call.body))
    await pipeline.answer(call, keeping)
    await keeping.finish(call.caller.tenant, asked, store)


async def found(store: ResponseStore | None, tenant: str, id: str) -> KeptResponse:
    """A tenant's response. Raises Refused."""
    if store is None:
        raise Refused(
            Reason.UNKNOWN_RESPONSE,
            "This gateway keeps no responses. Send all items with each call.",
            param="previous_response_id",
        )
    kept = await _look_up(store, tenant, id)
    if kept is None:
        raise Refused(
            Reason.UNKNOWN_RESPONSE,
            f"There is no response {id[:80]!r}, or it is kept no longer. Send all items, or begin "
            "anew; a call with `store: false` keeps none.",
            param="previous_response_id",
        )
    return kept


async def _look_up(store: ResponseStore, tenant: str, id: str) -> KeptResponse | None:
    try:
        return await store.get(tenant, id, time.time())
    except DatabaseAway as away:
        raise _away(away) from away


async def deleted(store: ResponseStore, tenant: str, id: str) -> None:
    """Deletes a tenant's response. Raises Refused."""
    try:
        await store.delete(tenant, id)
    except DatabaseAway as away:
        raise _away(away) from away


def _away(away: DatabaseAway) -> Refused:
    return Refused(
        Reason.STORE_UNAVAILABLE,
        "The responses that are kept cannot be reached just now. Please try again in a moment.",
        retry_after_s=2.0,
        cause=str(away),
    )


async def _follow(call: Call, value: bytes, store: ResponseStore | None) -> None:
    """Puts the items that the call names into it. Raises Refused."""

    async def find(name: str) -> KeptResponse | None:
        return None if store is None else await _look_up(store, call.caller.tenant, name)

    followed = await item_references.followed(value, find)
    members = members_of(call.body)
    members["input"] = Raw(_encode(followed.items))
    call.body = written(members)
    call.backend, call.tokens_before = followed.backend, followed.tokens


async def _go_on(call: Call, id: str, store: ResponseStore | None) -> None:
    """Puts what went before into the call. Raises Refused."""
    kept = await found(store, call.caller.tenant, id)
    if kept.backend is not None:
        if call.backend not in (None, kept.backend):
            raise Refused(
                Reason.BAD_REQUEST,
                "The response that this call goes on with is kept by another backend than the "
                "items that its input names. Send the items themselves.",
                param="input",
            )
        call.backend = kept.backend
        call.tokens_before += kept.tokens
        return
    members = members_of(call.body)
    items = [*_lists.decode(kept.items), *_items_of(members)]
    del members["previous_response_id"]
    members["input"] = Raw(_encode(items))
    call.body, call.previous = written(members), id


def _items_of(members: Members) -> list[Raw]:
    """What a body asks, as items."""
    given = members.get("input", Raw(b"[]"))
    if bytes(given).startswith(b"["):
        return _lists.decode(given)
    message = {"type": "message", "role": "user", "content": given}
    return [Raw(_encode(message))]


def _wrong() -> Refused:
    return Refused(
        Reason.BAD_REQUEST,
        "'previous_response_id' must be a string, and 'store' true or false.",
        param="previous_response_id",
    )


class Keeping(InFront):
    """A `Reply` in front of the client's, which holds back the end of an answer until it is kept:
    who has the answer can go on with it at once."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.send = reply.send
        self._about = b""
        self._body: bytes | None = None
        self._end: bytes | None = None

    def whole(self, body: bytes, about: bytes) -> None:
        self.committed = True
        self._body, self._about = body, about

    def begin(self, about: bytes) -> None:
        self.committed = True
        self._about = about
        self._reply.begin(about)

    def end(self, events: bytes = b"") -> None:
        self._end = events

    async def finish(self, tenant: str, asked: list[Raw], store: ResponseStore) -> None:
        """Keeps the answer, then hands its end on."""
        if self._body is not None:
            kept = await self._keep(self._body, tenant, asked, store)
            self._reply.whole(self._body, self._about if kept else self._about + NOT_STORED)
        elif self._end is not None:
            response = _last_response(self._end)
            if response is not None:
                await self._keep(response, tenant, asked, store)
            self._reply.end(self._end)

    async def _keep(self, body: bytes, tenant: str, asked: list[Raw], store: ResponseStore) -> bool:
        """False if it could not be kept: the answer is good all the same."""
        try:
            kept = _kept(body, asked, self._about)
            if not kept:
                return False
            if any(len(one.items) + len(one.response) > MOST_BYTES for one in kept.values()):
                return False
            await store.put(tenant, kept, time.time())
        except (DatabaseAway, msgspec.MsgspecError) as error:
            log.warning("a response is not kept", extra={"cause": str(error)})
            return False
        return True


def _kept(body: bytes, asked: list[Raw], about: bytes) -> dict[str, KeptResponse]:
    """What is to be kept of a response, by the names to find it by; nothing of one without an
    id. Of its items a provider may be told by name, too."""
    try:
        response = _responses.decode(body)
    except msgspec.ValidationError:  # a usage that no answer can have is as good as none
        response = _responses.decode(without_usage(body) or body)
    usage, output = response.usage or _Usage(), response.output or []
    tokens = usage.total_tokens or 0
    if not response.id:
        return {}
    if response.id.startswith(OWN):
        items = _encode([*asked, *output])
        return {response.id: KeptResponse(None, tokens, items, body)}
    backend = backend_of(about)
    each = KeptResponse(backend, usage.output_tokens or 0)
    keys = map(item_references.key_of, item_references.ids_of(output))
    return {response.id: KeptResponse(backend, tokens), **dict.fromkeys(keys, each)}


def backend_of(about: bytes) -> str:
    """The backend that header lines about an answer name; "" if none."""
    for line in about.split(b"\r\n"):
        if line.startswith(_BACKEND):
            return line[len(_BACKEND) :].decode("latin-1")
    return ""


def _last_response(events: bytes) -> bytes | None:
    """The response that the last event repeats."""
    splitter = EventSplitter(_EVENT_LIMIT_BYTES)
    datas = [data for _, data in splitter.pairs(events)]
    if splitter.rest:
        datas.append(data_of(splitter.rest))
    for data in reversed(datas):
        if data is None:
            continue
        try:
            event = _events.decode(data)
        except msgspec.MsgspecError:
            return None
        if event.type in _LAST and event.response:
            return bytes(event.response)
    return None

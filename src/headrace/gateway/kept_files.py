"""Files that clients upload: which backend took one is remembered, and only the tenant that brought
it finds it again.

https://platform.openai.com/docs/api-reference/files
"""

from __future__ import annotations

import logging
import time

import msgspec
from msgspec import Raw, Struct

from headrace.data.database import DatabaseAway
from headrace.data.file_store import FileStore, KeptFile
from headrace.errors import Reason, Refused
from headrace.gateway.conversations import backend_of
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.progress import Progress
from headrace.gateway.reply import InFront, Reply
from headrace.nouns import Call, Operation, Passed

log = logging.getLogger("headrace.files")

MOST_LISTED = 10_000
"""As many as OpenAI lists at once, which is also its default."""


class ListAsked(Struct, frozen=True):
    """What of a tenant's files is wanted."""

    limit: int = MOST_LISTED
    after: str | None = None
    purpose: str | None = None
    newest_first: bool = True


class _Said(Struct):
    id: str = ""
    purpose: str = ""
    expires_at: int | None = None


_said = msgspec.json.Decoder(_Said, strict=False)
_encode = msgspec.json.Encoder().encode


async def answer(
    call: Call, passed: Passed, wanted: ListAsked, reply: Reply, way: Pipeline
) -> None:
    """Answers a call of files."""
    try:
        store = _store_of(way)
        if not call.caller.may_ask(Operation.FILES):
            raise Refused(Reason.OPERATION_FORBIDDEN, "Your key may not be used for files.")
        if passed.method == b"POST":
            await _take(call, passed, reply, way, store)
        elif passed.resource:
            await _about_one(call, passed, reply, way, store)
        else:
            reply.whole(await _listed(call, wanted, store), b"")
    except (Refused, DatabaseAway) as fault:
        refused = fault if isinstance(fault, Refused) else away(fault)
        progress = Progress(estimate=passed.estimate)
        way.refuse(refused, call, reply, progress)
        way.settle(call, progress)


def _store_of(pipeline: Pipeline) -> FileStore:
    store = pipeline.parts.files
    if store is None:
        raise Refused(Reason.UNSUPPORTED_OPERATION, "This gateway has no store for files.")
    return store


async def _take(
    call: Call, passed: Passed, reply: Reply, pipeline: Pipeline, store: FileStore
) -> None:
    if call.model == Operation.FILES:
        call.model = pipeline.models.first_doing(Operation.FILES, call.caller)
    await store.reach()
    held = _Held(reply)
    await pipeline.serve(call, held, Progress(estimate=passed.estimate))
    if held.body is None:
        return
    said = _said.decode(held.body)
    file = KeptFile(backend_of(held.about), call.model, said.purpose, held.body, said.expires_at)
    try:
        await store.put(call.caller.tenant, said.id, file, time.time())
    except DatabaseAway as fault:
        log.error("an uploaded file is lost", extra={"call": call.id, "detail": said.id})
        reply.refuse(away(fault), held.about)
        return
    reply.whole(held.body, held.about)


async def _about_one(
    call: Call, passed: Passed, reply: Reply, pipeline: Pipeline, store: FileStore
) -> None:
    tenant, id = call.caller.tenant, passed.resource.split("/")[1]
    kept = await store.get(tenant, id, time.time())
    if kept is None:
        raise unknown(id)
    call.model, call.backend = kept.model, kept.backend
    progress = Progress(estimate=passed.estimate)
    held = _Held(reply) if passed.method == b"DELETE" else None
    await pipeline.serve(call, held or reply, progress)
    gone = progress.reason == Reason.UNKNOWN_FILE.value
    if gone or (held is not None and held.body is not None):
        await store.delete(tenant, id)
    if held is not None and held.body is not None:
        reply.whole(held.body, held.about)


async def _listed(call: Call, wanted: ListAsked, store: FileStore) -> bytes:
    """The tenant's own, as their providers described them when they took them."""
    found = await store.list(
        call.caller.tenant,
        time.time(),
        limit=wanted.limit,
        after=wanted.after,
        purpose=wanted.purpose,
        newest_first=wanted.newest_first,
    )
    ids = [_said.decode(file).id for file in (*found.files[:1], *found.files[-1:])]
    return _encode(
        {
            "object": "list",
            "data": [Raw(file) for file in found.files],
            "has_more": found.more,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
    )


def unknown(id: str) -> Refused:
    return Refused(
        Reason.UNKNOWN_FILE,
        f"There is no file {id[:80]!r}, or it is no longer kept. Files are found by the tenant "
        "that uploaded them through this gateway.",
        param="file_id",
    )


def away(fault: DatabaseAway) -> Refused:
    """What is told while the store cannot be asked."""
    return Refused(
        Reason.STORE_UNAVAILABLE,
        "What is known of files cannot be reached just now. Please try again in a moment.",
        retry_after_s=2.0,
        cause=str(fault),
    )


class _Held(InFront):
    """A `Reply` in front of the client's, which holds a whole answer back."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.begin = reply.begin
        self.send = reply.send
        self.end = reply.end
        self.body: bytes | None = None
        self.about = b""

    def whole(self, body: bytes, about: bytes) -> None:
        self.committed = True
        self.body, self.about = body, about

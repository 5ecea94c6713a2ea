"""`GET` and `DELETE /v1/responses/ID`: what is kept of the caller's tenant, by the gateway or by
the provider that made it.

https://platform.openai.com/docs/api-reference/responses/get
"""

from __future__ import annotations

import logging
import time

import msgspec
from msgspec import Struct

from headrace.errors import Reason, Refused
from headrace.gateway import conversations
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call, Caller, Dialect, Operation, Passed, Usage

log = logging.getLogger("headrace.conversations")


class KeptResponse(Struct, frozen=True):
    """One that a caller wants to read or delete."""

    caller: Caller
    id: str
    method: bytes
    call_id: str
    dialect: Dialect
    ip: str

    async def answered(self, pipeline: Pipeline) -> bytes | Call:
        """The answer's body, or the call that gets it from the provider. Raises Refused."""
        tenant = self.caller.tenant
        if not self.caller.may_ask(Operation.RESPONSES):
            raise Refused(Reason.OPERATION_FORBIDDEN, "Your key may not be used for responses.")
        store = pipeline.parts.responses
        kept = await conversations.found(store, tenant, self.id)
        if kept.backend is not None:
            return self._call(kept.backend, pipeline)
        if self.method != b"DELETE" or store is None:
            return kept.response
        await conversations.deleted(store, tenant, self.id)
        return msgspec.json.encode({"id": self.id, "object": "response", "deleted": True})

    def _call(self, backend: str, pipeline: Pipeline) -> Call:
        estimate = Usage(source="none")
        return Call(
            id=self.call_id,
            dialect=self.dialect,
            operation=Operation.RESPONSE,
            model=pipeline.models.first_doing(Operation.RESPONSE, self.caller, backend),
            body_model=None,
            body=b"",
            stream=False,
            wants_usage=True,
            caller=self.caller,
            received_at=time.monotonic(),
            ip=self.ip,
            backend=backend,
            passed=Passed(
                content_type=b"",
                estimate=estimate,
                most_tokens=0,
                method=b"DELETE" if self.method == b"DELETE" else b"GET",
                resource=f"/{self.id}",
            ),
        )


async def relayed(call: Call, passed: Passed, reply: Reply, pipeline: Pipeline) -> None:
    """Reads or deletes at the provider; what is gone there is forgotten here."""
    progress = Progress(estimate=passed.estimate)
    await pipeline.serve(call, reply, progress)
    store = pipeline.parts.responses
    deleted = passed.method == b"DELETE" and progress.finish == "complete"
    if store is not None and (deleted or progress.reason == Reason.UNKNOWN_RESPONSE.value):
        try:
            await conversations.deleted(store, call.caller.tenant, passed.resource[1:])
        except Refused as away:
            log.warning("a response is not forgotten", extra={"cause": str(away.cause)})

"""`GET` and `DELETE /v1/responses/ID`: what the gateway keeps of the caller's tenant.

https://platform.openai.com/docs/api-reference/responses/get
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from headrace.errors import Reason, Refused
from headrace.gateway import conversations
from headrace.gateway.pipeline import Pipeline
from headrace.nouns import Caller, Operation


class KeptResponse(Struct, frozen=True):
    """One that a caller wants to read or delete."""

    caller: Caller
    id: str
    method: bytes

    async def answered(self, pipeline: Pipeline) -> bytes:
        """The answer's body. Raises Refused."""
        tenant = self.caller.tenant
        if not self.caller.may_ask(Operation.RESPONSES):
            raise Refused(Reason.OPERATION_FORBIDDEN, "Your key may not be used for responses.")
        store = pipeline.parts.responses
        kept = await conversations.found(store, tenant, self.id)
        if kept.backend is not None or store is None:
            raise Refused(
                Reason.UNSUPPORTED_OPERATION,
                "This response is kept by its provider, and this gateway reads and deletes only "
                "what it keeps itself. Go on with it by 'previous_response_id'.",
            )
        if self.method != b"DELETE":
            return kept.response
        await conversations.deleted(store, tenant, self.id)
        return msgspec.json.encode({"id": self.id, "object": "response", "deleted": True})

"""`POST /v1/feedback`: what a client says of the kept answer that a call of its tenant got."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from headrace.errors import Reason, Refused
from headrace.gateway.pipeline import Pipeline
from headrace.nouns import Caller


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """`call` is the `x-request-id` of the call that got the answer."""

    call: str
    verdict: Literal["right", "wrong"]


class Feedback(Struct, frozen=True):
    """As it came."""

    caller: Caller
    body: bytes

    async def answered(self, pipeline: Pipeline) -> bytes:
        """The answer's body. Raises Refused."""
        try:
            said = msgspec.json.decode(self.body, type=Verdict)
        except msgspec.DecodeError as error:
            raise Refused(
                Reason.BAD_REQUEST,
                f"The feedback cannot be read: {error}. Send "
                '{"call": "the x-request-id of the call", "verdict": "wrong"}, or "right".',
            ) from error
        cache, noted = pipeline.parts.cache, "unknown"
        if cache is not None:
            from headrace.gateway.cache import flagging  # most gateways keep no answers

            noted = await flagging.flag(
                cache, said.call, right=said.verdict == "right", tenant=self.caller.tenant
            )
        if noted == "unknown":
            raise Refused(
                Reason.BAD_REQUEST,
                "No kept answer is remembered for this call. Of a worker's calls the last 2,000 "
                "are, where the model's answers are given again; see `x-headrace-cache`.",
                param="call",
            )
        return msgspec.json.encode(
            {"object": "cache.feedback", "call": said.call, "verdict": said.verdict,
             "noted": noted}
        )  # fmt: skip

"""Answers that fit their client's JSON schema: checked before the client has any of them, and asked
for once more if they do not fit.

Both answers are paid for and told in the ledger. Streams are held back until they are checked.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from headrace.config.policies import StructuredOutputPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.metering import Metering
from headrace.gateway.progress import Progress
from headrace.gateway.reply import InFront, Reply
from headrace.nouns import Call
from headrace.services.dialects.schemas import Said, again, said, schema_of
from headrace.services.schema_check import SchemaCheck

Ask = Callable[[Call, Reply], Awaitable[None]]
"""Answers a call by its plan, told in the call's own progress. Raises Refused."""
REPAIRED = b"x-headrace-structured-output: repaired\r\n"
INVALID = b"x-headrace-structured-output: invalid\r\n"


def check_of(call: Call) -> SchemaCheck | None:
    """What the answer must fit; None if the call asks for no schema. Raises Refused."""
    schema = schema_of(call.operation, call.body)
    return None if schema is None else SchemaCheck(schema)


class Structured(Struct, frozen=True):
    """What is done for one call."""

    check: SchemaCheck
    policy: StructuredOutputPolicy
    metering: Metering

    async def answer(self, call: Call, reply: Reply, progress: Progress, ask: Ask) -> None:
        """Gives the client an answer that fits. Raises Refused."""
        check = self.check
        first = await _asked(call, reply, ask)
        told, faults = _judged(first, check, call, progress)
        if told is None or not faults:
            first.give(b"")
            return
        progress.troubles.append(f"the answer does not fit its schema: {faults[0]}")
        self._set_aside(call, progress)
        body = again(call.operation, call.body, _first_wrong(told, check), faults)
        try:
            repeated = replace(call, body=body, received_at=time.monotonic())
            second = await _asked(repeated, reply, ask)
        except Refused:
            if self.policy.if_invalid == "refuse":
                raise
            progress.status, progress.finish, progress.reason = 200, "complete", None
            first.give(INVALID)
            return
        told, faults = _judged(second, check, call, progress)
        if progress.answered_by:
            second.give(b"")
        elif not faults:
            second.give(REPAIRED)
        elif self.policy.if_invalid == "warn":
            second.give(INVALID)
        else:
            raise _unfit(faults)

    def _set_aside(self, call: Call, progress: Progress) -> None:
        """Accounts for the first answer."""
        assert progress.target is not None
        usage = progress.usage_or_estimate(len(call.body))
        self.metering.set_aside(call, progress.target, usage, progress)
        progress.begin_again()
        progress.finish, progress.first_content_at = "client_gone", None


class _Held(InFront):
    """Keeps an answer back."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.about = b""
        self.body: bytes | None = None
        self.events: list[bytes] = []

    @property
    def congested(self) -> bool:
        return False

    def whole(self, body: bytes, about: bytes) -> None:
        self.body, self.about, self.committed = body, about, True

    def begin(self, about: bytes) -> None:
        self.about, self.committed = about, True

    def send(self, events: bytes) -> None:
        self.events.append(events)

    def end(self, events: bytes = b"") -> None:
        self.events.append(events)

    def give(self, more: bytes) -> None:
        """Lets it go, with `more` header lines."""
        if self.body is not None:
            self._reply.whole(self.body, self.about + more)
            return
        self._reply.begin(self.about + more)
        self._reply.end(b"".join(self.events))


async def _asked(call: Call, reply: Reply, ask: Ask) -> _Held:
    held = _Held(reply)
    await ask(call, held)
    return held


def _judged(
    held: _Held, check: SchemaCheck, call: Call, progress: Progress
) -> tuple[Said | None, list[str]]:
    """What it said, None if that need not fit, and what of it does not."""
    if progress.answered_by or progress.finish != "complete":
        return None, []  # an answer kept from before, or the gateway's own sentence
    told = said(call.operation, held.body, held.events)
    if told is None:
        return None, []
    return told, next((faults for text in told.texts if (faults := check.faults(text))), [])


def _first_wrong(told: Said, check: SchemaCheck) -> str:
    return next(text for text in told.texts if check.faults(text))


def _unfit(faults: list[str]) -> Refused:
    refused = Refused(
        Reason.SCHEMA_UNMET,
        "The model was asked twice, and neither answer fits the JSON schema of the request. Try a "
        "simpler schema, or a model that keeps to schemas by itself.",
        cause=f"the second answer does not fit its schema: {faults[0]}",
    )
    refused.exhausted = True
    return refused

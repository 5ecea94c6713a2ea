"""The way of a call, top to bottom."""

from __future__ import annotations

import asyncio
import logging
import time

from headrace.errors import Reason, Refused
from headrace.gateway import attempt
from headrace.gateway.identity import Identity
from headrace.gateway.metering import Metering
from headrace.gateway.models import Models, Target
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call
from headrace.platform.http.messages import Transport

log = logging.getLogger("headrace.pipeline")


class Pipeline:
    """Answers calls by the policies of one configuration."""

    def __init__(
        self, identity: Identity, models: Models, metering: Metering, wire: Transport
    ) -> None:
        self.identity = identity
        self.models = models
        self.metering = metering
        self.wire = wire

    async def answer(self, call: Call, reply: Reply) -> None:
        """Answers one call of an identified caller. Every way out of it is settled."""
        progress = Progress()
        target: Target | None = None
        try:
            target = self.models.choose(call)
            self.metering.intend(call, target)
            await self._attempt(target, call, reply, progress)
        except Refused as refused:
            self._refuse(refused, call, reply, progress)
        except asyncio.CancelledError:
            if not reply.interrupted_by_drain:
                raise
            self._refuse(attempt.drained_away(), call, reply, progress)
        except Exception:
            log.exception("a fault of our own", extra={"call": call.id})
            self._refuse(_internal(), call, reply, progress)
        finally:
            if target is not None:
                self.metering.price(call, target, progress)
            self.metering.settle(call, progress, time.monotonic())

    async def _attempt(self, target: Target, call: Call, reply: Reply, progress: Progress) -> None:
        progress.backend = target.name
        progress.attempts += 1
        place = target.service.enter(time.monotonic())
        try:
            if call.stream:
                await attempt.stream(target, call, about(progress), reply, progress, self.wire)
            else:
                body = await attempt.whole(target, call, progress, self.wire)
                self.metering.price(call, target, progress)
                progress.status, progress.finish = 200, "complete"
                reply.whole(body, about(progress))
        finally:
            target.service.leave(place, time.monotonic())

    def _refuse(self, refused: Refused, call: Call, reply: Reply, progress: Progress) -> None:
        committed = reply.committed
        progress.status = reply.refuse(refused, about(progress))
        progress.reason = refused.reason.value
        progress.finish = "incomplete" if committed else "refused"
        if refused.cause is not None:
            log.warning(
                refused.reason.value,
                extra={"call": call.id, "backend": progress.backend, "cause": refused.cause},
            )


def about(progress: Progress) -> bytes:
    """Header lines that tell a client what was done for it."""
    if progress.backend is None:
        return b""
    lines = b"x-headrace-backend: %b\r\nx-headrace-attempts: %d\r\n" % (
        progress.backend.encode(),
        progress.attempts,
    )
    cost = progress.cost_microusd
    if cost is None:
        return lines
    return b"%bx-headrace-cost-usd: %d.%06d\r\n" % (lines, cost // 1_000_000, cost % 1_000_000)


def _internal() -> Refused:
    return Refused(
        Reason.INTERNAL,
        "Something went wrong inside the gateway. It is logged under this request's id.",
        retry_after_s=1.0,
    )

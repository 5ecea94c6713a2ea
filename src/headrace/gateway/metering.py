"""What a call used and cost. Settles each call once, in the journal."""

from __future__ import annotations

import logging
import time

from headrace.data.journal import Intent, Journal, Settlement
from headrace.errors import Reason, Refused
from headrace.gateway.models import Target
from headrace.gateway.prices import PriceBook
from headrace.gateway.progress import Progress, total
from headrace.nouns import Call, Usage

log = logging.getLogger("headrace.metering")


class Metering:
    """Writes the intent before a call is sent and the settlement after."""

    def __init__(self, journal: Journal, prices: PriceBook) -> None:
        self._journal = journal
        self._prices = prices

    def writable(self) -> bool:
        return self._journal.writable()

    def intend(self, call: Call, target: Target, attempt: int) -> None:
        """Raises Refused(STORE_UNAVAILABLE): a call that cannot be accounted is not made."""
        caller = call.caller
        try:
            self._journal.append(
                Intent(
                    at=time.time(),
                    call=call.id,
                    operation=call.operation.value,
                    model=call.model,
                    backend=target.name,
                    key=caller.key_id,
                    tenant=caller.tenant,
                    team=caller.team,
                    stream=call.stream,
                    attempt=attempt,
                )
            )
        except OSError as error:
            raise Refused(
                Reason.STORE_UNAVAILABLE,
                "The gateway cannot write its ledger just now, so it takes no calls. Please try "
                "again shortly.",
                retry_after_s=5.0,
                cause=f"journal: {error}",
            ) from error

    def price(self, call: Call, progress: Progress) -> None:
        """Fills in the cost of what is known to be used."""
        target = progress.target
        if target is not None and not progress.priced and progress.sent_upstream:
            progress.priced = progress.usage is not None
            cost = self._cost(call, target, progress.usage_or_estimate(len(call.body)))
            if progress.beside is not None:
                cost = total(progress.beside.cost_microusd, cost)
            progress.cost_microusd = cost

    def set_aside(self, call: Call, target: Target, usage: Usage, progress: Progress) -> None:
        """Adds what an attempt used that does not end its call."""
        progress.set_aside(usage, self._cost(call, target, usage))

    def _cost(self, call: Call, target: Target, usage: Usage) -> int | None:
        service = target.service
        return self._prices.cost_microusd(service.provider, service.priced_as or call.model, usage)

    def settle(self, call: Call, progress: Progress, now: float) -> None:
        """The end of a call that had an intent, or was refused without one."""
        usage = progress.usage_in_all(len(call.body))
        first = progress.first_content_at
        settlement = Settlement(
            at=time.time(),
            call=call.id,
            status=progress.status,
            finish=progress.finish,
            backend=None if progress.target is None else progress.target.name,
            attempts=progress.attempts,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            usage_source=usage.source,
            cost_microusd=progress.cost_microusd,
            latency_ms=round((now - call.received_at) * 1000, 3),
            ttft_ms=None if first is None else round((first - call.received_at) * 1000, 3),
            reason=progress.reason,
        )
        try:
            self._journal.append(settlement)
        except OSError as error:
            # The intent stands without it, so the call is not lost: it counts as cut off.
            log.error("settlement not written", extra={"call": call.id, "cause": str(error)})

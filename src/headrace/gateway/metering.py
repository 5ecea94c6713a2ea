"""What a call used and cost. Settles each call once, in the journal."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from headrace.data.journal import Journal
from headrace.data.records import Intent, Settlement
from headrace.errors import Reason, Refused
from headrace.gateway.limits.token_caps import number
from headrace.gateway.models import Target
from headrace.gateway.prices import PriceBook
from headrace.gateway.progress import BYTES_PER_TOKEN, Progress, total
from headrace.nouns import Call, Cut, Usage

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps

log = logging.getLogger("headrace.metering")


class Metering:
    """Writes the intent before a call is sent and the settlement after.

    Records are made by the order of their fields: by name would cost a call 2.5 µs more. What a
    member of an enumeration says stands there as its `_value_`, a plain string: of a member the
    encoder looks it up each time, by long ways that are in no cache of the processor."""

    def __init__(self, journal: Journal, prices: PriceBook, steps: Steps | None = None) -> None:
        """`steps` are those in C; None takes all in Python."""
        self._journal = journal
        self._prices = prices
        self._steps = steps
        self.stopped: str | None = None
        """Why no call may be sent just now, for the log; None while all is well."""
        self._owed: list[Settlement] = []
        """Of calls that were made and for whose end the disk had no room: no more than ran at
        once, for nothing is sent until they are written."""

    def writable(self) -> bool:
        return self.stopped is None and self._journal.writable()

    def intend(self, call: Call, target: Target, progress: Progress) -> None:
        """Told before each attempt, which `progress.attempts` numbers. Raises
        Refused(STORE_UNAVAILABLE): a call that cannot be accounted is not made."""
        if self.stopped is not None or self._owed:
            self._settle_up()
        journal, steps = self._journal, self._steps
        at_us = time.time_ns() // 1000
        if steps is not None and steps.intend(journal, call, target, progress, at_us):
            return
        caller, service = call.caller, target.service
        seq, reserved = journal.next_seq, call.reserved
        intent = Intent(
            seq,
            progress.number or seq,
            progress.attempts,
            at_us,
            call.id,
            call.dialect._value_,
            call.operation._value_,
            call.model,
            caller.key_id,
            caller.tenant,
            target.name,
            service.provider,
            service.priced_as or call.model,
            target.region,
            target.model,
            caller.team,
            caller.user,
            caller.tags,
            call.stream,
            (len(call.body) // BYTES_PER_TOKEN if reserved is None else reserved.input_tokens),
            None if reserved is None else reserved.output_tokens,
            None if reserved is None else reserved.cost_microusd,
        )
        try:
            journal.append(intent)
        except OSError as error:
            raise _unaccountable(f"journal: {error}") from error
        progress.number = intent.number

    def _settle_up(self) -> None:
        """Raises Refused(STORE_UNAVAILABLE)."""
        if self.stopped is not None:
            raise _unaccountable(self.stopped)
        try:
            self.write_owed()
        except OSError as error:
            raise _unaccountable(f"journal: {error}") from error

    def price(self, call: Call, progress: Progress) -> None:
        """Fills in the cost of what is known to be used."""
        if self._steps is not None and self._steps.price(self._prices.flat, call, progress):
            return
        target, usage = progress.target, progress.usage
        if target is not None and not progress.priced and progress.sent_upstream:
            if usage is None:
                usage = progress.usage_or_estimate(len(call.body))
            else:
                progress.priced = True
            service = target.service  # as `_cost` does, in one step less
            sold_as = service.priced_as or call.model
            cost = self._prices.cost_microusd(service.provider, sold_as, usage)
            if progress.beside is not None:
                cost = total(progress.beside.cost_microusd, cost)
            progress.cost_microusd = cost

    def set_aside(self, call: Call, target: Target, usage: Usage, progress: Progress) -> None:
        """Adds what an attempt used that does not end its call."""
        progress.set_aside(usage, self._cost(call, target, usage))

    def _cost(self, call: Call, target: Target, usage: Usage) -> int | None:
        service = target.service
        return self._prices.cost_microusd(service.provider, service.priced_as or call.model, usage)

    def _reached(
        self, call: Call, cut: Cut, progress: Progress
    ) -> tuple[int, int | None, int | None] | None:
        """The cap if the answer reached it, with the tokens that the client had asked for beyond
        and what they would have cost: the most that the cap can have saved."""
        usage, target = progress.usage, progress.target
        if usage is None or target is None or usage.source != "upstream" or progress.answered_by:
            return None
        answers = number(call.n) or 1
        if usage.output_tokens < cut.most * answers:
            return None
        if cut.asked is None:
            return cut.most, None, None
        tokens = (cut.asked - cut.most) * answers
        return cut.most, tokens, self._more(call, target, usage, tokens)

    def _more(self, call: Call, target: Target, usage: Usage, tokens: int) -> int | None:
        """What so many more tokens of output would have cost, of the dearer kind."""
        longer = replace(usage, output_tokens=usage.output_tokens + tokens)
        thought = replace(longer, reasoning_tokens=usage.reasoning_tokens + tokens)
        cost, plain = self._cost(call, target, usage), self._cost(call, target, longer)
        dear = self._cost(call, target, thought)
        if cost is None or plain is None or dear is None:
            return None
        return max(plain, dear) - cost

    def settle(self, call: Call, progress: Progress, usage: Usage, now: float) -> Settlement:
        """The end of a call that had an intent, or was refused without one, as it is written.
        `usage` is that of all its attempts."""
        journal, steps, version = self._journal, self._steps, self._prices.version
        at_us = time.time_ns() // 1000
        if steps is not None:
            written = steps.settle(journal, call, progress, usage, version, at_us, now)
            if written is not None:
                return written
        caller, target = call.caller, progress.target
        seq, first, cost = journal.next_seq, progress.first_content_at, progress.cost_microusd
        if usage.source == "none":
            cost = cost or 0
        backend = region = used_model = None
        if target is not None:
            backend, region, used_model = target.name, target.region, target.model
        received_at = call.received_at
        settlement = Settlement(
            seq,
            progress.number or seq,
            at_us,
            call.id,
            call.dialect._value_,
            call.operation._value_,
            call.model,
            caller.key_id,
            caller.tenant,
            progress.status,
            progress.finish,
            progress.answered_by or ("nobody" if backend is None else "upstream"),
            progress.attempts,
            int((now - received_at) * 1e6),
            backend,
            region,
            used_model,
            caller.team,
            caller.user,
            caller.tags,
            call.stream,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
            usage.audio_input_tokens,
            usage.audio_output_tokens,
            usage.source,
            cost,
            progress.saved_microusd,
            version,
            None if first is None else int((first - received_at) * 1e6),
            progress.reason,
            usage.cache_write_tokens,
            progress.cache_tier,
        )
        if call.cut is not None and (cut := self._reached(call, call.cut, progress)) is not None:
            cut_at, tokens, microusd = cut
            settlement = replace(
                settlement, cut_at=cut_at, cut_tokens=tokens, cut_microusd=microusd
            )
        try:
            journal.append(settlement)
        except OSError as error:
            log.error("settlement not written", extra={"call": call.id, "cause": str(error)})
            if progress.number:  # what was never sent is told by the log alone
                self._owed.append(settlement)
        return settlement

    def write_owed(self) -> None:
        """Writes what had no room before. Raises OSError while there is none; a process that ends
        before there is leaves an intent without its end, so the call counts as cut off."""
        while self._owed:
            settlement = replace(self._owed[0], seq=self._journal.next_seq)
            self._journal.append(settlement)
            del self._owed[0]


def _unaccountable(cause: str) -> Refused:
    return Refused(
        Reason.STORE_UNAVAILABLE,
        "The gateway cannot write its ledger just now, so it takes no calls. Please try "
        "again shortly.",
        retry_after_s=5.0,
        cause=cause,
    )

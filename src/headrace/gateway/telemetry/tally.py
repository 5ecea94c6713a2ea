"""Sums of calls of one kind, until they are added to those of their model and tenant: what is so of
all of them is counted once, and no name is looked up for each."""

from __future__ import annotations

from typing import TypeVar

from headrace.data.records import Settlement
from headrace.errors import Reason
from headrace.gateway.telemetry.ended import NOBODY, UPSTREAM
from headrace.gateway.telemetry.snapshot import DURATIONS_S, Flow, Numbers, TenantUse

FILTERED = Reason.CONTENT_FILTERED.value


class Tally:
    """Of calls that are alike in all that is read in `row` when it is made."""

    __slots__ = (
        "answered_by", "calls", "cost_microusd", "durations", "durations_us", "flow",
        "input_tokens", "is_kept", "output_tokens", "reason", "retries", "status", "streams",
        "unpriced", "use", "uses",
    )  # fmt: skip

    def __init__(self, flow: Flow, use: TenantUse, row: Settlement) -> None:
        self.flow = flow
        self.use = use
        self.status = row.status
        self.reason = row.reason
        self.answered_by = row.answered_by
        self.retries = max(0, row.attempts - 1)
        """Of each."""
        self.streams = row.stream
        self.uses = row.usage_source != "none"
        """Tokens."""
        self.is_kept = row.answered_by not in (UPSTREAM, NOBODY)
        """Their answers are those of other calls."""
        timed = row.answered_by != NOBODY
        self.durations = flow.durations.counts if timed else [0] * (len(DURATIONS_S) + 1)
        """Counts of the flow's own histogram; what nobody answered is not timed."""
        self._clear()

    def _clear(self) -> None:
        self.calls = self.durations_us = 0
        self.input_tokens = self.output_tokens = self.cost_microusd = self.unpriced = 0

    def settle(self, refused: Numbers) -> None:
        """Adds up what came since it did so last; `refused` is by reason."""
        calls, flow, use = self.calls, self.flow, self.use
        if not calls:
            return
        use.calls += calls
        _add(flow.statuses, self.status, calls)
        if self.answered_by != NOBODY:
            flow.durations.total += self.durations_us / 1e6
        if self.reason is not None:
            _add(refused, self.reason, calls)
            if self.reason == FILTERED:
                flow.filtered += calls
        flow.retries += self.retries * calls
        if self.is_kept:
            _add(flow.answered_by, self.answered_by, calls)
        if self.uses:
            _add(flow.tokens, "input", self.input_tokens)
            _add(flow.tokens, "output", self.output_tokens)
            use.tokens += self.input_tokens + self.output_tokens
            flow.unpriced += self.unpriced
            flow.cost_microusd += self.cost_microusd
            use.cost_microusd += self.cost_microusd
        self._clear()


K = TypeVar("K", int, str)


def _add(numbers: dict[K, int], name: K, count: int) -> None:
    numbers[name] = numbers.get(name, 0) + count

"""Counts calls that ended, many at once. Each costs a few additions: no locks, no labels made anew.

Names that a client can choose never make series without end: models are those of the
configuration, and others only while there are few; tenants are capped; the rest is `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

from headrace.data.records import Settlement
from headrace.errors import Reason
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.ended import NOBODY, UPSTREAM, Ended
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    GAPS_S,
    LAGS_S,
    Counted,
    Flow,
    Histogram,
    Numbers,
    Scores,
    TenantUse,
    new_flow,
)

OTHER = "other"
MOST_MODELS = 100
"""Names of models that are told apart, beside those of the configuration."""
FILTERED = Reason.CONTENT_FILTERED.value
_ENDED_WELL = frozenset({"running", "ok", "cancelled", "lost"})


class Meters:
    """One worker's. Used by its event loop alone."""

    def __init__(self, most_tenants: int, scrub: Callable[[str], str] = lambda text: text) -> None:
        """`scrub` takes secrets out of names that clients chose."""
        self.most_tenants = most_tenants
        self._scrub = scrub
        self.models: Collection[str] = ()
        """Names of the configuration in force."""
        self._flows: dict[tuple[str, str], Flow] = {}
        self._tenants: dict[str, TenantUse] = {}
        self._refused: Numbers = {}
        self._failures: dict[str, Numbers] = {}
        self._lags = Histogram.of(LAGS_S)
        self._scores: dict[str, dict[str, Scores]] = {}

    def take(self, calls: list[Ended]) -> None:
        """Calls that ended."""
        flows, tenants = self._flows, self._tenants
        for row, _, events in calls:
            model, backend, by = row.model, row.backend or "", row.answered_by
            flow = flows.get((model, backend)) or self._flow(model, backend)
            use = tenants.get(row.tenant) or self._tenant(row.tenant)
            use.calls += 1
            status, statuses = row.status, flow.statuses
            statuses[status] = statuses.get(status, 0) + 1
            if by != NOBODY:
                durations, took_s = flow.durations, row.latency_us / 1e6
                durations.counts[bisect_left(DURATIONS_S, took_s)] += 1
                durations.total += took_s
            if row.stream and row.ttft_us is not None:
                _time(flow, row, row.ttft_us, events)
            if row.reason is not None or row.attempts > 1 or (by != UPSTREAM and by != NOBODY):
                self._unusual(flow, row)
            if row.usage_source != "none":
                _use(flow, use, row)
                cost = row.cost_microusd
                if cost is None:
                    flow.unpriced += 1
                else:
                    flow.cost_microusd += cost
                    use.cost_microusd += cost

    def refused(self, reason: str) -> None:
        """A request that never became a call, or a call."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def tried(self, attempts: Collection[Go]) -> None:
        """Those of one call that met with trouble."""
        for go in attempts:
            if go.result not in _ENDED_WELL:
                kinds = self._failures.setdefault(go.backend.name, {})
                kinds[go.result] = kinds.get(go.result, 0) + 1

    def lag(self, lag_s: float) -> None:
        self._lags.counts[bisect_left(LAGS_S, lag_s)] += 1
        self._lags.total += lag_s

    def scored(self, model: str, measure: str, points: float) -> None:
        """An answer of a model was judged. `measure` is one of a few names."""
        name = model if model in self.models else OTHER
        scores = self._scores.setdefault(measure, {}).setdefault(name, Scores())
        scores.count += 1
        scores.points += points

    def counted(self) -> Counted:
        """What it has counted so far: not a copy."""
        return Counted(
            flows=list(self._flows.values()),
            tenants=list(self._tenants.values()),
            refused=self._refused,
            failures=self._failures,
            lags=self._lags,
            scores=self._scores,
        )

    def _unusual(self, flow: Flow, row: Settlement) -> None:
        if row.reason is not None:
            self.refused(row.reason)
            if row.reason == FILTERED:
                flow.filtered += 1
        if row.attempts > 1:
            flow.retries += row.attempts - 1
        by = row.answered_by
        if by not in (UPSTREAM, NOBODY):
            flow.answered_by[by] = flow.answered_by.get(by, 0) + 1
            flow.saved_microusd += row.saved_microusd

    def _flow(self, model: str, backend: str) -> Flow:
        # A name that leads nowhere is a client's; one that a backend took may be one of many.
        if model not in self.models and not (backend and self._has_room_for(model)):
            model = OTHER
        flow = self._flows.get((model, backend))
        if flow is None:
            flow = self._flows[model, backend] = new_flow(self._scrub(model), backend)
        return flow

    def _has_room_for(self, model: str) -> bool:
        others = {name for name, _ in self._flows if name not in self.models}
        return model in others or len(others) < MOST_MODELS

    def _tenant(self, tenant: str) -> TenantUse:
        name = tenant if len(self._tenants) < self.most_tenants else OTHER
        use = self._tenants.get(name)
        if use is None:
            use = self._tenants[name] = TenantUse(self._scrub(name))
        return use


def _time(flow: Flow, row: Settlement, first_us: int, events: int) -> None:
    first_s = first_us / 1e6
    flow.first_tokens.counts[bisect_left(DURATIONS_S, first_s)] += 1
    flow.first_tokens.total += first_s
    tokens = max(row.output_tokens, events)
    if tokens > 1 and row.finish == "complete":
        gap_s = (row.latency_us - first_us) / 1e6 / (tokens - 1)
        flow.gaps.counts[bisect_left(GAPS_S, gap_s)] += 1
        flow.gaps.total += gap_s


def _use(flow: Flow, use: TenantUse, row: Settlement) -> None:
    tokens, asked, answered = flow.tokens, row.input_tokens, row.output_tokens
    use.tokens += asked + answered
    tokens["input"] = tokens.get("input", 0) + asked
    tokens["output"] = tokens.get("output", 0) + answered
    if row.cached_tokens:
        tokens["cached_input"] = tokens.get("cached_input", 0) + row.cached_tokens
    if row.cache_write_tokens:
        tokens["cache_write"] = tokens.get("cache_write", 0) + row.cache_write_tokens
    if row.reasoning_tokens:
        tokens["reasoning"] = tokens.get("reasoning", 0) + row.reasoning_tokens
    if row.audio_input_tokens:
        tokens["audio_input"] = tokens.get("audio_input", 0) + row.audio_input_tokens
    if row.audio_output_tokens:
        tokens["audio_output"] = tokens.get("audio_output", 0) + row.audio_output_tokens

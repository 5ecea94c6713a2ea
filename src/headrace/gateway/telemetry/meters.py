"""Counts calls as they end. Each call costs a few additions: no locks, no labels made anew.

Names that a client can choose never make series without end: models are those of the
configuration, and others only while there are few; tenants are capped; the rest is `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

from headrace.errors import Reason
from headrace.gateway.progress import Progress
from headrace.gateway.steps import Go
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
from headrace.nouns import Call, Usage

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

    def settled(self, call: Call, progress: Progress, usage: Usage, now: float) -> None:
        """The end of a call. `now` is monotonic seconds."""
        target, tenant = progress.target, call.caller.tenant
        backend = "" if target is None else target.name
        flow = self._flows.get((call.model, backend))
        if flow is None:
            flow = self._flow(call.model, backend)
        use = self._tenants.get(tenant)
        if use is None:
            use = self._tenant(tenant)
        use.calls += 1
        status, statuses = progress.status, flow.statuses
        statuses[status] = statuses.get(status, 0) + 1
        took_s = now - call.received_at
        if target is not None or progress.answered_by:
            durations = flow.durations
            durations.counts[bisect_left(DURATIONS_S, took_s)] += 1
            durations.total += took_s
        if call.stream and progress.first_content_at is not None:
            _time(flow, call, progress, usage, progress.first_content_at, now)
        if progress.reason is not None or progress.attempts > 1 or progress.answered_by:
            self._unusual(flow, progress)
        if usage.source != "none":
            _use(flow, use, usage)
            cost = progress.cost_microusd
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

    def _unusual(self, flow: Flow, progress: Progress) -> None:
        if progress.reason is not None:
            self.refused(progress.reason)
            if progress.reason == FILTERED:
                flow.filtered += 1
        if progress.attempts > 1:
            flow.retries += progress.attempts - 1
        by = progress.answered_by
        if by:
            flow.answered_by[by] = flow.answered_by.get(by, 0) + 1
            flow.saved_microusd += progress.saved_microusd

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


def _time(
    flow: Flow, call: Call, progress: Progress, usage: Usage, first_at: float, now: float
) -> None:
    first_s = first_at - call.received_at
    flow.first_tokens.counts[bisect_left(DURATIONS_S, first_s)] += 1
    flow.first_tokens.total += first_s
    tokens = max(usage.output_tokens, progress.content_events)
    if tokens > 1 and progress.finish == "complete":
        gap_s = (now - first_at) / (tokens - 1)
        flow.gaps.counts[bisect_left(GAPS_S, gap_s)] += 1
        flow.gaps.total += gap_s


def _use(flow: Flow, use: TenantUse, usage: Usage) -> None:
    tokens, asked, answered = flow.tokens, usage.input_tokens, usage.output_tokens
    use.tokens += asked + answered
    tokens["input"] = tokens.get("input", 0) + asked
    tokens["output"] = tokens.get("output", 0) + answered
    if usage.cached_tokens:
        tokens["cached_input"] = tokens.get("cached_input", 0) + usage.cached_tokens
    if usage.cache_write_tokens:
        tokens["cache_write"] = tokens.get("cache_write", 0) + usage.cache_write_tokens
    if usage.reasoning_tokens:
        tokens["reasoning"] = tokens.get("reasoning", 0) + usage.reasoning_tokens
    if usage.audio_input_tokens:
        tokens["audio_input"] = tokens.get("audio_input", 0) + usage.audio_input_tokens
    if usage.audio_output_tokens:
        tokens["audio_output"] = tokens.get("audio_output", 0) + usage.audio_output_tokens

"""Counts calls that ended, many at once. Each costs a few additions: no locks, no labels made anew.

Names that a client can choose never make series without end: models are those of the
configuration, and others only while there are few; tenants are capped; the rest is `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

from headrace.data.records import Settlement
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.ended import Ended
from headrace.gateway.telemetry.kind import Kind
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
from headrace.gateway.telemetry.tally import Tally

OTHER = "other"
MOST_MODELS = 100
"""Names of models that are told apart, beside those of the configuration."""
_DURATIONS_US = tuple(round(bound_s * 1e6) for bound_s in DURATIONS_S)
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
        self._tallies: list[Tally] = []
        self._refused: Numbers = {}
        self._failures: dict[str, Numbers] = {}
        self._lags = Histogram.of(LAGS_S)
        self._scores: dict[str, dict[str, Scores]] = {}

    def tally_of(self, row: Settlement) -> Tally:
        """Of a kind of calls, by the first."""
        model, backend = row.model, row.backend or ""
        flow = self._flows.get((model, backend)) or self._flow(model, backend)
        use = self._tenants.get(row.tenant) or self._tenant(row.tenant)
        tally = Tally(flow, use, row)
        self._tallies.append(tally)
        return tally

    def forget(self) -> None:
        """No tally that it gave is used again."""
        self._settle()
        self._tallies.clear()

    def take(self, calls: list[Ended], kinds: list[Kind]) -> None:
        """Calls that ended, and their kinds."""
        for (row, _, events), kind in zip(calls, kinds, strict=True):
            tally, took_us = kind.tally, row.latency_us
            tally.calls += 1
            tally.durations_us += took_us
            tally.durations[bisect_left(_DURATIONS_US, took_us)] += 1
            if tally.uses:
                tally.input_tokens += row.input_tokens
                tally.output_tokens += row.output_tokens
                cost = row.cost_microusd
                if cost is None:
                    tally.unpriced += 1
                else:
                    tally.cost_microusd += cost
                if (
                    row.cached_tokens
                    or row.cache_write_tokens
                    or row.reasoning_tokens
                    or row.audio_input_tokens
                    or row.audio_output_tokens
                ):
                    _use(tally.flow, row)
            if tally.streams and row.ttft_us is not None:
                _time(tally.flow, row, row.ttft_us, events)
            if tally.is_kept:
                tally.flow.saved_microusd += row.saved_microusd

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
        self._settle()
        return Counted(
            flows=list(self._flows.values()),
            tenants=list(self._tenants.values()),
            refused=self._refused,
            failures=self._failures,
            lags=self._lags,
            scores=self._scores,
        )

    def _settle(self) -> None:
        for tally in self._tallies:
            tally.settle(self._refused)

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


def _use(flow: Flow, row: Settlement) -> None:
    """Of the tokens, those that have a kind of their own, which most calls have none of."""
    tokens = flow.tokens
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

"""What the live figures say: from what workers have counted, at some instants. Pure."""

from __future__ import annotations

from collections import Counter, deque

from msgspec import Struct

from headrace.edge.gathering import Gathered
from headrace.gateway.telemetry.history import flows_since, quantile
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    Counted,
    Flow,
    Histogram,
    budgets_used,
    untrusted_proxies,
    without_redis,
)

RATE_S = 10.0
"""Calls a second are of so long."""
WINDOW_S = 60.0
"""Latencies and errors are of so long."""
KEPT_S = 600.0
GAP_S = 25.0
"""Points farther apart are not joined."""


class Point(Struct, frozen=True):
    """One point of the charts. `at` is monotonic seconds."""

    at: float
    calls_per_s: float | None
    failed_per_s: float | None
    p95_s: float | None


class ModelNow(Struct, frozen=True):
    """What one model did within the window."""

    name: str
    calls_per_s: float
    error_share: float | None
    p50_s: float | None
    p95_s: float | None
    first_token_s: float | None
    tokens_per_s: float


class BackendNow(Struct, frozen=True):
    """A backend over all workers."""

    name: str
    states: dict[str, int]
    """How many workers see which."""
    running: int
    limit: float
    failure_share: float

    @property
    def state(self) -> str:
        return next(iter(self.states)) if len(self.states) == 1 else "mixed"


class Now(Struct, frozen=True):
    """What is so just now."""

    at: float
    workers: int
    running: int
    window_s: float | None
    """Of latencies and errors; None if they are of the gateway's whole life."""
    calls: int
    """In the window."""
    calls_per_s: float | None
    error_share: float | None
    cached_share: float | None
    """Calls that were answered without an upstream."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    tokens_per_s: float | None
    usd_per_hour: float | None
    models: list[ModelNow]
    backends: list[BackendNow]
    budgets: list[tuple[str, str, float]]
    """Name, unit, and the share that the caller who used most has used."""
    refused: int
    """Requests in the window that were refused before an upstream was asked."""
    ledger_behind_s: float | None
    without_redis: int
    """Workers that it does not answer."""
    untrusted_proxies: list[str]
    """Who speaks for other clients and is not trusted, where addresses decide; in words."""
    points: list[Point]


class Readings:
    """Remembers what was counted for the last minutes."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, Counted]] = deque()
        self._points: deque[Point] = deque()

    def take(self, gathered: Gathered, at: float) -> Now:
        """`at` is monotonic seconds, later than that of the last time."""
        counted = gathered.counted
        short, long = self._since(RATE_S, at), self._since(WINDOW_S, at)
        recent = flows_since(counted, None if short is None else short[1])
        short_s = None if short is None else max(at - short[0], 1e-3)
        flows = flows_since(counted, None if long is None else long[1])
        window_s = None if long is None else max(at - long[0], 1e-3)
        calls, whole = sum(map(_calls, flows)), _durations(flows)
        now = Now(
            at=at,
            workers=len(gathered.moments),
            running=sum(moment.running for moment in gathered.moments.values()),
            window_s=window_s,
            calls=calls,
            calls_per_s=_per(sum(map(_calls, recent)), short_s),
            error_share=sum(map(_failed, flows)) / calls if calls else None,
            cached_share=sum(sum(f.answered_by.values()) for f in flows) / calls if calls else None,
            p50_s=quantile(whole, DURATIONS_S, 0.5),
            p95_s=quantile(whole, DURATIONS_S, 0.95),
            p99_s=quantile(whole, DURATIONS_S, 0.99),
            tokens_per_s=_per(sum(map(_tokens, recent)), short_s),
            usd_per_hour=_per(sum(f.cost_microusd for f in recent) * 3600 / 1e6, short_s),
            models=_models(flows, window_s),
            backends=_backends(gathered),
            budgets=[(n, u, s) for (n, u), s in sorted(
                budgets_used(gathered.moments.values()).items())],
            refused=_refused(counted, None if long is None else long[1]),
            ledger_behind_s=gathered.ledger_behind_s,
            without_redis=without_redis(gathered.moments.values()) or 0,
            untrusted_proxies=untrusted_proxies(gathered.moments.values()),
            points=self._with_point(recent, short_s, at),
        )  # fmt: skip
        self._keep(counted, at)
        return now

    def _since(self, seconds: float, at: float) -> tuple[float, Counted] | None:
        """What was known so long ago, or first after that."""
        found = None
        for known in self._known:
            if found is None or known[0] <= at - seconds:
                found = known
        return found

    def _keep(self, counted: Counted, at: float) -> None:
        if self._known and at - self._known[-1][0] < 1.5:
            return
        self._known.append((at, counted))
        while len(self._known) > 1 and self._known[1][0] <= at - WINDOW_S:
            self._known.popleft()

    def _with_point(self, recent: list[Flow], seconds: float | None, at: float) -> list[Point]:
        points = self._points
        if points and at - points[-1].at > GAP_S:
            points.append(Point(at - 0.001, None, None, None))
        points.append(
            Point(
                at,
                _per(sum(map(_calls, recent)), seconds),
                _per(sum(map(_failed, recent)), seconds),
                None if seconds is None else quantile(_durations(recent), DURATIONS_S, 0.95),
            )
        )
        while points[0].at < at - KEPT_S:
            points.popleft()
        return list(points)


def _per(number: float, seconds: float | None) -> float | None:
    return None if seconds is None else number / seconds


def _calls(flow: Flow) -> int:
    return sum(flow.statuses.values())


def _failed(flow: Flow) -> int:
    """As the alerts see it: 429, 5xx, and what a content filter refused."""
    bad = sum(n for status, n in flow.statuses.items() if status == 429 or status >= 500)
    return bad + flow.filtered


def _tokens(flow: Flow) -> int:
    return flow.tokens.get("input", 0) + flow.tokens.get("output", 0)


def _durations(flows: list[Flow]) -> Histogram:
    whole = Histogram.of(DURATIONS_S)
    for flow in flows:
        whole.add(flow.durations)
    return whole


def _models(flows: list[Flow], window_s: float | None) -> list[ModelNow]:
    by_model: dict[str, list[Flow]] = {}
    for flow in flows:
        if _calls(flow):
            by_model.setdefault(flow.model, []).append(flow)
    found = []
    for name, group in by_model.items():
        calls, whole, first = sum(map(_calls, group)), _durations(group), Histogram.of(DURATIONS_S)
        for flow in group:
            first.add(flow.first_tokens)
        found.append(
            ModelNow(
                name,
                _per(calls, window_s) or 0.0,
                sum(map(_failed, group)) / calls,
                quantile(whole, DURATIONS_S, 0.5),
                quantile(whole, DURATIONS_S, 0.95),
                quantile(first, DURATIONS_S, 0.5),
                _per(sum(map(_tokens, group)), window_s) or 0.0,
            )
        )
    return sorted(found, key=lambda model: (-model.calls_per_s, model.name))


def _backends(gathered: Gathered) -> list[BackendNow]:
    names = dict.fromkeys(b.name for m in gathered.moments.values() for b in m.backends)
    found = []
    for name in names:
        seen = [b for m in gathered.moments.values() for b in m.backends if b.name == name]
        found.append(
            BackendNow(
                name,
                dict(Counter(one.state for one in seen)),
                sum(one.running for one in seen),
                sum(one.limit for one in seen),
                max(one.failure_share for one in seen),
            )
        )
    return found


def _refused(counted: Counted, before: Counted | None) -> int:
    known = 0 if before is None else sum(before.refused.values())
    return sum(counted.refused.values()) - known

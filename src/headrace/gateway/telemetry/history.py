"""What was counted within the last minutes, from sums at some instants. Pure."""

from __future__ import annotations

from collections import deque

from headrace.gateway.telemetry.snapshot import Counted, Flow, Histogram, Numbers


class History:
    """Sums as they were at some instants, as far back as is wanted."""

    def __init__(self, keep_s: float, every_s: float) -> None:
        """Instants nearer than `every_s` to the last are not kept."""
        self._keep_s = keep_s
        self._every_s = every_s
        self._known: deque[tuple[float, Counted]] = deque()

    def take(self, counted: Counted, now: float) -> None:
        """`now` is monotonic seconds."""
        known = self._known
        if known and now - known[-1][0] < self._every_s:
            return
        known.append((now, counted))
        while len(known) > 1 and known[1][0] <= now - self._keep_s:
            known.popleft()

    def since(self, seconds: float, now: float) -> Counted | None:
        """The sums of so long ago, or of the first instant after it; None if nothing is known."""
        found = None
        for at, counted in self._known:
            if found is None or at <= now - seconds:
                found = counted
        return found


def flows_since(after: Counted, before: Counted | None) -> list[Flow]:
    """What came in between. What is not in `before` counts as a whole."""
    known = {} if before is None else {(f.model, f.backend): f for f in before.flows}
    return [_flow_less(flow, known.get((flow.model, flow.backend))) for flow in after.flows]


def quantile(histogram: Histogram, bounds: tuple[float, ...], share: float) -> float | None:
    """Estimated by a straight line within the bucket, as Prometheus' `histogram_quantile` does;
    what is above the last bound is told as that. None if nothing was observed."""
    count = sum(histogram.counts)
    if not count:
        return None
    rank, below = share * count, 0
    for index, number in enumerate(histogram.counts[: len(bounds)]):
        if number and below + number >= rank:
            low = bounds[index - 1] if index else 0.0
            return low + (bounds[index] - low) * (rank - below) / number
        below += number
    return bounds[-1]


def _flow_less(flow: Flow, before: Flow | None) -> Flow:
    if before is None:
        return flow
    return Flow(
        flow.model,
        flow.backend,
        durations=_less(flow.durations, before.durations),
        first_tokens=_less(flow.first_tokens, before.first_tokens),
        gaps=_less(flow.gaps, before.gaps),
        statuses={s: n - before.statuses.get(s, 0) for s, n in flow.statuses.items()},
        answered_by=_numbers_less(flow.answered_by, before.answered_by),
        tokens=_numbers_less(flow.tokens, before.tokens),
        cost_microusd=flow.cost_microusd - before.cost_microusd,
        saved_microusd=flow.saved_microusd - before.saved_microusd,
        unpriced=flow.unpriced - before.unpriced,
        retries=flow.retries - before.retries,
        filtered=flow.filtered - before.filtered,
    )


def _less(one: Histogram, other: Histogram) -> Histogram:
    counts = [a - b for a, b in zip(one.counts, other.counts, strict=True)]
    return Histogram(counts, one.total - other.total)


def _numbers_less(one: Numbers, other: Numbers) -> Numbers:
    return {name: number - other.get(name, 0) for name, number in one.items()}

"""GCRA against a token bucket in whole numbers, and against what it promises of any span."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway.limits import gcra
from headrace.gateway.limits.measures import Denied, Measures
from headrace.gateway.limits.memory import MemoryCounters
from headrace.gateway.limits.reckoning import NOTHING
from support.measured import rate

MICRO = 1_000_000


class Bucket:
    """A token bucket: the textbook's other limiter, in integers. Time is microseconds, a unit is
    `MICRO` parts; it fills by `quota` parts each `window_s` of a microsecond."""

    def __init__(self, quota: int, window_s: int, burst_units: int) -> None:
        self.per_us = quota  # parts over `window_s`
        self.window_s = window_s
        self.most = burst_units * MICRO * window_s
        self.level = self.most
        self.at_us = 0

    def take(self, units: int, at_us: int) -> bool:
        self.level = min(self.most, self.level + (at_us - self.at_us) * self.per_us)
        self.at_us = at_us
        cost = units * MICRO * self.window_s
        if cost > self.level:
            return False
        self.level -= cost
        return True


def test_many_random_arrivals_as_the_reference_has_them() -> None:
    dice = random.Random(13)
    counters, clock_us = MemoryCounters(), 0
    quota, window_s, burst = 600, 60, 100  # ten a second, a hundred at once
    bound = counters.bind(Measures(requests=(rate(quota, float(window_s)),)), 0.0)
    bucket, need = Bucket(quota, window_s, burst), NOTHING
    admitted: deque[int] = deque()
    differ = total = 0
    for _ in range(200_000):
        # Quiet times, floods, and arrivals at the rate itself.
        clock_us += int(dice.expovariate(1 / dice.choice([200, 20_000, 100_000, 2_000_000])))
        passed = not isinstance(counters.take(bound, need, clock_us / MICRO, 0.0), Denied)
        differ += passed is not bucket.take(1, clock_us)
        if passed:
            total += 1
            admitted.append(clock_us)
            # Of any span that ends now: only the one that began with the earliest matters less.
            while admitted[0] < clock_us - 60 * MICRO:
                admitted.popleft()
            span_s = (clock_us - admitted[0]) / MICRO
            assert len(admitted) <= burst + quota / window_s * span_s + 1e-3
    assert total > 20_000
    assert differ <= 2, "rounding at a very edge, and nothing else"


@settings(max_examples=100, deadline=None)
@given(
    quota=st.integers(1, 10_000),
    window_s=st.sampled_from([1.0, 7.0, 60.0, 3600.0, 86_400.0]),
    burst_share=st.floats(0.001, 1.0),
    gaps=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=200),
)
def test_any_span_admits_at_most_the_burst_and_the_rate(
    quota: int, window_s: float, burst_share: float, gaps: list[float]
) -> None:
    one = rate(quota, window_s, burst_s=window_s * burst_share)
    counters = MemoryCounters()
    bound = counters.bind(Measures(requests=(one,)), 0.0)
    now = 0.0
    times: list[float] = []
    for gap in gaps:
        now += gap * one.step_s
        verdicts = [counters.take(bound, NOTHING, now, 0.0) for _ in range(3)]
        times += [now for verdict in verdicts if not isinstance(verdict, Denied)]
    for i, first in enumerate(times):
        for last in times[i:]:
            count = bisect_left(times, last + 1e-12) - i
            assert count <= (one.burst_s + (last - first)) / one.step_s + 1e-3


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_refunds_never_give_more_than_calls_of_their_true_size(data: st.DataObject) -> None:
    """Reserving much and settling for less admits, at every moment, no more than taking what was
    used in the first place: the instant is never earlier than that one's."""
    arrival = true_arrival = returned = now = 0.0
    open_calls: list[tuple[gcra.Stake, float, float]] = []
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.floats(0.0, 5.0))
        settles = data.draw(st.booleans())
        if open_calls and settles:
            stake, cost, surplus = open_calls.pop(data.draw(st.integers(0, len(open_calls) - 1)))
            back = gcra.refund_s(stake, cost, surplus, returned, now)
            assert back <= surplus
            arrival -= back
            returned += back
        else:
            cost = data.draw(st.floats(0.0, 10.0))
            surplus = cost * data.draw(st.floats(0.0, 1.0))
            arrival = gcra.taken(arrival, cost, now)
            true_arrival = gcra.taken(true_arrival, cost - surplus, now)
            open_calls.append((gcra.Stake(now, arrival, returned), cost, surplus))
        assert max(arrival, now) >= max(true_arrival, now) - 1e-6


def test_what_is_free() -> None:
    assert gcra.free(0.0, 1.0, 10.0, 5.0) == 10
    assert gcra.free(6.5, 1.0, 10.0, 5.0) == 8
    assert gcra.free(15.0, 1.0, 10.0, 5.0) == 0
    assert gcra.free(40.0, 1.0, 10.0, 5.0) == 0

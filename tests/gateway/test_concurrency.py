"""The limit on calls that run on a backend at once."""

from __future__ import annotations

import os

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.config.policies import ConcurrencyPolicy
from headrace.gateway.concurrency import Limit

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
POLICY = ConcurrencyPolicy()


def test_a_429_cuts_once_in_a_round_trip() -> None:
    limit = Limit(ConcurrencyPolicy(start=100))
    for _ in range(50):
        limit.refused(began=0.0, running=100, now=1.0)
    assert limit.ceiling == 70
    limit.refused(began=0.9, running=100, now=5.0)  # began before the cut
    limit.refused(began=1.1, running=100, now=1.5)  # too soon
    assert limit.ceiling == 70
    limit.refused(began=1.1, running=70, now=2.1)
    assert limit.ceiling == 49


def test_a_limit_far_above_use_falls_to_near_it() -> None:
    limit = Limit(POLICY)
    limit.refused(0.0, running=10, now=0.1)
    assert limit.ceiling == 14


def test_single_server_errors_are_no_overload() -> None:
    limit = Limit(POLICY)
    for i in range(1000):
        limit.succeeded(running=100) if i % 10 else limit.strained(i, 100, i)
    assert limit.ceiling >= POLICY.start
    for i in range(1000, 1010):
        limit.strained(i, 100, i)
    assert limit.ceiling < 100


def test_grows_by_one_for_as_many_successes_as_it_is_high() -> None:
    limit = Limit(ConcurrencyPolicy(start=100))
    limit.refused(0.0, 100, 1.0)
    for _ in range(69):
        limit.succeeded(running=70)
    assert limit.ceiling == 70
    limit.succeeded(running=70)
    assert limit.ceiling == 71
    for _ in range(1000):
        limit.succeeded(running=10)  # unused
    assert limit.ceiling == 71


def test_a_cut_is_forgotten_by_time() -> None:
    """A cut of an hour ago must not meet a rush of now, however few calls there were between."""
    limit = Limit(POLICY)
    for second in range(60):
        limit.refused(second, running=1, now=float(second))
    assert limit.ceiling == POLICY.least
    limit.forget(now=118.0)
    assert limit.ceiling == POLICY.least
    limit.forget(now=119.0)
    limit.forget(now=119.0)
    assert limit.ceiling == 2 * POLICY.least
    limit.forget(now=3600.0)
    assert limit.ceiling == POLICY.start
    assert limit.cut_at is None


def test_an_uncut_limit_does_not_stand_in_the_way() -> None:
    limit = Limit(POLICY)
    running = 0
    for _ in range(1000):
        running = min(running + 1, limit.ceiling)
        limit.succeeded(running)
    assert limit.ceiling > 800


class Steps(RuleBasedStateMachine):
    """Within its bounds, cut at most once a second of a forward clock, never cut by success."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = Limit(POLICY)
        self.now = 100.0
        self.cuts: list[float] = []

    @rule(by=st.floats(-5.0, 5.0))
    def time(self, by: float) -> None:
        if by < 0:
            self.cuts.clear()
        self.now += by

    @rule(running=st.integers(1, 1024), times=st.integers(1, 300))
    def succeed(self, running: int, times: int) -> None:
        before = self.limit.ceiling
        for _ in range(times):
            self.limit.succeeded(running)
        assert self.limit.ceiling >= before

    @rule()
    def forget(self) -> None:
        before = self.limit.ceiling
        self.limit.forget(self.now)
        assert self.limit.ceiling >= before

    @rule(ago=st.floats(0.0, 60.0), running=st.integers(1, 1024), hard=st.booleans())
    def fail(self, ago: float, running: int, hard: bool) -> None:
        before = self.limit.ceiling
        tell = self.limit.refused if hard else self.limit.strained
        tell(self.now - ago, running, self.now)
        if self.limit.ceiling < before:
            if self.cuts:
                assert self.now - self.cuts[-1] >= POLICY.cut_every_s
                assert self.now - ago >= self.cuts[-1]
            self.cuts.append(self.now)

    @invariant()
    def bounds(self) -> None:
        assert POLICY.least <= self.limit.ceiling <= POLICY.most
        assert self.limit.admits(POLICY.least - 1)
        assert not self.limit.admits(POLICY.most)


Steps.TestCase.settings = settings(max_examples=1_000 if SOAK else 30, deadline=None)
TestSteps = Steps.TestCase

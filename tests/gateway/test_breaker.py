"""The breaker against a naive reference, and its promises one by one."""

from __future__ import annotations

import os
from random import Random
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace.config.policies import BreakerPolicy
from headrace.gateway.breaker import Breaker
from headrace.gateway.health import Outcome, Permit, State

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
POLICY = BreakerPolicy()
STEADY = BreakerPolicy(open_jitter=0.0)


def closed(policy: BreakerPolicy = STEADY) -> Breaker:
    return Breaker(policy, Random(1))


def attempt(breaker: Breaker, outcome: Outcome, now: float, ttft_s: float | None = None) -> None:
    permit = breaker.begin(now)
    assert permit is not None
    breaker.record(permit, outcome, now, ttft_s)


def opened(now: float = 0.0, policy: BreakerPolicy = STEADY) -> Breaker:
    breaker = closed(policy)
    for _ in range(policy.failures_in_a_row):
        attempt(breaker, Outcome.FAILED, now)
    assert breaker.state(now) is State.OPEN
    return breaker


def probe(breaker: Breaker, now: float) -> Permit:
    permit = breaker.begin(now)
    assert permit is not None
    assert permit.probe
    return permit


def until(breaker: Breaker, now: float) -> float:
    instant = breaker.available(now).until
    assert instant is not None
    return instant


# --- the reference: lists of events and the rules as one would say them


class Event(NamedTuple):
    bucket: int
    what: str


class Reference:
    """Closed, open and half-open by the letter, with jitter 0. Slow, and obviously right."""

    def __init__(self) -> None:
        self.phase, self.generation, self.since = "closed", 0, 0.0
        self.events: list[Event] = []
        self.bucket = 0
        self.row = self.doublings = self.wins = 0
        self.ends, self.span = 0.0, 0.0
        self.probe: object | None = None
        self.lost: object | None = None
        self.lease_ends = 0.0

    def tick(self, now: float) -> None:
        if self.probe is not None:
            self.lease_ends = min(self.lease_ends, now + 30)
            if now >= self.lease_ends:
                lost = self.probe
                self.enter("open", self.lease_ends, 5.0)
                self.lost = lost
        if self.phase == "open":
            self.ends = min(self.ends, now + self.span)
            if now >= self.ends:
                self.phase = "half-open"
        if self.phase == "closed":
            self.since = min(self.since, now)

    def enter(self, phase: str, now: float, span: float = 0.0) -> None:
        self.phase, self.since, self.span, self.ends = phase, now, span, now + span
        self.generation += 1
        self.events, self.row, self.wins = [], 0, 0
        self.probe = self.lost = None

    def note(self, what: str, now: float) -> Event:
        at = int(now / 3)
        if not (-10 < at - self.bucket < 0):
            if at - self.bucket <= -10:
                self.events = []
            self.bucket = at
        self.events = [e for e in self.events if e.bucket > self.bucket - 10]
        event = Event(self.bucket, what)
        if what:
            self.events.append(event)
        return event

    def trip(self, now: float, probe_began: float | None = None) -> None:
        if self.phase == "closed":
            self.doublings = max(0, self.doublings - int((now - self.since) / 60))
        took = 0.0 if probe_began is None else now - probe_began
        cap = min(300.0, max(20.0, 20 * took))
        span = 5.0 * 2**self.doublings
        self.doublings += span < cap
        self.enter("open", now, min(span, cap))

    def judge(self, now: float) -> None:
        kinds = [e.what for e in self.events]
        failed, slow = kinds.count("failed"), kinds.count("slow")
        total = max(kinds.count("start"), failed + kinds.count("ok"))
        bad = total >= 10 and (failed / total >= 0.5 or slow / total >= 0.8)
        if self.row >= 5 or bad:
            self.trip(now)

    def failure_share(self, now: float) -> float:
        kinds = [e.what for e in self.events]
        if "failed" not in kinds:
            return 0.0
        self.note("", now)
        kinds = [e.what for e in self.events]
        failed = kinds.count("failed")
        return failed / max(kinds.count("start"), failed + kinds.count("ok")) if failed else 0.0

    def fail(self, now: float) -> None:
        self.row += 1
        self.note("failed", now)
        self.judge(now)

    def may_begin(self, now: float) -> bool:
        self.tick(now)
        return self.phase == "closed" or (self.phase == "half-open" and self.probe is None)

    def record(self, permit: Mirror, outcome: Outcome, ttft_s: float, now: float) -> None:
        self.tick(now)
        slow = ttft_s > 10
        if permit.generation != self.generation:
            if permit is self.lost:
                self.lost = None
                if outcome is Outcome.OK:
                    self.phase = "half-open"
                    self.win(now)
                elif outcome is Outcome.FAILED:
                    self.trip(now, permit.real.began)
        elif self.phase == "half-open":
            self.probe = None
            if outcome is Outcome.DENIED:
                self.enter("open", now, 60.0)
            elif outcome is Outcome.OK and not slow:
                self.win(now)
            elif outcome is not Outcome.NEUTRAL:
                self.trip(now, permit.real.began)
        elif outcome is Outcome.OK:
            self.row = 0
            self.note("ok", now)
            if slow:
                self.note("slow", now)
                self.judge(now)
        elif outcome is Outcome.FAILED:
            self.fail(now)
        else:
            self.withdraw(permit, now)
            if outcome is Outcome.DENIED:
                self.enter("open", now, 60.0)

    def withdraw(self, permit: Mirror, now: float) -> None:
        self.note("", now)
        if permit.event in self.events:
            self.events.remove(permit.event)

    def win(self, now: float) -> None:
        self.wins += 1
        if self.wins >= 2:
            self.enter("closed", now)

    def cancel(self, permit: Mirror, now: float) -> None:
        self.tick(now)
        if permit.generation != self.generation:
            return
        if self.phase == "half-open":
            self.enter("open", now, 5.0)
        else:
            self.withdraw(permit, now)


class Mirror:
    def __init__(self, real: Permit, generation: int, event: Event | None) -> None:
        self.real = real
        self.generation = generation
        self.event = event


PHASES = {"closed": State.CLOSED, "open": State.OPEN, "half-open": State.HALF_OPEN}


class Steps(RuleBasedStateMachine):
    """Both do the same steps; every answer is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.real = Breaker(STEADY, Random(0))
        self.model = Reference()
        self.model.bucket = 0
        self.running: list[Mirror] = []
        self.unsettled_probes: list[tuple[Mirror, float]] = []

    @rule(by=st.floats(0.0, 2.0) | st.floats(0.0, 40.0) | st.sampled_from([400.0]))
    def time_goes_on(self, by: float) -> None:
        self.now += by

    @rule(by=st.sampled_from([0.5, 5.0, 100.0, 900.0]))
    def the_clock_jumps_back(self, by: float) -> None:
        self.now = max(0.0, self.now - by)

    @rule(count=st.integers(1, 6))
    def attempts_begin(self, count: int) -> None:
        for _ in range(count):
            may = self.model.may_begin(self.now)
            assert self.real.available(self.now).ok is may
            permit = self.real.begin(self.now)
            assert (permit is not None) is may
            if permit is None:
                return
            is_probe = self.model.phase == "half-open"
            assert permit.probe is is_probe
            event = None if is_probe else self.model.note("start", self.now)
            mirror = Mirror(permit, self.model.generation, event)
            if is_probe:
                self.model.probe, self.model.lost = mirror, None
                self.model.lease_ends = self.now + 30
            self.running.append(mirror)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 100),
        count=st.integers(1, 6),
        outcome=st.sampled_from([*Outcome, Outcome.FAILED, Outcome.OK]),
        ttft_s=st.sampled_from([0.2, 0.2, 11.0]),
    )
    def attempts_end(self, which: int, count: int, outcome: Outcome, ttft_s: float) -> None:
        for _ in range(min(count, len(self.running))):
            mirror = self.running.pop(which % len(self.running))
            self.model.record(mirror, outcome, ttft_s, self.now)
            self.real.record(mirror.real, outcome, self.now, ttft_s)
            assert self.real.record(mirror.real, outcome, self.now, ttft_s) is None

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 100))
    def an_attempt_is_cancelled(self, which: int) -> None:
        mirror = self.running.pop(which % len(self.running))
        self.model.cancel(mirror, self.now)
        self.real.cancel(mirror.real, self.now)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 100))
    def an_attempt_is_lost(self, which: int) -> None:
        self.running.pop(which % len(self.running))

    @invariant()
    def they_agree(self) -> None:
        self.model.tick(self.now)
        assert self.real.state(self.now) is PHASES[self.model.phase]
        until = self.real.available(self.now).until
        assert until is None or until - self.now <= 300.0
        assert self.real.failure_share(self.now) == self.model.failure_share(self.now)


def test_it_does_what_the_reference_does() -> None:
    """T10: 200,000 steps in the soak."""
    steps = 0

    class Counted(Steps):
        @invariant()
        def one_more(self) -> None:
            nonlocal steps
            steps += 1

    often = settings(
        max_examples=2_300 if SOAK else 40,
        stateful_step_count=100 if SOAK else 50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Counted, settings=often)
    assert steps >= (200_000 if SOAK else 1_000)


# --- promises


def test_five_failures_in_a_row_open_it() -> None:
    breaker = closed()
    for _ in range(4):
        attempt(breaker, Outcome.FAILED, 0.0)
    assert breaker.state(0.0) is State.CLOSED
    permit = breaker.begin(0.0)
    assert permit is not None
    change = breaker.record(permit, Outcome.FAILED, 0.0)
    assert change is not None
    assert change.after is State.OPEN
    assert breaker.begin(4.99) is None
    assert breaker.available(1.0).until == pytest.approx(5.0)


def test_half_of_ten_attempts_open_it_and_a_bit_less_does_not() -> None:
    for failures, state in ((5, State.OPEN), (4, State.CLOSED)):
        breaker = closed()
        for i in range(10):
            good = i % 2 == 0 or i // 2 >= failures
            attempt(breaker, Outcome.OK if good else Outcome.FAILED, i * 0.1)
        assert breaker.state(1.0) is state


def test_old_failures_are_forgotten() -> None:
    breaker = closed()
    for i in range(4):
        attempt(breaker, Outcome.FAILED, 0.1 * i)
    attempt(breaker, Outcome.OK, 0.5)
    for i in range(9):
        attempt(breaker, Outcome.FAILED if i % 3 == 0 else Outcome.OK, 31.0 + i)
    assert breaker.state(40.0) is State.CLOSED


def test_slow_first_tokens_open_it() -> None:
    breaker = closed()
    for i in range(10):
        attempt(breaker, Outcome.OK, i * 1.0, ttft_s=10.5)
    assert breaker.state(10.0) is State.OPEN
    answered = closed()
    for i in range(100):
        attempt(answered, Outcome.OK, i * 0.1, ttft_s=None)
    assert answered.state(10.0) is State.CLOSED


def test_attempts_that_run_keep_a_few_failures_from_opening_it() -> None:
    breaker = closed()
    running = [breaker.begin(0.0) for _ in range(20)]
    for permit in running[:4]:
        assert permit is not None
        breaker.record(permit, Outcome.FAILED, 0.5)
    assert breaker.state(0.5) is State.CLOSED


def test_a_break_in_mid_stream_is_a_failure_more() -> None:
    breaker = closed()
    for i in range(10):
        permit = breaker.begin(i * 1.0)
        if permit is None:
            break
        breaker.record(permit, Outcome.OK, i * 1.0, 0.2)
        breaker.broke(permit, i * 1.0 + 0.5)
    assert breaker.state(5.0) is State.OPEN


def test_a_probe_whose_stream_breaks_off_opens_it_again() -> None:
    breaker = opened()
    permit = probe(breaker, 5.0)
    breaker.record(permit, Outcome.OK, 5.2, 0.2)
    change = breaker.broke(permit, 6.0)
    assert change is not None
    assert change.why == "probe failed"
    stale = opened()
    old = probe(stale, 5.0)
    stale.record(old, Outcome.FAILED, 5.1)
    stale.state(20.0)
    assert stale.broke(old, 20.0) is None


def test_a_bad_request_or_a_throttle_never_counts() -> None:
    breaker = closed()
    for i in range(100):
        attempt(breaker, Outcome.NEUTRAL, i * 0.01)
    assert breaker.state(1.0) is State.CLOSED
    assert breaker.failure_share(1.0) == 0.0
    attempt(breaker, Outcome.FAILED, 1.0)
    attempt(breaker, Outcome.NEUTRAL, 1.0)
    assert breaker.failure_share(1.0) == 1.0


def test_a_pause_is_no_failure_but_takes_it_out() -> None:
    breaker = closed()
    breaker.pause(30.0, 0.0)
    assert breaker.state(1.0) is State.CLOSED
    assert breaker.begin(29.99) is None
    assert breaker.available(1.0).why == "throttled"
    assert breaker.begin(30.0) is not None
    breaker.pause(30.0, 100.0)
    breaker.pause(2.0, 100.0)
    assert breaker.begin(110.0) is None
    breaker.pause(1e12, 200.0)
    assert breaker.begin(200.0 + POLICY.longest_throttle_s) is not None


def test_denied_opens_for_a_minute_and_says_so() -> None:
    breaker = closed()
    permit = breaker.begin(0.0)
    assert permit is not None
    change = breaker.record(permit, Outcome.DENIED, 0.0)
    assert change is not None
    assert change.why == "denied"
    assert breaker.begin(59.0) is None
    assert breaker.begin(60.0) is not None


def test_time_out_doubles_is_capped_and_forgiven() -> None:
    breaker = opened()
    now = until(breaker, 0.0)
    spans = [now]
    for _ in range(4):
        breaker.record(probe(breaker, now), Outcome.FAILED, now)
        spans.append(until(breaker, now) - now)
        now += spans[-1]
    assert spans == pytest.approx([5, 10, 20, 20, 20])
    for _ in range(2):
        breaker.record(probe(breaker, now), Outcome.OK, now)
    now += 65.0  # a minute of health forgives one doubling
    for _ in range(5):
        attempt(breaker, Outcome.FAILED, now)
    assert until(breaker, now) - now == pytest.approx(10.0)


def test_probes_that_cost_callers_long_are_rarer() -> None:
    breaker = opened()
    now = until(breaker, 0.0)
    spans = []
    for _ in range(9):
        permit = probe(breaker, now)
        now += 15.0  # the time limit to the first token
        breaker.record(permit, Outcome.FAILED, now)
        spans.append(until(breaker, now) - now)
        now += spans[-1]
    assert spans == pytest.approx([10, 20, 40, 80, 160, 300, 300, 300, 300])


def test_time_out_is_jittered() -> None:
    spans = set()
    for seed in range(200):
        breaker = Breaker(POLICY, Random(seed))
        for _ in range(5):
            attempt(breaker, Outcome.FAILED, 0.0)
        spans.add(breaker.available(0.0).until)
    assert all(s is not None and 4.0 <= s <= 6.0 for s in spans)
    assert len(spans) > 100


def test_one_probe_at_a_time_two_close_it_and_traffic_comes_back_slowly() -> None:
    breaker = opened()
    first = probe(breaker, 5.0)
    assert breaker.begin(5.1) is None
    assert breaker.available(5.1).why == "probing"
    breaker.record(first, Outcome.OK, 6.0)
    assert breaker.state(6.0) is State.HALF_OPEN
    change = breaker.record(probe(breaker, 6.0), Outcome.OK, 7.0)
    assert change is not None
    assert change.after is State.CLOSED
    assert breaker.share(7.0) == pytest.approx(0.1)
    assert breaker.share(22.0) == pytest.approx(0.55)
    assert breaker.share(37.0) == 1.0
    assert breaker.plain


@pytest.mark.parametrize("end", ["cancelled", "lost"])
def test_a_probe_without_outcome_opens_it_again_but_is_not_held_against_it(end: str) -> None:
    breaker = opened()
    first = probe(breaker, 5.0)
    if end == "cancelled":
        breaker.cancel(first, 6.0)
        assert breaker.begin(10.9) is None
        assert breaker.begin(11.0) is not None
    else:
        assert breaker.begin(34.9) is None
        assert breaker.state(35.0) is State.OPEN
        assert breaker.begin(40.0) is not None


def test_a_probe_that_outlives_its_lease_still_counts() -> None:
    breaker = opened()
    first = probe(breaker, 5.0)
    assert breaker.state(36.0) is State.OPEN
    breaker.record(first, Outcome.OK, 36.0)
    assert breaker.state(36.0) is State.HALF_OPEN
    breaker.record(probe(breaker, 36.0), Outcome.OK, 37.0)
    assert breaker.state(37.0) is State.CLOSED


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED])
def test_a_probe_that_was_given_up_does_not_end_the_next(outcome: Outcome) -> None:
    """Found by simulation: its late failure opened it, and a third began beside the second."""
    breaker = opened()
    first = probe(breaker, 5.0)
    assert breaker.state(36.0) is State.OPEN
    second = probe(breaker, 41.0)
    breaker.record(first, outcome, 45.0)
    assert breaker.available(45.0).why == "probing"
    assert breaker.begin(60.0) is None
    breaker.record(second, Outcome.OK, 61.0)
    assert breaker.state(61.0) is State.HALF_OPEN


def test_outcomes_from_before_it_opened_do_not_close_it() -> None:
    breaker = closed()
    early = [breaker.begin(0.0) for _ in range(10)]
    for _ in range(5):
        attempt(breaker, Outcome.FAILED, 0.1)
    for permit in early:
        assert permit is not None
        breaker.record(permit, Outcome.OK, 5.5)
    assert breaker.state(5.5) is State.HALF_OPEN


def test_a_clock_that_steps_back_makes_nothing_longer() -> None:
    paused = closed()
    paused.pause(30.0, 1000.0)
    assert paused.begin(10.0) is None
    assert paused.begin(40.0) is not None
    growing = opened(1000.0)
    for now in (1005.0, 1006.0):
        growing.record(probe(growing, now), Outcome.OK, now)
    assert growing.share(10.0) == pytest.approx(0.1)
    assert growing.share(40.0) == 1.0


def test_isolated_until_restored() -> None:
    breaker = closed()
    breaker.isolate()
    assert breaker.state(1e6) is State.ISOLATED
    assert breaker.begin(1e6) is None
    assert breaker.available(0.0).until is None
    breaker.restore(1e6)
    assert breaker.begin(1e6) is not None
    assert breaker.share(1e6) == pytest.approx(0.1)


def test_others_take_over_what_happened() -> None:
    mine, theirs = opened(100.0), closed()
    theirs.adopt(mine.export(102.0), 7.0)  # their clock is another
    assert theirs.state(9.9) is State.OPEN
    assert theirs.state(10.0) is State.HALF_OPEN
    for now in (105.0, 106.0):
        mine.record(probe(mine, now), Outcome.OK, now)
    theirs.adopt(mine.export(106.5), 11.5)
    assert theirs.state(11.5) is State.CLOSED
    mine.pause(20.0, 110.0)
    theirs.adopt(mine.export(110.0), 15.0)
    assert theirs.begin(34.0) is None
    mine.isolate()
    theirs.adopt(mine.export(140.0), 45.0)
    assert theirs.state(45.0) is State.ISOLATED
    mine.restore(150.0)
    theirs.adopt(mine.export(150.5), 55.5)
    assert theirs.begin(55.5) is not None


def test_old_news_changes_nothing() -> None:
    mine, theirs = opened(100.0), closed()
    healthy = theirs.export(100.0)
    mine.adopt(healthy, 101.0)
    assert mine.state(101.0) is State.OPEN

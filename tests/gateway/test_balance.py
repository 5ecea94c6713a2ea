"""Choosing within a tier: seeded, by counts."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.policies import BalancePolicy, BreakerPolicy
from headrace.gateway.balance import Balancer, of_session
from headrace.gateway.fleet import Fleet, Tier
from headrace.gateway.health import Outcome
from headrace.gateway.load import Load, Pace


class Backend:
    """A candidate with what a test sets."""

    def __init__(self, name: str, share: float = 1.0, failing: float = 0.0) -> None:
        self.name = name
        self.load = Load()
        self.part = share
        self.fails = failing

    def share(self, now: float) -> float:
        return self.part

    def failing(self, now: float) -> float:
        return self.fails


def backends(count: int, ttft_s: float = 0.5) -> list[Backend]:
    made = [Backend(f"b{i}") for i in range(count)]
    for backend in made:
        backend.load.stream.observe(ttft_s, 0.0)
    return made


def chosen(
    candidates: list[Backend], calls: int, method: str = "p2c", now: float = 0.0
) -> Counter[str]:
    policy = BalancePolicy(method=method, weights={"b0": 3.0})  # type: ignore[arg-type]
    balancer, rng = Balancer(policy), Random(7)
    return Counter(balancer.choose(candidates, now, rng, stream=True).name for _ in range(calls))


def test_round_robin_goes_in_turn() -> None:
    assert set(chosen(backends(4), 400, "round_robin").values()) == {100}


def test_weights_are_shares() -> None:
    counts = chosen(backends(2), 4_000, "weighted")
    assert 2.5 < counts["b0"] / counts["b1"] < 3.5


def test_least_busy_takes_the_least_busy() -> None:
    made = backends(3)
    made[0].load.running, made[1].load.running = 5, 2
    assert chosen(made, 50, "least_busy") == {"b2": 50}


def test_p2c_prefers_the_faster_and_never_takes_the_worst() -> None:
    made = backends(3)
    made[0].load.stream.observe(5.0, 0.0)
    counts = chosen(made, 1_000)
    assert counts["b0"] == 0
    assert counts["b1"] > 300


def test_p2c_counts_running_calls() -> None:
    made = backends(2)
    made[0].load.running = 1
    assert chosen(made, 100) == {"b1": 100}


def test_a_slow_backend_is_tried_again_in_time() -> None:
    made = backends(2)
    made[0].load.stream.observe(5.0, 0.0)
    made[1].load.stream.observe(0.5, 30.0)
    assert chosen(made, 10, now=30.0)["b0"] == 10


def test_an_unknown_backend_gets_one_call_at_a_time() -> None:
    made = backends(1)
    made.append(Backend("new"))
    assert chosen(made, 10) == {"new": 10}
    made[1].load.running = 1
    assert chosen(made, 10) == {"b0": 10}


def test_failing_fast_attracts_nothing() -> None:
    made = backends(2)
    made[0].load.stream = Pace(10.0, peaks=True)
    made[0].load.stream.observe(0.2, 0.0)
    made[0].fails = 0.5
    counts = chosen(made, 6_000)  # by load alone it would get all of them
    assert 4_800 < counts["b1"] < 5_200
    made[0].fails = made[1].fails = 0.5
    assert chosen(made, 100) == {"b0": 100}


@pytest.mark.parametrize(
    ("good", "bad", "least", "most"),
    [
        (0, 1, 0.30, 0.40),  # one failure among few calls: a third of its calls go elsewhere
        (9, 1, 0.33, 0.43),
        (200, 1, 0.45, 0.52),
        (5, 15, 0.0, 0.15),  # what fails in earnest is drained within some calls
        (20, 80, 0.0, 0.08),
    ],
)
def test_single_failures_move_few_calls(good: int, bad: int, least: float, most: float) -> None:
    rng, now = Random(9), 100.0
    fleet = Fleet(rng)
    never = BreakerPolicy(min_calls=100_000, failures_in_a_row=100_000)
    pair = [fleet.enlist(name, breaker=never) for name in "ab"]
    for backend in pair:
        backend.load.stream.observe(0.5, now)
        for i in range(good + bad):
            permit = backend.breaker.begin(now)
            assert permit is not None
            failed = backend.name == "a" and i >= good
            backend.breaker.record(permit, Outcome.FAILED if failed else Outcome.OK, now)
    tier = Tier(pair, BalancePolicy())
    glanced = Counter(b.name for _ in range(4_000) if (b := tier.glance(now, rng, True)))
    balanced = Counter(tier.balancer.choose(pair, now, rng, stream=True).name for _ in range(4_000))
    for counts in (glanced, balanced):
        assert least < counts["a"] / 4_000 < most


def test_quota_left_spreads_calls() -> None:
    made = backends(2)
    made[0].load.read(
        {b"x-ratelimit-remaining-requests": b"10", b"x-ratelimit-limit-requests": b"100"}, 0.0
    )
    assert chosen(made, 100) == {"b1": 100}
    assert made[0].load.left(0.0) == pytest.approx(0.1)
    assert made[0].load.left(61.0) == 1.0


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-limit-tokens": b"1000"}, 0.05),
        (
            {
                b"anthropic-ratelimit-requests-remaining": b"30",
                b"anthropic-ratelimit-requests-limit": b"40",
                b"anthropic-ratelimit-tokens-remaining": b"100",
                b"anthropic-ratelimit-tokens-limit": b"400",
            },
            0.25,
        ),
        ({b"x-ratelimit-remaining-requests": b"-1"}, 1.0),
        ({b"x-ratelimit-remaining-requests": b"many"}, 1.0),
        ({}, 1.0),
    ],
)
def test_quota_headers(headers: dict[bytes, bytes], left: float) -> None:
    load = Load()
    load.read(headers, 5.0)
    assert load.left(5.0) == pytest.approx(left)


def test_without_a_limit_header_the_most_ever_left_stands_for_it() -> None:
    load = Load()
    load.read({b"x-ratelimit-remaining-requests": b"200"}, 0.0)
    load.read({b"x-ratelimit-remaining-requests": b"50"}, 1.0)
    assert load.left(1.0) == pytest.approx(0.25)


@pytest.mark.parametrize("method", ["p2c", "round_robin", "weighted", "least_busy"])
def test_one_that_comes_back_gets_no_more_than_its_share(method: str) -> None:
    made = backends(4, ttft_s=0.5)
    made[0].part = 0.1
    made[0].load.stream = Pace(10.0, peaks=True)
    made[0].load.stream.observe(0.01, 0.0)  # would be everyone's favourite
    counts = chosen(made, 2_000, method)
    assert 10 < counts["b0"] < 2_000 * 0.5 * 0.1 * 1.3


def test_all_coming_back_are_all_used() -> None:
    made = backends(2)
    for backend in made:
        backend.part = 0.1
    assert chosen(made, 100).total() == 100


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=32), st.integers(2, 8), st.integers(0, 7))
def test_a_session_stays_and_comes_back(session: bytes, count: int, gone: int) -> None:
    made = backends(count)
    home = of_session(made, session)
    rest = [b for b in made if b is not made[gone % count]]
    if home in rest:
        assert of_session(rest, session) is home
    assert of_session(list(reversed(made)), session) is home


def test_sessions_spread_evenly() -> None:
    made = backends(4)
    counts = Counter(of_session(made, b"user-%d" % i).name for i in range(2_000))
    assert min(counts.values()) > 400


def test_pace_peaks_at_once_and_falls_slowly() -> None:
    pace = Pace(10.0, peaks=True)
    pace.observe(0.5, 0.0)
    pace.observe(4.0, 1.0)
    assert pace.cost(1.0) == 4.0
    pace.observe(0.5, 2.0)
    assert 3.0 < pace.cost(2.0) < 4.0
    assert pace.cost(1.0) == pace.cost(2.0)  # a clock that steps back
    before = pace.cost(2.0)
    pace.observe(0.5, 1.0)
    assert pace.cost(1.0) == before


def test_median_follows() -> None:
    pace, rng = Pace(10.0, peaks=True), Random(3)
    pace.observe(20.0, 0.0)
    for i in range(2_000):
        pace.observe(rng.lognormvariate(0.0, 0.5), i * 0.1)
    assert 0.7 < pace.median_s < 1.4

"""Outages, brownouts and partial failures in virtual time, with the real decisions.

The world is the one of the reference's own simulations: a region answers one call after another,
goes on working for callers that gave up, and callers give up after two seconds.
"""

from __future__ import annotations

import os
from statistics import median

import pytest

from headrace.config.policies import RetryBudgetPolicy, RetryPolicy
from headrace.gateway.health import State
from simulation.world import BOUNDLESS, NAKED, NEVER, World

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
SEEDS = range(5 if SOAK else 2)
HORIZON_S = 120.0
FREE = RetryPolicy(free_failover_below=1.0)
BUDGETLESS = RetryBudgetPolicy(burst=100_000, per_s=1000.0)
"""Retries without a budget, as gateways have them."""


def brownout(world: World, hit: str) -> float:
    """80 calls a second throughout, 20 % of the capacity for 30 s. Seconds until it is over."""
    world.run(20.0, 80.0)
    for name in hit:
        world.regions[name].speed = 0.2
    world.run(30.0, 80.0)
    for name in hit:
        world.regions[name].speed = 1.0
    end = world.clock.now
    world.run(HORIZON_S, 80.0)
    return world.recovered_after(end, HORIZON_S)


CASES = [([100.0], "A"), ([50.0, 50.0], "A"), ([50.0, 50.0], "AB")]


@pytest.mark.parametrize(("capacities", "hit"), CASES)
def test_a_brownout_ends_when_its_cause_ends(capacities: list[float], hit: str) -> None:
    """T08. The baseline neither retries nor fails over nor limits."""
    for seed in SEEDS:
        naked = World(seed, capacities, retry=NAKED, breaker=NEVER, concurrency=BOUNDLESS)
        baseline_s = min(brownout(naked, hit), HORIZON_S)
        ours = World(seed, capacities)
        assert brownout(ours, hit) <= baseline_s + 10.0
        assert ours.attempts_per_call() <= 1.2


@pytest.mark.parametrize(("capacities", "hit"), CASES)
def test_free_retries_never_recover(capacities: list[float], hit: str) -> None:
    """The storm is real: without budget, breaker and limit this world does not come back."""
    free = World(
        0, capacities, retry=FREE, retries=BUDGETLESS, breaker=NEVER, concurrency=BOUNDLESS
    )
    assert brownout(free, hit) == float("inf")
    assert free.attempts_per_call() > 1.5


@pytest.mark.parametrize("as_tiers", [False, True])
@pytest.mark.parametrize("per_s", [5.0, 50.0])
@pytest.mark.parametrize("dead", ["A", "AB"])
def test_an_outage_is_not_multiplied(dead: str, per_s: float, as_tiers: bool) -> None:
    """T07: at most 1.2 attempts a call, over all and on each backend."""
    for seed in SEEDS:
        world = World(seed, [100.0, 100.0], as_tiers=as_tiers)
        world.run(20.0, per_s)
        since = world.clock.now
        for name in dead:
            world.regions[name].dead = True
        world.run(60.0, per_s)
        world.clock.run_until(world.clock.now + 20.0)
        calls = sum(arrived >= since for arrived, *_ in world.ends)
        assert world.attempts_per_call(since) <= 1.2
        for name in "AB":
            assert world.attempts_on(name, since) <= 1.2 * calls
        if dead == "A":
            assert world.success(since, since + 60.0) == 1.0


@pytest.mark.parametrize("per_s", [5.0, 50.0])
def test_even_with_a_breaker_that_never_opens(per_s: float) -> None:
    """The budgets alone hold the bound."""
    for seed in SEEDS:
        world = World(seed, [100.0, 100.0], breaker=NEVER, concurrency=BOUNDLESS)
        for region in world.regions.values():
            region.dead = True
        world.run(120.0, per_s)
        world.clock.run_until(world.clock.now + 20.0)
        assert world.attempts_per_call(1030.0) <= 1.2


@pytest.mark.parametrize("hit", ["A", "AB"])
@pytest.mark.parametrize(("failing", "promised"), [(0.05, 0.999), (0.1, 0.995)])
def test_partial_failure_is_hidden(failing: float, promised: float, hit: str) -> None:
    """T09, of one region and of both."""
    for per_s in (5.0, 50.0):
        for seed in SEEDS:
            world = World(seed, [100.0, 100.0])
            for name in hit:
                world.regions[name].failing = failing
            world.run(100.0 if per_s > 5 else 400.0, per_s)
            world.clock.run_until(world.clock.now + 20.0)
            assert world.success(0.0, world.clock.now) >= promised
            healthy = World(seed, [100.0, 100.0])
            healthy.run(60.0, per_s)
            took, usual = (median(t for *_, t in w.ends) for w in (world, healthy))
            assert took <= usual + 0.005


def test_a_region_dies_and_comes_back() -> None:
    """T11, at 50 calls a second: nobody notices, it is out within 2 s, probes are single, and it
    is back at its full share within a minute, without a burst."""
    for seed in SEEDS:
        world = World(seed, [100.0, 100.0])
        world.run(20.0, 50.0)
        region, died = world.regions["A"], world.clock.now
        region.dead = True
        breaker = world.fleet["A"].breaker
        world.run(2.0, 50.0)
        assert breaker.state(world.clock.now) is not State.CLOSED
        tried = len(region.attempts_at)
        world.run(58.0, 50.0)
        gaps = [b - a for a, b in zip(region.attempts_at[tried:], region.attempts_at[tried + 1 :],
                                      strict=False)]  # fmt: skip
        assert gaps
        assert min(gaps) >= 5.0 * 0.8
        assert world.success(died, world.clock.now) == 1.0
        assert max(attempts for arrived, _, attempts, _ in world.ends if arrived >= died) == 2
        region.dead = False
        back = world.clock.now
        world.run(60.0, 50.0)
        assert breaker.share(world.clock.now) == 1.0
        assert world.success(back, world.clock.now) == 1.0
        closed = next(at for at in region.attempts_at if at > back)
        burst = sum(closed <= at < closed + 6.0 for at in region.attempts_at)
        # Its share grows from 10 to 28 % in 6 s: 19 % of its fair 25 calls a second, twice that
        # at most, plus three standard deviations. Without a slow start it would be 150 or more.
        assert burst <= 2 * 6.0 * 25.0 * 0.19 + 3 * (57.0**0.5)

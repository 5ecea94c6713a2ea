"""T31: simulated hours of random mishaps. `make simulate` lives thousands of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.config.policies import (
    BreakerPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    SheddingPolicy,
)
from headrace.gateway.attempts import Attempts
from headrace.gateway.breaker import Breaker
from headrace.gateway.concurrency import Limit
from headrace.gateway.health import Permit
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import Go
from headrace.gateway.story import Story
from simulation.hour import Hour, Policies
from simulation.promises import Witness
from simulation.world import NEVER

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
SEEDS = range(2_000 if SOAK else 40)
TESTS = Path(__file__).parents[1]


def test_every_promise_is_kept() -> None:
    mishaps: set[str] = set()
    for seed in SEEDS:
        result = Hour(seed).run()
        assert not result.breaches, f"{result.breaches[:3]}; make simulate SEED={seed}"
        assert result.recovery_s <= 60.0
        mishaps |= {what.split(" for ")[0] for _, what in result.mishaps}
    assert {"killed", "restarted", "reload", "busy", "disk full", "A dead", "B cut off"} <= mishaps


def test_an_hour_can_be_lived_again() -> None:
    first, again, other = Hour(7).run(), Hour(7).run(), Hour(8).run()
    assert first._replace(cpu_s=0) == again._replace(cpu_s=0)
    assert other.trace != first.trace


def test_the_command_replays_in_another_process() -> None:
    """Another process has other hashes of strings: no event may hang on them."""
    lived = Hour(7).run()
    for salt in ("1", "2"):
        env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": salt}
        command = [sys.executable, "-m", "simulation", "--seed", "7", "--json"]
        told = json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)
        assert told["trace"] == lived.trace
        assert told["calls"] == lived.calls


def test_the_command_sums_up(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "simulation", "--seeds", "6", "--jobs", "2"]
    table = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert "hours in which a promise was not kept" in table
    told = json.loads(subprocess.run([*command, "--json"], env=env, capture_output=True).stdout)
    assert told["hours"] == 6
    assert told["failed"] == []
    assert told["trace"] in table  # the same hours, whatever the processes


# --- the promises can be broken


def is_broken(promise: str, policies: Policies | None = None) -> bool:
    """Whether a gateway with these policies breaks it in some hour."""
    hours = (Hour(seed, policies).run() for seed in range(60))
    return any(breach.promise == promise for hour in hours for breach in hour.breaches)


FREE = RetryBudgetPolicy(burst=100_000, per_s=1000.0)
LASTING = BreakerPolicy(open_s=900.0, open_cap_s=900.0)
EAGER = SheddingPolicy(batch_lag_ms=10.0, all_lag_ms=15.0)
BAD_POLICIES = {
    "a failing backend is out": Policies(breaker=NEVER),
    "retries within the budget": Policies(breaker=NEVER, budget=FREE),
    "an outage is not multiplied": Policies(breaker=NEVER, budget=FREE),
    "a region that is well answers": Policies(breaker=LASTING),
    "at most 4 attempts": Policies(retry=RetryPolicy(attempts=8)),
    "no attempt past the deadline": Policies(late_s=60.0),
    "the least important first": Policies(shedding=EAGER),
}
"""By the promise that they break. Promises are held against the defaults, whatever the gateway
goes by."""


@pytest.mark.parametrize("promise", BAD_POLICIES)
def test_bad_policies_are_noticed(promise: str) -> None:
    assert is_broken(promise, BAD_POLICIES[promise])


def _deaf(breaker: Breaker, seconds: float, now: float, why: str = "throttled") -> None:
    """Hears no Retry-After."""


def _probes_at_once(breaker: Breaker, now: float) -> Permit | None:
    permit = BEGIN(breaker, now)
    breaker._probe = None
    return permit


def _never_enough(plan: Attempts, *args: object) -> bool:
    return True


def _remembers(limit: Limit, now: float) -> None:
    """Forgets no cut."""


def _dumb(story: Story, did: str, backend: str | None, why: str, now: float) -> None:
    """Tells nothing."""


def _leaks(attempts: Attempts, go: Go, now: float) -> None:
    go.ended = now  # and it counts as running for ever


def _lost(witness: Witness, *args: object) -> None:
    """A call that nobody answers."""


BEGIN = Breaker.begin
SABOTAGE: dict[str, tuple[type, str, Callable[..., object]]] = {
    "left alone as asked": (Breaker, "pause", _deaf),
    "one probe at a time": (Breaker, "begin", _probes_at_once),
    "at most 2 attempts on a backend": (CallPlan, "_may_repeat", _never_enough),
    "a region that is well answers": (Limit, "forget", _remembers),
    "every decision has a story": (Story, "note", _dumb),
    "nothing is left running": (Attempts, "_release", _leaks),
    "no call without an end": (Witness, "ends_call", _lost),
}


@pytest.mark.parametrize("promise", SABOTAGE)
def test_sabotage_is_noticed(promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead = SABOTAGE[promise]
    monkeypatch.setattr(owner, name, instead)
    assert is_broken(promise)

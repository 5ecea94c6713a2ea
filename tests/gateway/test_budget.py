"""The retry budget against a list of what happened, and its bound."""

from __future__ import annotations

import os

import hypothesis.strategies as st
from hypothesis import given, settings

from headrace.config.policies import RetryBudgetPolicy
from headrace.gateway.budget import Budget

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
STEP = st.tuples(st.sampled_from(["take", "succeed"]), st.floats(0.0, 5.0))


def test_starts_full_and_runs_dry() -> None:
    budget = Budget(RetryBudgetPolicy())
    assert [budget.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.take(1.9)
    assert budget.take(2.0)


def test_five_successes_pay_for_one_retry() -> None:
    budget = Budget(RetryBudgetPolicy(per_s=0.0))
    while budget.take(0.0):
        pass
    for _ in range(5):
        assert not budget.affords(0.0)
        budget.succeeded()
    assert budget.take(0.0)


def test_a_clock_that_steps_back_brings_nothing() -> None:
    budget = Budget(RetryBudgetPolicy())
    for _ in range(10):
        budget.take(1000.0)
    assert not budget.take(10.0)
    assert budget.take(12.0)


@settings(max_examples=2_000 if SOAK else 50, deadline=None)
@given(st.lists(STEP, max_size=200))
def test_never_more_than_its_bound(steps: list[tuple[str, float]]) -> None:
    budget = Budget(RetryBudgetPolicy())
    now, taken, successes, model = 0.0, 0, 0, 10.0
    for what, after in steps:
        now += after
        model = min(10.0, model + 0.5 * after)
        if what == "take":
            afforded = model >= 1.0
            if abs(model - 1.0) > 1e-6:
                assert budget.affords(now) is afforded
            if budget.take(now):
                taken += 1
                model -= 1.0
        else:
            budget.succeeded()
            successes += 1
            model = min(10.0, model + 0.2)
        assert taken <= 10.0 + 0.2 * successes + 0.5 * now + 1e-6

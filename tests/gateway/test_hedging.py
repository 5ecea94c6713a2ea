"""When a second backend may be asked: the quantile, the share, the budgets."""

from __future__ import annotations

from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from headrace.config.policies import HedgePolicy, RetryBudgetPolicy, RetryPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.hedging import KEPT_TIMES, LEAST_TIMES, Hedging
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import Go

POLICY = HedgePolicy(enabled=True)
FAULT = Failure(Kind.SERVER, Refused(Reason.UPSTREAM_FAILED, "test"))


def test_nothing_is_late_before_enough_is_known() -> None:
    hedging = Hedging(POLICY)
    for _ in range(LEAST_TIMES - 1):
        hedging.took("a", 1.0)
    assert hedging.after_s("a") is None
    hedging.took("a", 1.0)
    assert hedging.after_s("a") == 1.0
    assert hedging.after_s("b") is None


@given(st.lists(st.floats(0.001, 1000), min_size=LEAST_TIMES, max_size=3 * KEPT_TIMES))
def test_the_quantile_is_of_the_last_times(times: list[float]) -> None:
    hedging = Hedging(POLICY)
    for seconds in times:
        hedging.took("a", seconds)
    last = sorted(times[-KEPT_TIMES:])
    late_s = hedging.after_s("a")
    assert late_s is not None
    assert sum(seconds > late_s for seconds in last) <= 0.05 * len(last)
    assert late_s == last[min(len(last) - 1, int(0.95 * len(last)))]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.5])
def test_at_most_the_share_of_calls_is_hedged(share: float) -> None:
    """Whatever comes: quiet times, bursts in which every call is late."""
    dice, hedging = Random(7), Hedging(HedgePolicy(enabled=True, share=share))
    calls = hedges = 0
    for _ in range(40):
        late_share = dice.choice([0.0, 0.01, 0.05, 1.0])
        for _ in range(dice.randrange(1, 700)):
            calls += 1
            hedging.called()
            if dice.random() < late_share and hedging.affords():
                hedging.sent()
                hedges += 1
            assert hedges <= share * calls + 1e-6
    if share:
        assert hedges > 0.2 * share * calls


class House:
    """A fleet whose backends have answered, and plans of whole answers on it."""

    def __init__(
        self, *tiers: str, attempts: int = 4, retries: RetryBudgetPolicy | None = None
    ) -> None:
        self.now = 1000.0
        self.fleet = Fleet(Random(3), retries)
        for name in "".join(tiers):
            self.fleet.enlist(name, retries=retries)
        retry = RetryPolicy(attempts=attempts)
        self.route = Route(self.fleet, [list(tier) for tier in tiers], retry=retry)

    def begun(self, seconds: float = 60.0) -> tuple[CallPlan, Go]:
        plan = CallPlan(self.fleet, self.route, self.now, self.now + seconds, stream=False)
        step = plan.next(self.now)
        assert isinstance(step, Go)
        return plan, step

    def running(self) -> int:
        return sum(backend.load.running for backend in self.fleet.all())


def told(plan: CallPlan) -> list[tuple[str, str | None, str]]:
    return [(d.did, d.backend, d.why) for d in plan.decisions() if d.did != "skipped"]


@pytest.mark.parametrize("winner", [0, 1])
def test_two_are_asked_and_one_wins(winner: int) -> None:
    house = House("ab")
    plan, first = house.begun()
    second = plan.hedge(house.now + 1)
    assert second is not None
    assert second.backend is not first.backend
    assert house.running() == 2
    both = (first, second)
    plan.leads(both[winner])
    plan.lost(both[1 - winner], house.now + 2)
    plan.ended(house.now + 2)
    plan.cancelled(house.now + 2)
    assert house.running() == 0
    results = ["ok", "lost"] if winner == 0 else ["lost", "ok"]
    assert [why for _, _, why in told(plan)] == results
    assert [did for did, _, _ in told(plan)] == ["first", "hedge"]


@pytest.mark.parametrize("loser", [0, 1])
def test_one_fails_and_the_other_answers(loser: int) -> None:
    house = House("ab")
    plan, first = house.begun()
    second = plan.hedge(house.now + 1)
    assert second is not None
    both = (first, second)
    plan.failed(both[loser], FAULT, house.now + 2)
    plan.leads(both[1 - loser])
    plan.ended(house.now + 3)
    assert house.running() == 0
    assert sorted(why for _, _, why in told(plan)) == ["ok", "server"]


def test_both_fail_and_the_plan_goes_on() -> None:
    house = House("ab", "c")
    plan, first = house.begun()
    second = plan.hedge(house.now + 1)
    assert second is not None
    plan.failed(first, FAULT, house.now + 2)
    plan.leads(second)
    step = plan.next(house.now + 3, FAULT)
    assert plan.attempts <= 3
    assert not isinstance(step, Go) or step.backend.name in "abc"
    assert house.running() == (1 if isinstance(step, Go) else 0)


def test_the_last_attempt_is_not_hedged() -> None:
    plan, _ = House("ab", attempts=1).begun()
    assert plan.hedge(1001.0) is None


def test_only_one_as_good_is_asked() -> None:
    plan, _ = House("a", "b").begun()
    assert plan.hedge(1001.0) is None
    house = House("ab")
    plan, first = house.begun()
    other = next(b for b in house.fleet.all() if b is not first.backend)
    other.breaker.isolate()
    assert plan.hedge(house.now) is None
    assert plan.running is first


def test_a_backend_that_fails_is_not_asked() -> None:
    house = House("ab")
    plan, first = house.begun()
    other = next(b for b in house.fleet.all() if b is not first.backend)
    permit = other.breaker.begin(house.now)
    assert permit is not None
    other.breaker.broke(permit, house.now)
    assert plan.hedge(house.now) is None


def test_no_time_left_is_no_time_for_two() -> None:
    house = House("ab")
    for backend in house.fleet.all():
        backend.load.whole.observe(10.0, house.now)
    plan, _ = house.begun(seconds=15)
    assert plan.hedge(house.now + 6) is None
    assert plan.hedge(house.now + 4) is not None


def test_each_takes_from_the_retry_budgets() -> None:
    house = House("ab", retries=RetryBudgetPolicy(burst=3, per_success=0, per_s=0))
    sent = 0
    for _ in range(10):
        plan, _ = house.begun()
        if (second := plan.hedge(house.now)) is not None:
            plan.lost(second, house.now)
            sent += 1
        plan.ended(house.now)
    assert sent == 3
    assert house.fleet.budget.tokens(house.now) == 0

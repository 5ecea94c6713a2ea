"""Which backend is asked to go on with a broken stream, and when none is."""

from __future__ import annotations

from random import Random

import pytest

from headrace.config.policies import RetryBudgetPolicy, RetryPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import Go, Move


def failure(kind: Kind = Kind.SERVER) -> Failure:
    return Failure(kind, Refused(Reason.UPSTREAM_FAILED, "test"))


class House:
    def __init__(
        self, *tiers: str, attempts: int = 4, retries: RetryBudgetPolicy | None = None
    ) -> None:
        self.now = 1000.0
        self.until = 1600.0
        self.fleet = Fleet(Random(3), retries)
        for name in "".join(tiers):
            self.fleet.enlist(name, retries=retries)
        retry = RetryPolicy(attempts=attempts)
        self.route = Route(self.fleet, [list(tier) for tier in tiers], retry=retry)

    def streaming(self) -> CallPlan:
        """A call that has its first content."""
        plan = CallPlan(self.fleet, self.route, self.now, self.now + 30, stream=True)
        assert isinstance(plan.next(self.now), Go)
        plan.first_token(self.now)
        return plan

    def broken(self, plan: CallPlan) -> Go | None:
        """What follows when it breaks off, ten seconds later."""
        self.now += 10
        plan.broke(self.now)
        return plan.resume(self.now, self.until)

    def running(self) -> int:
        return sum(backend.load.running for backend in self.fleet.all())


def last(plan: CallPlan) -> tuple[str, str]:
    decision = plan.decisions()[-1]
    return decision.did, decision.why


def test_another_goes_on_and_ends_well() -> None:
    house = House("ab")
    plan = house.streaming()
    first = plan.running
    go = house.broken(plan)
    assert go is not None
    assert go.move is Move.RESUME
    assert go.backend is not first.backend
    assert house.running() == 1
    plan.first_token(house.now)
    plan.ended(house.now)
    plan.cancelled(house.now)
    assert house.running() == 0
    assert [(d.did, d.why) for d in plan.decisions()] == [("first", "broke"), ("resume", "ok")]


def test_the_next_tier_goes_on_where_the_first_has_no_other() -> None:
    house = House("a", "b")
    go = house.broken(house.streaming())
    assert go is not None
    assert go.backend.name == "b"


def test_twice_at_most() -> None:
    house = House("abcdef", attempts=10)
    plan = house.streaming()
    asked = {plan.running.backend.name}
    for _ in range(2):
        go = house.broken(plan)
        assert go is not None
        asked.add(go.backend.name)
        plan.first_token(house.now)
    assert len(asked) == 3
    assert house.broken(plan) is None
    assert last(plan) == ("gives up", "it was resumed often enough")
    assert house.running() == 0


def test_one_that_gives_nothing_counts_too() -> None:
    house = House("abcd")
    plan = house.streaming()
    assert house.broken(plan)
    for kind in (Kind.SERVER, Kind.REJECTED):
        go = plan.resume(house.now, house.until, failure(kind))
        assert (go is not None) is (kind is Kind.SERVER)
    assert house.running() == 0


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_no_more_than_the_calls_attempts(attempts: int) -> None:
    house = House("abcd", attempts=attempts)
    plan = house.streaming()
    made = 1
    while house.broken(plan) is not None:
        plan.first_token(house.now)
        made += 1
    assert made == attempts
    assert plan.attempts == attempts


def test_not_one_that_is_out_and_no_probe() -> None:
    house = House("ab")
    plan = house.streaming()
    (other,) = (b for b in house.fleet.all() if b is not plan.running.backend)
    for _ in range(5):
        permit = other.breaker.begin(house.now)
        assert permit is not None
        other.breaker.broke(permit, house.now)
    assert house.broken(plan) is None  # ten seconds later it would take a probe
    assert last(plan) == ("gives up", "no other backend can go on")


def test_no_time_left() -> None:
    house = House("ab")
    for backend in house.fleet.all():
        backend.load.stream.observe(5.0, house.now)
    house.until = house.now + 13
    assert house.broken(house.streaming()) is None
    house.until = house.now + 16
    assert house.broken(house.streaming()) is not None


def test_each_takes_from_the_gateways_budget() -> None:
    house = House("ab", retries=RetryBudgetPolicy(burst=2, per_success=0, per_s=0))
    went_on = 0
    for _ in range(4):
        plan = house.streaming()
        went_on += house.broken(plan) is not None
        plan.cancelled(house.now)
    assert went_on == 2
    assert last(plan) == ("gives up", "the gateway's retry budget is spent")
    assert house.running() == 0


def test_a_client_that_leaves_meanwhile() -> None:
    house = House("ab")
    plan = house.streaming()
    assert house.broken(plan)
    plan.cancelled(house.now)
    assert house.running() == 0
    assert last(plan) == ("resume", "cancelled")

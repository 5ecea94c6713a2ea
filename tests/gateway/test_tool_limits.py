"""Limits of tool calls, on a clock of the test's own."""

from __future__ import annotations

import random

import pytest

from headrace.config.tool_servers import ToolLimit
from headrace.gateway import tool_limits
from headrace.gateway.tool_limits import Denied, Taken, ToolLimits
from headrace.nouns import Caller

ONE = Caller("one", user="ann", team="red")
TWO = Caller("two", user="bob", team="red")
ALONE = Caller("alone", tenant="other")


def taken(found: Taken | Denied) -> Taken:
    assert isinstance(found, list), found
    return found


def test_no_span_admits_more_than_it_may() -> None:
    limits = ToolLimits([ToolLimit(calls=10, every_s=60.0)])
    dice, now = random.Random(7), 1000.0
    admitted: list[float] = []
    for _ in range(5_000):
        now += dice.expovariate(1.0)
        if not isinstance(limits.take(ONE, "a__b", now), Denied):
            admitted.append(now)
    assert len(admitted) >= 10 * (now - 1000.0) / 60.0 * 0.99
    for span_s in (1.0, 30.0, 60.0, 600.0):
        most = 10 + 10 * span_s / 60.0
        for at, began in enumerate(admitted):
            within = sum(1 for later in admitted[at : at + 200] if later < began + span_s)
            assert within <= most + 1e-6


def test_what_was_refused_is_not_counted_anywhere() -> None:
    rules = [ToolLimit(calls=100, concurrent=5), ToolLimit(per="team", concurrent=1)]
    limits = ToolLimits(rules)
    held = taken(limits.take(ONE, "a__b", 0.0))
    for _ in range(200):
        denied = limits.take(TWO, "a__b", 0.0)
        assert isinstance(denied, Denied)
        assert (denied.limit, denied.retry_after_s) == (rules[1], None)
    limits.give_back(held)
    for _ in range(100):
        limits.give_back(taken(limits.take(TWO, "a__b", 0.0)))
    assert isinstance(limits.take(TWO, "a__b", 0.0), Denied)


@pytest.mark.parametrize(
    ("per", "together"), [("key", False), ("user", False), ("team", True), ("tenant", True)]
)
def test_each_has_a_count_of_its_own(per: str, together: bool) -> None:
    limits = ToolLimits([ToolLimit(per=per, calls=1, every_s=60.0)])  # type: ignore[arg-type]
    taken(limits.take(ONE, "a__b", 0.0))
    assert isinstance(limits.take(TWO, "a__c", 0.0), Denied) == together
    taken(limits.take(ALONE, "a__b", 0.0))
    denied = limits.take(ONE, "a__b", 15.0)
    assert isinstance(denied, Denied)
    assert denied.retry_after_s == pytest.approx(45.0)
    taken(limits.take(ONE, "a__b", 60.0))


def test_it_is_for_its_tools_and_callers_alone() -> None:
    limits = ToolLimits([ToolLimit(keys=["one"], tools=["a__*"], calls=1)])
    taken(limits.take(ONE, "a__b", 0.0))
    assert isinstance(limits.take(ONE, "a__c", 0.0), Denied)
    taken(limits.take(ONE, "b__c", 0.0))
    taken(limits.take(TWO, "a__b", 0.0))
    taken(limits.take(TWO, "a__b", 0.0))


def test_a_rule_that_stays_goes_on_counting() -> None:
    stays, goes = ToolLimit(calls=1), ToolLimit(concurrent=1)
    limits = ToolLimits([stays, goes])
    held = taken(limits.take(ONE, "a__b", 0.0))
    limits.use([ToolLimit(calls=1)])
    assert isinstance(limits.take(ONE, "a__b", 1.0), Denied)
    limits.use([ToolLimit(concurrent=1)])
    assert isinstance(limits.take(ONE, "a__b", 1.0), Denied)
    limits.give_back(held)
    taken(limits.take(ONE, "a__b", 1.0))


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_limits, "MOST_COUNTS", 100)
    limits = ToolLimits([ToolLimit(calls=1, every_s=10.0)])
    taken(limits.take(ONE, "a__b", 995.0))
    for number in range(1000):
        limits.give_back(taken(limits.take(Caller(f"k{number}"), "a__b", number * 1.0)))
    assert len(limits._counts) <= 100
    assert isinstance(limits.take(ONE, "a__b", 1000.0), Denied)

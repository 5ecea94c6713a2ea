"""The short way through counters in memory decides and counts as the long one does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headrace.gateway.limits import one_of_each
from headrace.gateway.limits.measures import Denied, Measures, Need, Standing
from headrace.gateway.limits.memory import MemoryCounters, TakenOfMany
from support.measured import MIDNIGHT, at_once, budget, rate

KINDS = ("requests", "tokens", "at_once", "budgets")


def twice(measures: Measures) -> Measures:
    """The same with a twin of each measure: of several of a kind, so it goes the long way."""
    doubled = {}
    for kind in KINDS:
        ones = getattr(measures, kind)
        doubled[kind] = ones + tuple(replace(one, key=f"{one.key}:twin") for one in ones)
    return Measures(**doubled)


@st.composite
def some_measures(draw: st.DrawFn) -> Measures:
    """At most one of each kind, and at least one; small, so that they refuse."""
    kinds = draw(st.sets(st.sampled_from(KINDS), min_size=1))
    one: dict[str, Any] = {
        "requests": rate(draw(st.sampled_from([30, 600]))),
        "tokens": rate(draw(st.sampled_from([60, 600, 1200])), unit="tokens"),
        "at_once": at_once(draw(st.sampled_from([2, 50]))),
        "budgets": budget(
            draw(st.sampled_from([60, 500])),
            unit=draw(st.sampled_from(["usd", "tokens"])),
            stop=draw(st.booleans()),
            unpriced=draw(st.sampled_from(["refuse", "allow"])),
        ),
    }
    return Measures(**{kind: (one[kind],) for kind in kinds})


NEEDS = st.builds(
    Need,
    st.just(0),
    st.just(0),
    st.integers(0, 60) | st.integers(0, 60) | st.none(),
    st.integers(0, 80),
    st.integers(0, 60),
    st.booleans(),
)
LATER_S = st.sampled_from([0.0, 0.0, 0.01, 0.3, 0.3, 1.0, 2.0, 5.0, 86_400.0])
STEPS = st.lists(
    st.tuples(LATER_S, NEEDS | st.integers(0, 9), st.just(0) | st.integers(0, 100)),
    min_size=15,
    max_size=40,
)


def told(standing: Standing) -> tuple[Any, ...]:
    """Without the keys, of which measures in use have none."""
    names = (standing.requests and standing.requests.name, standing.tokens and standing.tokens.name)
    owed = (standing.requests_owed_s, standing.tokens_owed_s)
    return *names, *owed, standing.budget and standing.budget.name, standing.spent


@settings(max_examples=150, deadline=None)
@given(some_measures(), STEPS)
def test_it_decides_as_the_long_way(measures: Measures, steps: list[Any]) -> None:
    """Calls that need something, and ends of earlier ones, as time goes by."""
    short, long = MemoryCounters(), MemoryCounters()
    now, unix = 1000.0, MIDNIGHT + 3600.0
    one, many = short.bind(measures, now), long.bind(twice(measures), now)
    assert one.few is not None
    assert many.few is None
    running: list[tuple[Any, Any]] = []
    for later_s, step, used in steps:
        now, unix = now + later_s, unix + later_s
        if isinstance(step, Need):
            mine, theirs = short.take(one, step, now, unix), long.take(many, step, now, unix)
            if isinstance(mine, Denied):
                assert mine == theirs
            else:
                assert isinstance(theirs, TakenOfMany)
                assert told(mine.standing) == told(theirs.standing)
                running.append((mine, theirs))
        elif running:
            for held in running.pop(step % len(running)):
                held.settle(used, used, now)
        twins = dict.fromkeys(spent for _, spent in long.spent(unix))
        assert [spent for _, spent in short.spent(unix)] == list(twins)


def test_a_call_that_is_simply_admitted_goes_the_short_way() -> None:
    counters = MemoryCounters()
    measures = Measures((rate(60),), (rate(6000, unit="tokens"),), (at_once(5),), (budget(1000),))
    bound = counters.bind(measures, 1000.0)
    need, unix = Need(5, 5, 10, 10, 10, True), MIDNIGHT + 3600.0
    counters.take(bound, need, 1000.0, unix)  # the budget's period begins
    taken = counters.take(bound, need, 1000.0, unix)
    assert isinstance(taken, one_of_each.Taken)
    assert taken.standing.requests_owed_s == 2.0
    assert counters.bind(twice(measures), 1000.0).few is None

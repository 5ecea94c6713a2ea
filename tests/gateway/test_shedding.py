"""Under pressure the least important calls are refused first, and no critical one for it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config.policies import SheddingPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.shedding import Level, Shedder, priority_of
from headrace.nouns import Priority


def shedder(capacity: int = 100, **policy: float) -> Shedder:
    return Shedder(SheddingPolicy(**policy), capacity, random.Random(1))


def admitted(by: Shedder, in_flight: int = 1) -> set[Priority]:
    found = set()
    for priority in Priority:
        try:
            by.admit(priority, in_flight)
        except Refused as refused:
            assert refused.reason is Reason.OVERLOADED
        else:
            found.add(priority)
    return found


ALL = set(Priority)
IMPORTANT = {Priority.NORMAL, Priority.CRITICAL}


@pytest.mark.parametrize(
    ("lag_s", "memory", "expected"),
    [
        (0.0, None, ALL),
        (0.05, 0.85, ALL),
        (0.051, None, IMPORTANT),
        (0.0, 0.86, IMPORTANT),
        (0.2, 0.95, IMPORTANT),
        (0.201, 0.0, {Priority.CRITICAL}),
        (0.0, 0.96, {Priority.CRITICAL}),
        (10.0, 1.5, {Priority.CRITICAL}),
    ],
)
def test_who_is_let_in(lag_s: float, memory: float | None, expected: set[Priority]) -> None:
    by = shedder()
    by.observe(lag_s, memory)
    assert admitted(by) == expected


def test_a_level_is_left_well_below_where_it_was_entered() -> None:
    by = shedder()
    assert by.observe(0.21, None) is Level.ALL_BUT_CRITICAL
    assert by.observe(0.11, None) is Level.ALL_BUT_CRITICAL
    assert by.observe(0.1, None) is Level.BATCH
    assert by.observe(0.11, None) is Level.BATCH
    assert by.observe(0.026, None) is Level.BATCH
    assert by.observe(0.025, None) is Level.CALM
    assert by.observe(0.05, None) is Level.CALM


def test_memory_has_its_own_way_down() -> None:
    by = shedder()
    assert by.observe(0.0, 0.96) is Level.ALL_BUT_CRITICAL
    assert by.observe(0.0, 0.86) is Level.ALL_BUT_CRITICAL
    assert by.observe(0.0, 0.85) is Level.BATCH
    assert by.observe(0.0, 0.76) is Level.CALM


def test_a_loop_that_no_call_makes_late_refuses_none() -> None:
    by = shedder()
    by.observe(10.0, 0.8)
    assert admitted(by, in_flight=0) == ALL
    assert admitted(by, in_flight=1) == {Priority.CRITICAL}
    by.observe(10.0, 0.86)
    assert admitted(by, in_flight=0) == IMPORTANT
    by.observe(0.0, 0.96)
    assert admitted(by, in_flight=0) == {Priority.CRITICAL}


def test_a_share_of_the_capacity_is_kept_for_critical_calls() -> None:
    by = shedder(capacity=10, critical_share=0.2)
    assert admitted(by, 7) == ALL
    assert admitted(by, 8) == {Priority.CRITICAL}
    assert admitted(by, 9) == {Priority.CRITICAL}
    assert admitted(by, 10) == set()


def test_refused_clients_come_back_at_different_times() -> None:
    by = shedder(retry_after_least_s=1.0, retry_after_most_s=5.0)
    by.observe(1.0, None)
    waits = []
    for _ in range(200):
        with pytest.raises(Refused) as caught:
            by.admit(Priority.NORMAL, 1)
        assert caught.value.retry_after_s is not None
        waits.append(caught.value.retry_after_s)
    assert 1.0 <= min(waits) < 1.3 and 4.7 < max(waits) <= 5.0


@given(
    st.lists(st.tuples(st.floats(0, 1), st.none() | st.floats(0, 1.2)), max_size=30),
    st.integers(0, 120),
)
def test_more_important_calls_are_never_refused_where_lesser_ones_are_not(
    measured: list[tuple[float, float | None]], in_flight: int
) -> None:
    by = shedder()
    for lag_s, memory in measured:
        by.observe(lag_s, memory)
        got = admitted(by, in_flight)
        assert all(higher in got for p in got for higher in Priority if higher > p)
        assert (Priority.CRITICAL in got) is (in_flight < 100)
        if (lag_s > 0.2 and in_flight) or (memory or 0) > 0.95:
            assert Priority.NORMAL not in got
        if lag_s <= 0.025 and (memory or 0) <= 0.765 and in_flight < 80:
            assert got == ALL


@pytest.mark.parametrize(
    ("header", "allowed", "expected"),
    [
        (None, Priority.CRITICAL, Priority.NORMAL),
        (b"critical", Priority.CRITICAL, Priority.CRITICAL),
        (b"critical", Priority.NORMAL, Priority.NORMAL),
        (b"critical", Priority.BATCH, Priority.BATCH),
        (b" Batch ", Priority.CRITICAL, Priority.BATCH),
        (b"batch", Priority.NORMAL, Priority.BATCH),
        (b"urgent!", Priority.CRITICAL, Priority.NORMAL),
    ],
)
def test_a_call_is_as_important_as_its_key_allows(
    header: bytes | None, allowed: Priority, expected: Priority
) -> None:
    assert priority_of(header, allowed) is expected


def test_a_key_may_have_another_class_by_default() -> None:
    assert priority_of(None, default=Priority.BATCH) is Priority.BATCH
    assert priority_of(b"junk", Priority.CRITICAL, Priority.BATCH) is Priority.BATCH

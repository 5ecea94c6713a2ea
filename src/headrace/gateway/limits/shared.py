"""Counters that workers and replicas share, by Redis. The twin of `memory.py`.

A worker has shares of the counters that it uses (`shares.py`) and admits from them at once. Calls
that no share covers ask together, one round trip at a time, and bring shares for those after them;
what was used and given back is told along with that. Counters near their limit are not shared out:
their calls cost a round trip, or a part of one under load. All instants are of the server's clock.

While the server is away, each worker goes on by itself: `alone.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from types import CoroutineType
from typing import Any

from msgspec import Struct

from headrace.data.redis_link import RedisAway, RedisLink
from headrace.gateway.limits.alone import Alone
from headrace.gateway.limits.asking import Asked, SharedBound, reserved_of
from headrace.gateway.limits.counters import BudgetUnder, Verdict
from headrace.gateway.limits.measures import (
    AtOnce,
    Budget,
    Measures,
    Need,
    Standing,
    nearer,
    note_budget,
)
from headrace.gateway.limits.round_trips import Ask, RoundTrips
from headrace.gateway.limits.share_book import ShareBook
from headrace.gateway.limits.shares import HeldShare, Report, Share, TokensHeld

log = logging.getLogger("headrace.limits")

BEAT_S = 5.0
"""From one sign of life of this worker to the next; the server believes in it for 15 s."""
SHARES_LAST_S = 8.0
"""After a sign of life."""
TELL_S = 0.2
"""What nobody waits for is told after this time, if no call asks before."""
IDLE_S = 1.0
"""A share that was not used for so long is given back."""
MOST_ASKED = 100
MOST_TOLD = 1_000
"""In one round trip."""


class SharedTaken(Struct, eq=False, gc=False):
    """What one call holds."""

    counters: SharedCounters
    at_once: tuple[tuple[AtOnce, HeldShare], ...]
    budgets: list[tuple[Budget, HeldShare, int]]
    """Those of the period that it was admitted in, with what is held of each."""
    tokens: list[TokensHeld]
    standing: Standing

    def settle(self, tokens: int, microusd: int, now: float) -> None:
        """See `Taken.settle`."""
        mark = self.counters.mark
        for held in self.tokens:
            rate = held.settle(tokens)
            if rate is not None and (not rate.marked or not rate.allowance):
                mark(rate, urgent=not rate.allowance)
        for _, place in self.at_once:
            if place.put_back(1):
                mark(place, urgent=True)
        for budget, share, amount in self.budgets:
            urgent = share.settle(amount, microusd if budget.unit == "usd" else tokens)
            if urgent or not share.marked:
                mark(share, urgent=urgent)


class SharedCounters:
    """One worker's part. `run` as long as the worker lives."""

    def __init__(
        self, link: RedisLink, prefix: str, worker: str, *, by_own_clock: bool = False
    ) -> None:
        """`worker` is a name of this worker alone. `by_own_clock` takes instants from the caller,
        for tests."""
        self._prefix = f"{prefix}limits:"
        self.worker = worker
        self._link = link
        self._trips = RoundTrips(link, self._prefix, worker, by_own_clock)
        self._alone = Alone(self._spent_alone)
        self._book = ShareBook(self._prefix)
        self._asked: list[Asked] = []
        self._marked: list[Share] = []
        self._telling: list[Share] = []
        """Those whose reports the server may not have heard."""
        self._lent: dict[Share, None] = {}
        """Those that the server counts something as held of."""
        self._used_until = 0.0
        """Monotonic seconds: shares are not used after it."""
        self._now = self._unix = 0.0
        """As the last caller said."""
        self._used = False
        """Something was counted: from then on this worker shows that it lives."""
        self._wake = asyncio.Event()
        self._bell: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._looked_at = 0.0
        link.when_up(self._back)

    # --- the gate's side

    def bind(self, measures: Measures, now: float) -> SharedBound:
        return self._book.bind(measures)

    def few(self, bound: SharedBound) -> None:
        """They are counted elsewhere."""

    def release(self, bound: SharedBound) -> None:
        self._book.leave(bound)
        self._alone.release(bound)

    def sweep(self, now: float, unix: float) -> None:
        self._alone.sweep(now, unix)
        self._book.forget(unix)

    def spent(self, unix: float) -> Iterator[tuple[Budget, int]]:
        """What the server last said was used of budgets, and this worker's calls since then."""
        return self._book.spent(unix)

    def recall(self, budget_under: BudgetUnder) -> None:
        self._book.recall(budget_under)

    def take(
        self, bound: SharedBound, need: Need, now: float, unix: float
    ) -> Verdict | CoroutineType[Any, Any, Verdict]:
        self._now, self._unix = now, unix
        if unix >= bound.ends_at:
            self._book.turn_page(bound, unix)
        if not self._link.up:
            return self._alone.take(bound, need, now, unix)
        if now < self._used_until and bound.covers(need):
            return self._taken_here(bound, need, now, unix)
        return self._shared(bound, need, now, unix)  # type: ignore[return-value] # it is one

    def _taken_here(self, bound: SharedBound, need: Need, now: float, unix: float) -> SharedTaken:
        """All of it is there."""
        request_rate = token_rate = None
        request_owed_s = token_owed_s = 0.0
        for rate, share in bound.requests:
            share.left -= 1
            share.used += 1
            share.touched = True
            owed_s = share.owed_s(now)
            if request_rate is not None:
                rate, owed_s = nearer(request_rate, request_owed_s, rate, owed_s)
            request_rate, request_owed_s = rate, owed_s
            if not share.marked:
                self.mark(share, urgent=False)
        amount = need.tokens
        tokens: list[TokensHeld] = []
        for rate, share in bound.tokens:
            share.left -= amount
            share.used += amount
            share.touched = True
            tokens.append(share.hold(amount))
            owed_s = share.owed_s(now)
            if token_rate is not None:
                rate, owed_s = nearer(token_rate, token_owed_s, rate, owed_s)
            token_rate, token_owed_s = rate, owed_s
            if not share.marked:
                self.mark(share, urgent=False)
        standing = Standing(request_rate, request_owed_s, token_rate, token_owed_s)
        for _, place in bound.at_once:
            place.reserve(1)
        budgets: list[tuple[Budget, HeldShare, int]] = []
        for budget, held in bound.budgets:
            amount = reserved_of(budget, need)
            held.reserve(amount)
            budgets.append((budget, held, amount))
            spent = held.spent_in_all
            if spent >= budget.soft:
                note_budget(standing, budget, spent, budget.calendar.ends_at(unix))
        return SharedTaken(self, bound.at_once, budgets, tokens, standing)

    async def _shared(self, bound: SharedBound, need: Need, now: float, unix: float) -> Verdict:
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._asked.append(Asked(bound, need, unix, verdict))
        self._used = True
        self._wake.set()
        try:
            return await verdict
        except asyncio.CancelledError:
            if verdict.done() and not verdict.cancelled() and verdict.exception() is None:
                _let_go(verdict.result(), now)
            raise
        except RedisAway:
            return self._alone.take(bound, need, now, unix)

    # --- the round trips

    def mark(self, share: Share, *, urgent: bool) -> None:
        """To be told with the next round trip, which is made at once for what is urgent."""
        if not share.marked:
            share.marked = True
            self._marked.append(share)
        if urgent:
            self._wake.set()
        else:
            self._ring_in(TELL_S)

    def _spent_alone(self, share: HeldShare) -> None:
        self.mark(share, urgent=False)

    def _ring_in(self, seconds: float) -> None:
        """The next round trip is due then, or before."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._bell is not None:
            if self._rings_at <= at:
                return
            self._bell.cancel()
        self._rings_at = at
        self._bell = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._bell = None
        self._wake.set()

    async def _back(self) -> None:
        self._alone.over()
        self._wake.set()

    async def run(self) -> None:
        """Carries what is asked and told, until it is cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._trips.up:
                    await self._round_trip()
                else:
                    asked, self._asked = self._asked, []
                    _fail(asked, RedisAway("not connected"))
        finally:
            if self._bell is not None:
                self._bell.cancel()

    async def _round_trip(self) -> None:
        asked, self._asked = self._asked[:MOST_ASKED], self._asked[MOST_ASKED:]
        if self._telling:  # the answer was lost: first what was told is told again
            asked, self._asked = [], asked + self._asked
        try:
            await self._carry([one for one in asked if not one.verdict.done()])
        except RedisAway as error:
            self._lost(asked, error)
        except Exception as fault:
            # Callers wait for what this task does: it must not end, nor leave them waiting.
            log.exception("a fault of our own")
            self._lost(asked, RedisAway(f"a fault of our own: {fault}"))

    async def _carry(self, asked: list[Asked]) -> None:
        """One round trip. Raises RedisAway."""
        now, unix, clock = self._now, self._unix, asyncio.get_running_loop().time()
        reports: list[Report] = []
        asks: list[Ask] = []
        if not self._telling:
            self._take_in(clock, now)
            asked = self._reserved(asked, now, unix)
            asks = [one.packed(clock) for one in asked]
            self._telling, self._marked = self._marked[:MOST_TOLD], self._marked[MOST_TOLD:]
            for share in self._telling:
                share.marked = False
                reports.append(share.report())
        answer = await self._trips.make(reports, asks, unix)
        told, self._telling = self._telling, []
        self._used_until = now + SHARES_LAST_S
        self._alone.workers = answer.workers
        for place, share in enumerate(told):
            share.heard(None if answer.heard is None else answer.heard[place], now)
            if share.held:
                self._lent[share] = None
        for one, said in zip(asked, answer.verdicts, strict=True):
            self._conclude(one, said, now, unix)
        if self._asked or (told and not reports):
            self._wake.set()
        elif self._marked:
            self._ring_in(TELL_S)
        elif self._used:
            self._ring_in(IDLE_S if self._lent else BEAT_S)

    def _reserved(self, asked: list[Asked], now: float, unix: float) -> list[Asked]:
        """Those that the server has to be asked about; the others are admitted."""
        going = []
        for one in asked:
            one.reserve()
            if not one.lacking:
                self._conclude(one, (True, ()), now, unix)
                continue
            for _, share, _ in one.lacking:
                self._give_back(share)
            going.append(one)
        return going

    def _take_in(self, clock: float, now: float) -> None:
        """Shares that lie idle, or that may not be used any more, are to be given back."""
        if now >= self._used_until:
            self.give_back()
        elif clock >= self._looked_at + IDLE_S:
            self._looked_at = clock
            for share in list(self._lent):
                if not share.touched:
                    self._give_back(share)
                share.touched = False
                if not share.held:
                    del self._lent[share]

    def give_back(self) -> None:
        """All that is left of shares, with the next round trip."""
        for share in self._lent:
            self._give_back(share)

    def _give_back(self, share: Share) -> None:
        if share.left:
            share.surrender()
            self.mark(share, urgent=False)

    def _conclude(self, one: Asked, said: Sequence[Any], now: float, unix: float) -> None:
        """What the server, or the shares, have said of a call."""
        verdict: Verdict
        if said[0]:
            standing, budgets = Standing(), _reserved(one.budgets, one.need)
            tokens = one.granted(standing, said[1], now, unix)
            taken = SharedTaken(self, one.bound.at_once, budgets, tokens, standing)
            for _, share, _ in one.lacking:
                if share.held:
                    self._lent[share] = None
            for _, share, _ in one.covered:
                self.mark(share, urgent=False)
            verdict = taken
        else:
            self._put_back(one)
            verdict = one.denied(said, unix)
        if not one.verdict.done():
            one.verdict.set_result(verdict)
        elif isinstance(verdict, SharedTaken):  # its caller has left
            verdict.settle(0, 0, now)
        one.lacking = one.covered = []

    def _put_back(self, one: Asked) -> None:
        for _, share, amount in one.covered:
            if share.put_back(amount):
                self.mark(share, urgent=False)

    def _lost(self, asked: list[Asked], error: RedisAway) -> None:
        """What the server gave, if it did, it is told that it is not held."""
        for one in asked:
            self._put_back(one)
            for _, share, _ in one.lacking:
                self.mark(share, urgent=False)
        _fail(asked, error)


def _reserved(
    budgets: tuple[tuple[Budget, HeldShare], ...], need: Need
) -> list[tuple[Budget, HeldShare, int]]:
    return [(budget, share, reserved_of(budget, need)) for budget, share in budgets]


def _fail(asked: list[Asked], error: RedisAway) -> None:
    for one in asked:
        if not one.verdict.done():
            one.verdict.set_exception(error)


def _let_go(verdict: Verdict, now: float) -> None:
    """Its call was given up between the server's word and its next step."""
    if isinstance(verdict, SharedTaken):
        verdict.settle(0, 0, now)

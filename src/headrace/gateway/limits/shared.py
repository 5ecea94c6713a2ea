"""Counters that workers and replicas share, by Redis. The twin of `memory.py`.

Calls that come while one round trip is under way go together in the next: a call costs one at most,
and under load a small part of one. What a call gives back is told along with the next ones, or
alone; nobody waits for it. All instants are of the server's clock.

While the server is away, each worker goes on by itself: rates and calls at once with its share of
the limit, by the number of workers that were last known to live; budgets refuse, or let pass the
share of theirs that is configured for this. What was spent meanwhile is told when it is back.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import CoroutineType
from typing import Any

import msgspec
from msgspec import Raw

from headrace.data.redis_link import Command, RedisAway, RedisLink
from headrace.gateway.limits import away
from headrace.gateway.limits.counters import Verdict
from headrace.gateway.limits.measures import (
    AtOnce,
    Budget,
    Denied,
    Measures,
    Need,
    Rate,
    Standing,
    Why,
    amount_of,
    note_budget,
    note_requests,
    note_tokens,
)
from headrace.gateway.limits.memory import MOST_TOLD, Bound, MemoryCounters, Taken

log = logging.getLogger("headrace.limits")

SCRIPT = Path(__file__).with_name("counters.lua").read_bytes()
LEASE_S = 1800.0
"""How long a call may hold what it took. Longer than any call lasts."""
BEAT_S = 5.0
"""From one sign of life of this worker to the next."""
MOST_AT_ONCE = 100
"""Calls in one round trip."""
MOST_UNTOLD = 100_000
"""Settlements that are kept while the server is away."""
US = 1_000_000
KEPT_AFTER_S = 2 * 86_400
FOREVER = 1e17

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, list[list[Any]]]).decode


class SharedBound:
    """Measures, and how the script is told of them."""

    __slots__ = ("alone", "alone_as", "ends_at", "measures", "spec")

    def __init__(self, measures: Measures) -> None:
        self.measures = measures
        self.spec = Raw()
        self.ends_at = 0.0
        """Unix seconds until when `spec` is right: keys of budgets hold their period."""
        self.alone: Bound | None = None
        """For when the server is away."""
        self.alone_as: object = None


class SharedTaken:
    """What one call holds in Redis."""

    __slots__ = ("_bound", "_counters", "_id", "_need", "_spec", "_stakes", "standing")

    def __init__(
        self,
        counters: SharedCounters,
        bound: SharedBound,
        asked: _Asked,
        stakes: list[Any],
        standing: Standing,
    ) -> None:
        self._counters = counters
        self._bound = bound
        self._spec = asked.spec
        self._id = asked.id
        self._need = asked.need
        self._stakes = stakes
        self.standing = standing

    def settle(self, tokens: int, microusd: int, now: float, unix: float) -> None:
        """See `Taken.settle`."""
        measures, need = self._bound.measures, self._need
        if not (measures.tokens or measures.at_once or measures.budgets):
            return
        self._counters.tell(
            (
                self._spec,
                self._id,
                need.tokens,
                tokens,
                self._stakes[len(measures.requests) :],
                need.budget_tokens,
                need.microusd or 0,
                microusd,
                False,
            ),
            unix,
        )


class _Asked:
    """A call that waits for its verdict."""

    __slots__ = ("bound", "id", "need", "spec", "unix", "verdict")

    def __init__(
        self,
        bound: SharedBound,
        id: str,
        need: Need,
        unix: float,
        verdict: asyncio.Future[list[Any]],
    ) -> None:
        self.bound = bound
        self.id = id
        self.need = need
        self.spec = bound.spec
        self.unix = unix
        self.verdict = verdict

    def packed(self) -> tuple[object, ...]:
        need = self.need
        microusd = -1 if need.microusd is None else need.microusd
        return (self.spec, self.id, need.tokens, need.budget_tokens, microusd, need.bounded)


class SharedCounters:
    """One worker's part. `run` as long as the worker lives."""

    def __init__(
        self, link: RedisLink, prefix: str, worker: str, *, by_own_clock: bool = False
    ) -> None:
        """`worker` is a name of this worker alone, without a colon. `by_own_clock` takes instants
        from the caller, for tests."""
        self._link = link
        self._prefix = f"{prefix}limits:"
        self._worker = worker
        self._by_own_clock = by_own_clock
        self._digest = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()
        self._number = 0
        self._asked: list[_Asked] = []
        self._budgets: dict[str, tuple[Budget, int, float]] = {}
        """By key of the budget: as it was last told, and Unix seconds of its period's end."""
        self._untold: list[tuple[object, ...]] = []
        self._spent: list[tuple[str, int, int]] = []
        self._unix = 0.0
        self._wake = asyncio.Event()
        self._workers = 1
        self._local = MemoryCounters()
        self._outage = 0
        self._was_up = True
        self._used = False
        """Something was counted: from then on this worker shows that it lives."""
        link.when_up(self._back)

    # --- the gate's side

    def bind(self, measures: Measures, now: float) -> SharedBound:
        return SharedBound(measures)

    def release(self, bound: SharedBound) -> None:
        if bound.alone is not None:
            self._local.release(bound.alone)
            bound.alone = None

    def sweep(self, now: float, unix: float) -> None:
        self._local.sweep(now, unix)

    def take(
        self, bound: SharedBound, need: Need, now: float, unix: float
    ) -> Verdict | CoroutineType[Any, Any, Verdict]:
        self._used = True
        if not self._link.up:
            return self._alone(bound, need, now, unix)
        return self._shared(bound, need, now, unix)  # type: ignore[return-value] # it is one

    def tell(self, settlement: tuple[object, ...], unix: float) -> None:
        """To be told with the next round trip."""
        if len(self._untold) < MOST_UNTOLD:
            self._untold.append(settlement)
        self._unix = unix
        self._wake.set()

    # --- together

    async def _shared(self, bound: SharedBound, need: Need, now: float, unix: float) -> Verdict:
        if unix >= bound.ends_at:
            self._specify(bound, unix)
        self._number += 1
        verdict: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        asked = _Asked(bound, f"{self._worker}:{self._number}", need, unix, verdict)
        self._asked.append(asked)
        self._wake.set()
        try:
            said = await verdict
        except asyncio.CancelledError:
            verdict.cancel()
            self._undo(asked)
            raise
        except RedisAway:
            self._undo(asked)  # it may have been carried out
            return self._alone(bound, need, now, unix)
        return self._read(asked, said, unix)

    def _undo(self, asked: _Asked) -> None:
        need = asked.need
        self.tell(
            (asked.spec, asked.id, 0, 0, (), need.budget_tokens, need.microusd or 0, 0, True),
            asked.unix,
        )

    def _specify(self, bound: SharedBound, unix: float) -> None:
        """The measures as the script takes them."""
        measures, prefix = bound.measures, self._prefix
        ends = [budget.calendar.ends_at(unix) for budget in measures.budgets]
        bound.ends_at = min(ends, default=float("inf"))
        bound.spec = Raw(
            _pack(
                (
                    [_rate(prefix, rate) for rate in measures.requests],
                    [(*_rate(prefix, rate), rate.quota) for rate in measures.tokens],
                    [(f"{prefix}{one.key}", one.most) for one in measures.at_once],
                    [
                        (
                            self._budget_key(budget, end),
                            budget.cap,
                            int(budget.unit == "usd"),
                            int(budget.stop),
                            int(budget.unpriced == "refuse"),
                            int((end + KEPT_AFTER_S) * 1000),
                            int(end),
                        )
                        for budget, end in zip(measures.budgets, ends, strict=True)
                    ],
                )
            )
        )

    def spent(self, unix: float) -> Iterator[tuple[Budget, int]]:
        """What the server last said was used of budgets, where that was in this period."""
        for budget, spent, ends_at in list(self._budgets.values()):
            yield budget, spent if unix < ends_at else 0

    def _note_spent(self, budget: Budget, spent: int, unix: float) -> None:
        known = self._budgets
        if budget.key not in known and len(known) >= MOST_TOLD:
            del known[next(iter(known))]
        known[budget.key] = (budget, spent, budget.calendar.ends_at(unix))

    def _budget_key(self, budget: Budget, ends_at: float) -> str:
        return f"{self._prefix}{budget.key}:{int(ends_at)}"

    def _read(self, asked: _Asked, said: list[Any], unix: float) -> Verdict:
        measures = asked.bound.measures
        if not said[0]:
            _, index, why, wait_us, spent = said
            measure = _all(measures)[int(index)]
            wait_s = None if wait_us >= FOREVER else wait_us / US
            return _denied(Why(why), measure, wait_s, int(spent), asked.need, unix)
        _, stakes, spendings = said
        standing = Standing()
        for rate, stake in zip(measures.requests, stakes, strict=False):
            note_requests(standing, rate, (stake[0] - stake[2]) / US)
        for rate, stake in zip(measures.tokens, stakes[len(measures.requests) :], strict=True):
            note_tokens(standing, rate, (stake[0] - stake[2]) / US)
        for budget, spent in zip(measures.budgets, spendings, strict=True):
            self._note_spent(budget, int(spent), unix)
            if spent >= budget.soft:
                note_budget(standing, budget, int(spent), budget.calendar.ends_at(unix))
        return SharedTaken(self, asked.bound, asked, stakes, standing)

    async def run(self) -> None:
        """Carries what is asked and told, until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._wake.wait()
            except TimeoutError:
                if not self._used:
                    continue
            self._wake.clear()
            asked = self._asked
            try:
                if self._link.up:
                    await self._round_trip()
                else:
                    self._asked = []
                    self._fail(asked, RedisAway("not connected"))
            except Exception as fault:
                # Callers wait for what this task does: it must not end, nor leave them waiting.
                log.exception("a fault of our own")
                self._fail(asked, RedisAway(f"a fault of our own: {fault}"))

    async def _round_trip(self) -> None:
        asked, self._asked = self._asked[:MOST_AT_ONCE], self._asked[MOST_AT_ONCE:]
        asked = [one for one in asked if not one.verdict.done()]
        told, self._untold = self._untold[:MOST_UNTOLD_AT_ONCE], self._untold[MOST_UNTOLD_AT_ONCE:]
        spent, self._spent = self._spent[:MOST_UNTOLD_AT_ONCE], self._spent[MOST_UNTOLD_AT_ONCE:]
        if self._asked or self._untold or self._spent:
            self._wake.set()
        unix = max([self._unix, *(one.unix for one in asked)])
        job = _pack(
            {
                "w": self._worker,
                "p": self._prefix,
                "l": LEASE_S,
                "n": int(unix * US) if self._by_own_clock else 0,
                "s": told,
                "x": spent,
                "t": [one.packed() for one in asked],
            }
        )
        try:
            workers, verdicts = _unpack(await self._evaluate(job))
        except (RedisAway, msgspec.MsgspecError) as error:
            # What was told may have been heard: a settlement that is told twice finds nothing the
            # second time, but for rates, which then are owed less than they should be by one call.
            self._untold = told + self._untold
            self._spent = spent + self._spent
            self._fail(asked, RedisAway(str(error)))
            return
        self._workers = max(1, workers)
        for one, verdict in zip(asked, verdicts, strict=True):
            if one.verdict.done():
                continue  # its caller has left, and it is undone
            one.verdict.set_result(verdict)

    async def _evaluate(self, job: bytes) -> bytes:
        """Raises RedisAway."""
        for command in (("EVALSHA", self._digest, 0, job), ("EVAL", SCRIPT, 0, job)):
            sent: Command = command
            (reply,) = await self._link.ask([sent])
            if isinstance(reply, bytes):
                return reply
            if "NOSCRIPT" not in str(reply) and "NoScript" not in type(reply).__name__:
                break
        log.error("redis refused the counters' script", extra={"cause": str(reply)})
        raise RedisAway(f"the script failed: {reply}")

    def _fail(self, asked: list[_Asked], error: RedisAway) -> None:
        for one in asked:
            if not one.verdict.done():
                one.verdict.set_exception(error)

    async def _back(self) -> None:
        self._was_up = True
        self._wake.set()

    # --- alone

    def _alone(self, bound: SharedBound, need: Need, now: float, unix: float) -> Verdict:
        if self._was_up:
            self._was_up = False
            self._outage += 1
            log.warning(
                "limits are counted by each worker alone",
                extra={"detail": f"a share of 1/{self._workers}"},
            )
        share = (self._outage, self._workers)
        if bound.alone is None or bound.alone_as != share:
            self.release(bound)
            measures = away.share_of(bound.measures, self._workers, self._outage)
            bound.alone, bound.alone_as = self._local.bind(measures, now), share
        for budget in bound.measures.budgets:
            if budget.stop and not budget.away_share:
                return Denied(Why.AWAY, budget, away.RETRY_S)
        verdict = self._local.take(bound.alone, need, now, unix)
        if isinstance(verdict, Denied):
            if isinstance(verdict.measure, Budget):
                return Denied(Why.AWAY, verdict.measure, away.RETRY_S)
            return verdict
        return AloneTaken(self, bound, verdict, unix) if bound.measures.budgets else verdict

    def spent_alone(self, budget: Budget, amount: int, unix: float) -> None:
        """What a call cost while the server was away, to be told later."""
        end = budget.calendar.ends_at(unix)
        key = self._budget_key(budget, end)
        self._spent.append((key, amount, int((end + KEPT_AFTER_S) * 1000)))
        self._wake.set()


MOST_UNTOLD_AT_ONCE = 1_000


class AloneTaken:
    """What one call holds of this worker's share, and owes to the shared budgets."""

    __slots__ = ("_bound", "_counters", "_taken", "_unix", "standing")

    def __init__(
        self, counters: SharedCounters, bound: SharedBound, taken: Taken, unix: float
    ) -> None:
        self._counters = counters
        self._bound = bound
        self._taken = taken
        self._unix = unix
        self.standing = taken.standing

    def settle(self, tokens: int, microusd: int, now: float, unix: float) -> None:
        """See `Taken.settle`."""
        self._taken.settle(tokens, microusd, now, unix)
        for budget in self._bound.measures.budgets:
            used = microusd if budget.unit == "usd" else tokens
            if used:
                self._counters.spent_alone(budget, used, self._unix)


def _rate(prefix: str, rate: Rate) -> tuple[str, float, float]:
    return f"{prefix}{rate.key}", rate.step_s * US, rate.burst_s * US


def _all(measures: Measures) -> tuple[Rate | AtOnce | Budget, ...]:
    return (*measures.requests, *measures.tokens, *measures.at_once, *measures.budgets)


def _denied(
    why: Why,
    measure: Rate | AtOnce | Budget,
    wait_s: float | None,
    spent: int,
    need: Need,
    unix: float,
) -> Denied:
    if isinstance(measure, Budget):
        resets_at = measure.calendar.ends_at(unix)
        return Denied(why, measure, wait_s, spent, amount_of(measure, need), resets_at)
    needed = need.tokens if isinstance(measure, Rate) and measure.unit == "tokens" else 1
    return Denied(why, measure, wait_s, needed=needed)

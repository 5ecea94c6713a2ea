"""A small world in virtual time: regions that queue, brown out and die, callers that arrive, and
the real plan in between. Seeded; an hour takes seconds."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from headrace.config.policies import (
    BreakerPolicy,
    ConcurrencyPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
)
from headrace.errors import Reason, Refused
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import GiveUp, Go, Wait

REFUSED = Refused(Reason.UPSTREAM_FAILED, "simulated")
NEVER = BreakerPolicy(min_calls=100_000, failures_in_a_row=100_000)
"""A breaker that does not open."""
BOUNDLESS = ConcurrencyPolicy(start=100_000, least=100_000, most=100_000)
"""A limit that is none."""
NAKED = RetryPolicy(attempts=1)
"""No retry, no failover."""


class Clock:
    """Events in order of time; ties in order of arrival."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, do))

    def run_until(self, end: float) -> None:
        events, pop = self._events, heapq.heappop
        while events and events[0][0] <= end:
            self.now, _, do = pop(events)
            do()
        self.now = end


class Region:
    """Answers `per_s` calls a second, one after another, and goes on working for callers that gave
    up. Over ten seconds of queue it refuses at once with 503."""

    def __init__(self, clock: Clock, name: str, per_s: float, rng: Random) -> None:
        self.name = name
        self.per_s = per_s
        self.speed = 1.0
        """Part of the capacity that is there."""
        self.failing = 0.0
        """Part of the calls that are answered with 503."""
        self.dead = False
        """Refuses connections."""
        self.attempts_at: list[float] = []
        self._clock = clock
        self._rng = rng
        self._queue: deque[Callable[[], None]] = deque()
        self._busy = False

    def ask(self, answer: Callable[[Failure | None], None]) -> None:
        self.attempts_at.append(self._clock.now)
        if self.dead:
            self._clock.after(0.001, lambda: answer(Failure(Kind.UNREACHABLE, REFUSED)))
        elif self._rng.random() < self.failing or len(self._queue) > 10 * self.per_s:
            self._clock.after(0.001, lambda: answer(Failure(Kind.SERVER, REFUSED)))
        else:
            self._queue.append(lambda: answer(None))
            self._work()

    def _work(self) -> None:
        if self._busy or not self._queue:
            return
        self._busy = True
        self._clock.after(1.0 / (self.per_s * self.speed), self._done)

    def _done(self) -> None:
        self._busy = False
        self._queue.popleft()()
        self._work()


class World:
    """Calls at `per_s`, in Poisson arrivals, over regions of one tier or of one tier each.

    A first token is slow at two thirds of the time limit, in proportion as by default (10 of 15 s):
    the concurrency limit needs that warning before calls time out.
    """

    def __init__(
        self,
        seed: int,
        capacities: Sequence[float],
        *,
        retry: RetryPolicy | None = None,
        retries: RetryBudgetPolicy | None = None,
        breaker: BreakerPolicy | None = None,
        concurrency: ConcurrencyPolicy | None = None,
        as_tiers: bool = False,
        timeout_s: float = 2.0,
        deadline_s: float = 10.0,
    ) -> None:
        self.rng = Random(seed)
        self.clock = Clock()
        self.regions = {
            name: Region(self.clock, name, per_s, self.rng)
            for name, per_s in zip("ABCDEFGH", capacities, strict=False)
        }
        retry = retry or RetryPolicy()
        breaker = breaker or BreakerPolicy(slow_first_token_s=timeout_s * 2 / 3)
        self.fleet = Fleet(self.rng, retries)
        for name in self.regions:
            self.fleet.enlist(name, breaker=breaker, concurrency=concurrency, retries=retries)
        names = list(self.regions)
        tiers = [[name] for name in names] if as_tiers else [names]
        self.route = Route(self.fleet, tiers, retry=retry)
        self.timeout_s = timeout_s
        self.deadline_s = deadline_s
        self.ends: list[tuple[float, bool, int, float]] = []
        """Of each call: arrival, whether it was answered, attempts, how long it took."""

    def run(self, seconds: float, per_s: float) -> None:
        start, end = self.clock.now, self.clock.now + seconds
        at = start + self.rng.expovariate(per_s)
        while at < end:
            self.clock.run_until(at)
            OneCall(self)
            at += self.rng.expovariate(per_s)
        self.clock.run_until(end)

    def attempts_on(self, name: str, since: float) -> int:
        return sum(at >= since for at in self.regions[name].attempts_at)

    def success(self, since: float, until: float) -> float:
        """Share of answered calls among those that arrived in that time."""
        those = [ok for arrived, ok, _, _ in self.ends if since <= arrived < until]
        return sum(those) / len(those) if those else 1.0

    def attempts_per_call(self, since: float = 0.0) -> float:
        those = [attempts for arrived, _, attempts, _ in self.ends if arrived >= since]
        return sum(those) / len(those)

    def recovered_after(self, trigger_end: float, horizon_s: float) -> float:
        """Seconds from the trigger's end until more than 95 % of calls succeed, in each of three
        windows of five seconds on end."""
        step, good = 5.0, 0
        for i in range(int(horizon_s / step) - 1):
            since = trigger_end + i * step
            good = good + 1 if self.success(since, since + step) > 0.95 else 0
            if good == 3:
                return (i - 2) * step
        return float("inf")


class OneCall:
    """Carries out a plan's steps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._clock = world.clock
        now = self._clock.now
        self._began = now
        self._plan = CallPlan(world.fleet, world.route, now, now + world.deadline_s, stream=True)
        self._attempt = 0
        self._next(None)

    def _next(self, last: Failure | None) -> None:
        step = self._plan.next(self._clock.now, last)
        match step:
            case Go():
                self._attempt += 1
                number = self._attempt
                self._world.regions[step.backend.name].ask(lambda f: self._answer(number, f))
                slow = Failure(Kind.SLOW, REFUSED)
                self._clock.after(self._world.timeout_s, lambda: self._answer(number, slow))
            case Wait():
                self._clock.after(step.seconds, lambda: self._next(None))
            case GiveUp():
                self._end(False)

    def _answer(self, number: int, failure: Failure | None) -> None:
        if number != self._attempt:
            return
        if failure is None:
            self._attempt = -1
            self._plan.first_token(self._clock.now)
            self._plan.ended(self._clock.now)
            self._end(True)
        else:
            self._attempt += 1000
            self._next(failure)

    def _end(self, ok: bool) -> None:
        took_s = self._clock.now - self._began
        self._world.ends.append((self._began, ok, self._plan.attempts, took_s))

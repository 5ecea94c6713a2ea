"""One simulated hour: three regions, one gateway, calls that arrive, and mishaps. All chance comes
from one seed, so that an hour can be lived again, event by event."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections import Counter
from random import Random
from typing import Literal, NamedTuple

from msgspec.structs import replace

from headrace.config.policies import (
    BalancePolicy,
    BreakerPolicy,
    ConcurrencyPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    SheddingPolicy,
)
from headrace.gateway.fleet import BackendState, Fleet, Route
from headrace.gateway.shedding import Shedder
from simulation.calls import OneCall
from simulation.promises import Breach, End, Witness
from simulation.provider import Region
from simulation.weather import Weather
from simulation.world import Clock

Method = Literal["p2c", "round_robin", "weighted", "least_busy"]
SECONDS = 3600.0
NAMES = ("A", "B", "C")
SHAPES = ((("A", "B", "C"),), (("A", "B"), ("C",)), (("A",), ("B",), ("C",)))
METHODS: tuple[Method, ...] = ("p2c", "p2c", "round_robin", "weighted", "least_busy")
CAPACITY = 10_000


class Policies(NamedTuple):
    """What the gateway goes by. Tests break it to see that the promises notice."""

    breaker: BreakerPolicy = BreakerPolicy()
    retry: RetryPolicy = RetryPolicy()
    budget: RetryBudgetPolicy = RetryBudgetPolicy()
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy()
    shedding: SheddingPolicy = SheddingPolicy()
    late_s: float = 0.0
    """Added to the deadline that plans are told."""


class Gateway:
    """One life of a worker: what it knows is lost with it."""

    def __init__(self, rng: Random, policies: Policies) -> None:
        self._rng = rng
        self._policies = policies
        self.fleet = Fleet(rng, policies.budget)
        self.shedder = Shedder(policies.shedding, CAPACITY, rng)
        self.running: dict[OneCall, None] = {}
        self.configure(NAMES, policies.breaker)

    def configure(self, names: tuple[str, ...], breaker: BreakerPolicy) -> None:
        """Takes up a configuration of these backends, with tiers and a balance by chance."""
        p, rng = self._policies, self._rng
        for name in names:
            self.fleet.enlist(name, breaker=breaker, concurrency=p.concurrency, retries=p.budget)
        self.fleet.retain(names)
        tiers = [[n for n in tier if n in names] for tier in rng.choice(SHAPES)]
        balance = BalancePolicy(method=rng.choice(METHODS))
        self.route = Route(self.fleet, [t for t in tiers if t], retry=p.retry, balance=balance)
        self.backends: tuple[BackendState, ...] = tuple(self.fleet[name] for name in names)

    def reload(self) -> None:
        """Other settings; a backend may be gone, or back."""
        rng = self._rng
        names = NAMES if rng.random() < 0.7 else tuple(rng.sample(NAMES, 2))
        breaker = replace(
            self._policies.breaker,
            window_s=rng.choice((20.0, 30.0)),
            slow_start_s=rng.choice((10.0, 30.0)),
        )
        self.configure(tuple(sorted(names)), breaker)


class Result(NamedTuple):
    """What became of an hour."""

    seed: int
    trace: str
    """Hash of all events, in their order and to the last bit of their times."""
    events: int
    calls: int
    attempts: int
    ends: dict[str, int]
    mishaps: list[tuple[float, str]]
    """Seconds of the hour, and what went wrong."""
    recovery_s: float
    slow_recovery_s: float
    breaches: list[Breach]
    cpu_s: float


class Hour:
    """`run` lives it."""

    def __init__(self, seed: int, policies: Policies | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.clock = Clock()
        self.policies = policies or Policies()
        self.late_s = self.policies.late_s
        self.regions = {
            name: Region(name, self.rng.uniform(10.0, 25.0), self.rng) for name in NAMES
        }
        self.running: dict[str, dict[OneCall, None]] = {name: {} for name in NAMES}
        """Calls that run on a region."""
        self.witness = Witness(RetryBudgetPolicy(), RetryPolicy())
        self.gateway: Gateway | None = None
        self.disk_full = False
        self.lag_s = 0.0
        self._trace: list[float] = []
        self._codes: dict[str, float] = {}
        self.restart()
        self.weather = Weather(self)

    def note(self, kind: int, number: int, word: str) -> None:
        """Writes an event into the trace."""
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = float(len(self._codes))
        self._trace += (self.clock.now, kind, number, code)

    def run(self) -> Result:
        began, start = time.process_time(), self.clock.now
        calls = 0
        for at in self.weather.arrivals(start, start + SECONDS):
            self.clock.run_until(at)
            calls += 1
            self.note(1, calls, "")
            OneCall(self, calls).arrive()
        self.weather.clears_up()
        self.clock.run_until(start + SECONDS + 300.0)
        self._count(calls)
        witness = self.witness
        return Result(
            seed=self.seed,
            trace=hashlib.blake2b(array("d", self._trace), digest_size=8).hexdigest(),
            events=len(self._trace) // 4,
            calls=calls,
            attempts=witness.attempts,
            ends={end.value: count for end, count in sorted_ends(witness.ends)},
            mishaps=self.weather.mishaps,
            recovery_s=round(witness.recovery_s, 1),
            slow_recovery_s=round(witness.slow_recovery_s, 1),
            breaches=witness.breaches,
            cpu_s=time.process_time() - began,
        )

    def _count(self, calls: int) -> None:
        witness, now = self.witness, self.clock.now
        ended = witness.ends.total()
        if ended != calls:
            witness.breach(now, "no call without an end", f"{ended} ends of {calls} calls")
        if witness.intents != witness.attempts:
            what = f"{witness.intents} intents, {witness.attempts} attempts"
            witness.breach(now, "no attempt without an intent", what)
        gateway = self.gateway
        assert gateway is not None
        for backend in gateway.backends:
            if backend.load.running or self.running[backend.name]:
                witness.breach(now, "nothing is left running", backend.name)

    # --- what the weather does to the gateway

    def restart(self) -> None:
        self.gateway = Gateway(self.rng, self.policies)
        self.witness.a_gateway_starts(self.clock.now)

    def stop(self, end: End) -> None:
        """Drained or killed: nothing that ran in it goes on."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            for call in tuple(gateway.running):
                call.cut_short(end)

    def lags(self, seconds: float) -> None:
        """The event loop is late by so much."""
        self.lag_s = seconds
        if self.gateway is not None:
            self.gateway.shedder.observe(seconds, None)

    def look_for_darkness(self) -> None:
        """After each change of a region."""
        dark = all(region.hopeless for region in self.regions.values())
        if dark and self.witness.darkness is None:
            self.witness.grows_dark(self.clock.now, self.regions)
        elif not dark and self.witness.darkness is not None:
            self.witness.grows_light(self.clock.now)


def sorted_ends(ends: Counter[End]) -> list[tuple[End, int]]:
    return sorted(ends.items(), key=lambda item: item[0].value)


def live(seed: int) -> Result:
    """The hour of that seed, by the default policies."""
    return Hour(seed).run()

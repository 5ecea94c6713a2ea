"""Measures and counters for tests of limits, the same for all twins of the counters."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from headrace.gateway.limits.counters import Counters, Verdict
from headrace.gateway.limits.measures import AtOnce, Budget, Denied, Measures, Need, Rate
from headrace.gateway.limits.periods import Calendar

MIDNIGHT = 2_679_091_200.0
"""2054-11-24T00:00:00Z: a real Redis forgets what ended by its own clock, so this must be ahead."""


def rate(
    quota: int,
    window_s: float = 60.0,
    *,
    burst_s: float | None = None,
    unit: Any = "requests",
    key: str = "rate",
) -> Rate:
    burst = min(window_s, 10.0) if burst_s is None else burst_s
    step = window_s / quota
    return Rate(key, f"{key}:{unit}", unit, quota, window_s, step, max(burst, step))


def budget(
    cap: int,
    *,
    unit: Any = "usd",
    every: Any = "day",
    zone: str = "UTC",
    soft: float = 0.8,
    stop: bool = True,
    unpriced: Any = "refuse",
    away_share: float = 0.0,
    key: str = "budget",
) -> Budget:
    calendar = Calendar(every, zone)
    return Budget(key, key, unit, cap, calendar, int(cap * soft), stop, unpriced, away_share)


def at_once(most: int, key: str = "at-once") -> AtOnce:
    return AtOnce(key, key, most)


def need(tokens: int = 0, microusd: int | None = 0, *, bounded: bool = True) -> Need:
    return Need(tokens, 0, microusd, tokens, tokens, bounded)


class Clerk:
    """Takes from counters of either kind, at a time of the test's own."""

    def __init__(self, counters: Counters[Any], unix: float = MIDNIGHT + 3600.0) -> None:
        self.counters = counters
        self.now = 1000.0
        self.unix = unix

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.unix += seconds

    async def take(self, bound: Any, needed: Need | None = None) -> Verdict:
        verdict = self.counters.take(bound, needed or need(), self.now, self.unix)
        return await verdict if isinstance(verdict, Awaitable) else verdict

    async def taken(self, bound: Any, needed: Need | None = None) -> Any:
        """What a call holds that must be admitted."""
        verdict = await self.take(bound, needed)
        assert not isinstance(verdict, Denied), verdict
        return verdict

    async def denied(self, bound: Any, needed: Need | None = None) -> Denied:
        """The refusal of a call that must be refused."""
        verdict = await self.take(bound, needed)
        assert isinstance(verdict, Denied)
        return verdict

    def settle(self, held: Any, tokens: int = 0, microusd: int = 0) -> None:
        held.settle(tokens, microusd, self.now)

    def bind(self, **measures: Any) -> Any:
        return self.counters.bind(Measures(**measures), self.now)

"""A caller's measures with the shares of their counters; a call that asks for what they lack."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from headrace.gateway.limits.counters import Verdict
from headrace.gateway.limits.gcra import Stake
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
    note_rate,
)
from headrace.gateway.limits.round_trips import Ask
from headrace.gateway.limits.shares import US, HeldShare, RateShare, Share, TokensHeld

FOREVER = 1e17
"""Microseconds that no time will help."""


class SharedBound:
    """Measures with this worker's shares of their counters."""

    __slots__ = ("alone", "alone_as", "at_once", "budgets", "ends_at", "measures", "requests",
                 "tokens")  # fmt: skip

    def __init__(
        self,
        measures: Measures,
        requests: tuple[tuple[Rate, RateShare], ...],
        tokens: tuple[tuple[Rate, RateShare], ...],
        at_once: tuple[tuple[AtOnce, HeldShare], ...],
    ) -> None:
        self.measures = measures
        self.requests = requests
        self.tokens = tokens
        self.at_once = at_once
        self.budgets: tuple[tuple[Budget, HeldShare], ...] = ()
        self.ends_at = 0.0 if measures.budgets else float("inf")
        """Unix seconds until when `budgets` are right: each period has counters of its own."""
        self.alone: Any = None
        """For when the server is away."""
        self.alone_as: object = None

    def shares(self) -> list[Share]:
        pairs = (*self.requests, *self.tokens, *self.at_once, *self.budgets)
        return [share for _, share in pairs]

    def covers(self, need: Need) -> bool:
        """Whether the shares have all of it."""
        for _, share in self.requests:
            if share.left < 1:
                return False
        tokens = need.tokens
        for _, share in self.tokens:
            if share.left < tokens:
                return False
        for _, place in self.at_once:
            if place.left < 1:
                return False
        for budget, held in self.budgets:
            if not held.known:
                return False
            if not budget.stop:
                continue
            amount = need.cost_microusd if budget.unit == "usd" else need.budget_tokens
            if amount is None:
                if budget.unpriced == "refuse":
                    return False  # the server has to say no to it
            elif held.left < amount:
                return False
        return True


Part = tuple[Rate | AtOnce | Budget, RateShare | HeldShare, int]
"""A measure, the share of its counter, and what a call needs of it."""


class Asked:
    """A call that waits for its verdict."""

    __slots__ = ("bound", "budgets", "covered", "lacking", "need", "unix", "verdict", "wants")

    def __init__(
        self,
        bound: SharedBound,
        need: Need,
        unix: float,
        verdict: asyncio.Future[Verdict],
    ) -> None:
        self.bound = bound
        self.budgets = bound.budgets
        self.need = need
        self.unix = unix
        self.verdict = verdict
        self.covered: list[Part] = []
        self.lacking: list[Part] = []
        self.wants: list[int] = []

    def reserve(self) -> None:
        """Holds what the shares have of it; the rest is to be asked for."""
        need, bound = self.need, self.bound
        self.budgets = bound.budgets
        parts: list[Part] = [(rate, share, 1) for rate, share in bound.requests]
        parts += [(rate, share, need.tokens) for rate, share in bound.tokens]
        parts += [(one, share, 1) for one, share in bound.at_once]
        parts += [(budget, share, reserved_of(budget, need)) for budget, share in bound.budgets]
        for part in parts:
            measure, share, amount = part
            asks = share.left < amount or (
                isinstance(measure, Budget)
                and isinstance(share, HeldShare)
                and (not share.known or _unpriced(measure, need))
            )
            if asks:
                self.lacking.append(part)
            else:
                share.reserve(amount)
                self.covered.append(part)

    def packed(self, now: float) -> Ask:
        self.wants = [share.want(now) for _, share, _ in self.lacking]
        counters = [
            (share.spec, amount, want)
            for (_, share, amount), want in zip(self.lacking, self.wants, strict=True)
        ]
        return counters, self.need.cost_microusd is not None, self.need.bounded

    def granted(
        self, standing: Standing, given: Sequence[Sequence[Any]], now: float, unix: float
    ) -> list[TokensHeld]:
        """All of it is there: what the server gave, and what the shares had. Returns what the call
        holds of token limits."""
        tokens: list[TokensHeld] = []
        for (measure, share, amount), want, said in zip(
            self.lacking, self.wants, given, strict=True
        ):
            if isinstance(share, RateShare):
                arrival, returned, then, room = said
                share.seen((arrival - then) / US, now)
                if isinstance(measure, Rate) and measure.unit == "tokens":
                    stake = Stake(then / US, arrival / US, returned / US)
                    tokens.append(TokensHeld(share, amount, stake))
            else:
                share.running += amount
                if isinstance(measure, Budget):
                    share.seen(int(said[0]))
                room = said[-1]
            share.granted(amount, want, int(room))
            self._note(standing, measure, share, now, unix)
        for measure, share, amount in self.covered:
            if isinstance(share, RateShare):
                share.use(amount)
                if isinstance(measure, Rate) and measure.unit == "tokens":
                    tokens.append(share.hold(amount))
            self._note(standing, measure, share, now, unix)
        return tokens

    def _note(
        self,
        standing: Standing,
        measure: Rate | AtOnce | Budget,
        share: RateShare | HeldShare,
        now: float,
        unix: float,
    ) -> None:
        if isinstance(measure, Rate) and isinstance(share, RateShare):
            note_rate(standing, measure, share.owed_s(now))
        elif isinstance(measure, Budget) and isinstance(share, HeldShare):
            spent = share.spent_in_all
            if spent >= measure.soft:
                note_budget(standing, measure, spent, measure.calendar.ends_at(unix))

    def denied(self, said: Sequence[Any], unix: float) -> Denied:
        """The server's refusal."""
        _, index, why, wait_us, spent = said
        measure, _, amount = self.lacking[int(index)]
        wait_s = None if wait_us >= FOREVER else wait_us / US
        if not isinstance(measure, Budget):
            return Denied(Why(why), measure, wait_s, needed=amount)
        needed, resets_at = amount_of(measure, self.need), measure.calendar.ends_at(unix)
        return Denied(Why(why), measure, wait_s, int(spent), needed, resets_at)


def reserved_of(budget: Budget, need: Need) -> int:
    """What a call holds of a budget as long as it runs; one that only warns need not be held."""
    return amount_of(budget, need) if budget.stop else 0


def _unpriced(budget: Budget, need: Need) -> bool:
    """The server has to say no to it."""
    return (
        need.cost_microusd is None
        and budget.unit == "usd"
        and budget.unpriced == "refuse"
        and budget.stop
    )

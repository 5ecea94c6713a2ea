"""One worker's shares by their counters, as long as somebody uses them; of budgets what they have
used, as long as their period runs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from msgspec import Raw

from headrace.gateway.limits.asking import SharedBound
from headrace.gateway.limits.counters import BudgetUnder
from headrace.gateway.limits.measures import Budget, Measures, Rate
from headrace.gateway.limits.memory import MOST_TOLD
from headrace.gateway.limits.round_trips import at_once_spec, budget_spec, rate_spec
from headrace.gateway.limits.shares import HeldShare, RateShare, Share

FORGOTTEN_AT_ONCE = 64
MOST_IDLE = 20_000
"""Budgets that nobody uses and that are remembered; the one that was idle first goes first. Each
takes some 800 bytes."""
KnownBudget = tuple[Budget, HeldShare, float]
"""With its share of its last period, and the Unix seconds of that period's end."""


class ShareBook:
    """They outlive a configuration, whose limits they are told anew."""

    def __init__(self, prefix: str) -> None:
        """`prefix` is that of all keys."""
        self._prefix = prefix
        self._shares: dict[str, RateShare | HeldShare] = {}
        self._unused: dict[str, None] = {}
        self._budgets: dict[str, KnownBudget] = {}
        """By the budget's own key."""
        self._idle: dict[str, KnownBudget] = {}
        """By the same keys, those whose shares nobody finds any more. A call that only warns holds
        nothing of its share, which may be forgotten before the call ends: its end is told here."""
        self._sweep: Iterator[str] | None = None

    def bind(self, measures: Measures) -> SharedBound:
        """Finds or makes the shares, but for budgets: see `turn_page`."""
        bound = SharedBound(
            measures,
            tuple((rate, self._rate_share(rate)) for rate in measures.requests),
            tuple((rate, self._rate_share(rate)) for rate in measures.tokens),
            tuple(
                (one, self._held_share(key := self._prefix + one.key, at_once_spec(key, one)))
                for one in measures.at_once
            ),
        )
        for share in bound.shares():
            share.users += 1
        return bound

    def _rate_share(self, rate: Rate) -> RateShare:
        key = self._prefix + rate.key
        share = self._shares.get(key)
        if not isinstance(share, RateShare):
            share = self._shares[key] = RateShare(key, Raw(), rate.step_s)
        share.step_s, share.spec = rate.step_s, rate_spec(key, rate)
        return share

    def _held_share(self, key: str, spec: Raw) -> HeldShare:
        share = self._shares.get(key)
        if not isinstance(share, HeldShare):
            share = self._shares[key] = HeldShare(key, spec)
        share.spec = spec
        return share

    def turn_page(self, bound: SharedBound, unix: float) -> None:
        """The counters of those periods that `unix` is in."""
        found, ends = [], []
        for budget in bound.measures.budgets:
            end = budget.calendar.ends_at(unix)
            share = self._budget_share(budget, end)
            share.users += 1
            found.append((budget, share))
            ends.append(end)
            self._budgets[budget.key] = (budget, share, end)
        for _, share in bound.budgets:
            self._drop(share)
        bound.budgets, bound.ends_at = tuple(found), min(ends)

    def _budget_share(self, budget: Budget, end: float) -> HeldShare:
        key = f"{self._prefix}{budget.key}:{int(end)}"
        idle = self._idle.pop(budget.key, None)
        if idle is not None and idle[1].key == key:
            self._shares[key] = share = idle[1]
            share.known = False  # others may have used it meanwhile: the next call asks
        return self._held_share(key, budget_spec(key, budget, end))

    def leave(self, bound: SharedBound) -> None:
        """It is not used any more."""
        for share in bound.shares():
            self._drop(share)

    def _drop(self, share: Share) -> None:
        share.users -= 1
        if not share.users:
            self._unused[share.key] = None

    def spent(self, unix: float) -> Iterator[tuple[Budget, int]]:
        """What is known to be used of budgets in their periods."""
        known = chain(self._budgets.values(), self._idle.values())
        for budget, share, ends_at in islice(known, MOST_TOLD):
            yield budget, share.spent_in_all if unix < ends_at else 0

    def recall(self, budget_under: BudgetUnder) -> None:
        """See `Counters.recall`."""
        for known in (self._budgets, self._idle):
            for key, (before, share, ends_at) in list(islice(known.items(), MOST_TOLD)):
                budget = budget_under(key, before)
                if budget is None:
                    del known[key]
                else:
                    known[key] = (budget, share, ends_at)

    def forget(self, unix: float) -> None:
        """One small step towards forgetting shares that nobody uses and that hold nothing, and what
        was used of budgets in periods that are over."""
        for _ in range(min(FORGOTTEN_AT_ONCE, len(self._unused))):
            key = next(iter(self._unused))
            del self._unused[key]
            share = self._shares[key]
            if share.users:
                continue
            if share.idle:
                del self._shares[key]
                self._remember(key.removeprefix(self._prefix).rpartition(":")[0], share)
            else:
                self._unused[key] = None  # to the end of the row
        self._forget_what_ended(unix)

    def _remember(self, name: str, forgotten: Share) -> None:
        """What was used of a budget is told on when its share is gone: a caller that is silent has
        not used less."""
        found = self._budgets.get(name)
        if found is None or found[1] is not forgotten:
            return  # a rate, places, or a budget that is in a later period
        del self._budgets[name]
        if len(self._idle) >= MOST_IDLE:
            del self._idle[next(iter(self._idle))]
        self._idle[name] = found

    def _forget_what_ended(self, unix: float) -> None:
        for _ in range(FORGOTTEN_AT_ONCE):
            name = next(self._sweep, None) if self._sweep is not None else None
            if name is None:
                self._sweep = iter(list(self._idle))
                return
            known = self._idle.get(name)
            if known is not None and unix >= known[2]:
                del self._idle[name]

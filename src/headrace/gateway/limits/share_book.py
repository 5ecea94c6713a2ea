"""One worker's shares by their counters, as long as somebody uses them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec import Raw

from headrace.gateway.limits.asking import SharedBound
from headrace.gateway.limits.measures import Budget, Measures, Rate
from headrace.gateway.limits.memory import MOST_TOLD
from headrace.gateway.limits.round_trips import at_once_spec, budget_spec, rate_spec
from headrace.gateway.limits.shares import HeldShare, RateShare, Share

FORGOTTEN_AT_ONCE = 64


class ShareBook:
    """They outlive a configuration, whose limits they are told anew."""

    def __init__(self, prefix: str) -> None:
        """`prefix` is that of all keys."""
        self._prefix = prefix
        self._shares: dict[str, RateShare | HeldShare] = {}
        self._unused: dict[str, None] = {}
        self._budgets: dict[str, tuple[Budget, HeldShare, float]] = {}
        """By the budget's own key: the share of its last period, which ends at these Unix
        seconds."""

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
            key = f"{self._prefix}{budget.key}:{int(end)}"
            share = self._held_share(key, budget_spec(key, budget, end))
            share.users += 1
            found.append((budget, share))
            ends.append(end)
            self._budgets[budget.key] = (budget, share, end)
        for _, share in bound.budgets:
            self._drop(share)
        bound.budgets, bound.ends_at = tuple(found), min(ends)

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
        for budget, share, ends_at in islice(self._budgets.values(), MOST_TOLD):
            yield budget, share.spent_in_all if unix < ends_at else 0

    def forget(self) -> None:
        """One small step towards forgetting shares that nobody uses and that hold nothing."""
        for _ in range(min(FORGOTTEN_AT_ONCE, len(self._unused))):
            key = next(iter(self._unused))
            del self._unused[key]
            share = self._shares[key]
            if share.users:
                continue
            if share.idle:
                del self._shares[key]
                name = key.removeprefix(self._prefix).rpartition(":")[0]
                if name in self._budgets and self._budgets[name][1] is share:
                    del self._budgets[name]
            else:
                self._unused[key] = None  # to the end of the row

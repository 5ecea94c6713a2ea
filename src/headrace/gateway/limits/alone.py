"""What one worker does while the shared counters are away: rates and calls at once with its share
of the limit, by the number of workers that were last known to live; budgets refuse, or let pass the
share of theirs that is configured for this. What was spent meanwhile is told when they are back."""

from __future__ import annotations

import logging
from collections.abc import Callable

from headrace.gateway.limits import away
from headrace.gateway.limits.asking import SharedBound
from headrace.gateway.limits.counters import Taken, Verdict
from headrace.gateway.limits.measures import Budget, Denied, Need, Why
from headrace.gateway.limits.memory import MemoryCounters
from headrace.gateway.limits.shares import HeldShare

log = logging.getLogger("headrace.limits")

Spent = Callable[[HeldShare], None]


class Alone:
    """One worker's counts by itself. An outage begins with the first call that meets it."""

    def __init__(self, spent: Spent) -> None:
        """`spent` is called with shares of budgets that there is something to tell of."""
        self.workers = 1
        """That were last known to live."""
        self._spent = spent
        self._local = MemoryCounters()
        self._outage = 0
        self._away = False

    def over(self) -> None:
        """The shared counters are back."""
        self._away = False

    def take(self, bound: SharedBound, need: Need, now: float, unix: float) -> Verdict:
        if not self._away:
            self._away = True
            self._outage += 1
            log.warning(
                "limits are counted by each worker alone",
                extra={"detail": f"a share of 1/{self.workers}"},
            )
        share = (self._outage, self.workers)
        if bound.alone is None or bound.alone_as != share:
            self.release(bound)
            measures = away.share_of(bound.measures, self.workers, self._outage)
            bound.alone, bound.alone_as = self._local.bind(measures, now), share
        for budget in bound.measures.budgets:
            if budget.stop and not budget.away_share:
                return Denied(Why.AWAY, budget, away.RETRY_S)
        verdict = self._local.take(bound.alone, need, now, unix)
        if isinstance(verdict, Denied):
            if isinstance(verdict.measure, Budget):
                return Denied(Why.AWAY, verdict.measure, away.RETRY_S)
            return verdict
        return AloneTaken(bound.budgets, verdict, self._spent) if bound.budgets else verdict

    def release(self, bound: SharedBound) -> None:
        if bound.alone is not None:
            self._local.release(bound.alone)
            bound.alone = None

    def sweep(self, now: float, unix: float) -> None:
        self._local.sweep(now, unix)


class AloneTaken:
    """What one call holds of this worker's counts, and owes to the shared budgets."""

    __slots__ = ("_budgets", "_spent", "_taken", "standing")

    def __init__(
        self, budgets: tuple[tuple[Budget, HeldShare], ...], taken: Taken, spent: Spent
    ) -> None:
        self._budgets = budgets
        self._taken = taken
        self._spent = spent
        self.standing = taken.standing

    def settle(self, tokens: int, microusd: int, now: float) -> None:
        """See `Taken.settle`."""
        self._taken.settle(tokens, microusd, now)
        for budget, share in self._budgets:
            share.settle(0, microusd if budget.unit == "usd" else tokens)
            self._spent(share)

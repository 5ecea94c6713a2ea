"""Where counts are kept: the seam between the gate and its counters.

Twins: `memory.py` for one worker, `shared.py` for several, by Redis. The same tests run on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, Protocol, TypeVar

from headrace.gateway.limits.measures import Budget, Denied, Measures, Need, Standing
from headrace.gateway.limits.one_of_each import Few

BoundT = TypeVar("BoundT")


class Taken(Protocol):
    """What one call holds."""

    @property
    def standing(self) -> Standing: ...

    def settle(self, tokens: int, microusd: int, now: float) -> None:
        """Replaces what was reserved by what was used, and ends the call. Called once, on every
        way out; costs the call no waiting."""
        ...


Verdict = Taken | Denied
BudgetUnder = Callable[[str, Budget | None], Budget | None]
"""Which budget the rules that are in force count under a key; given what it was before, if that is
known. None: no more, or not known."""


class Counters(Protocol[BoundT]):
    """`now` is monotonic seconds, `unix` Unix seconds."""

    def bind(self, measures: Measures, now: float) -> BoundT:
        """Makes measures ready. Give it back by `release` when it is not used any more."""
        ...

    def release(self, bound: BoundT) -> None: ...

    def few(self, bound: BoundT) -> Few | None:
        """For a caller who is counted here, by at most one measure of each kind."""
        ...

    def take(
        self, bound: BoundT, need: Need, now: float, unix: float
    ) -> Verdict | CoroutineType[Any, Any, Verdict]:
        """Takes from all measures, or from none. What is to be awaited holds nothing if it is
        cancelled."""
        ...

    def spent(self, unix: float) -> Iterable[tuple[Budget, int]]:
        """What calls that ended have used of budgets in their periods, as far as it is known."""
        ...

    def recall(self, budget_under: BudgetUnder) -> None:
        """Other rules are in force: what `spent` tells is by them from now on. A caller that is
        silent would else be told by those of its last call."""
        ...

    def sweep(self, now: float, unix: float) -> None:
        """One small step towards forgetting what is idle."""
        ...

"""When a second backend is asked for a whole answer that takes long. Pure: no I/O, no clock.

Dean and Barroso, The Tail at Scale (CACM 2013): a second request after the 95th percentile cuts
the tail for a few percent more work. Here two bounds hold that work down: a share of the calls,
which is counted, and the retry budgets, which `CallPlan.hedge` takes from.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

from headrace.config.policies import HedgePolicy

LEAST_TIMES = 20
"""Answers of a backend that must be known before its quantile says anything."""
KEPT_TIMES = 200
"""The quantile is of so many last answers."""
BURST = 10.0
"""Hedges that a time without any can save up."""
_ROUNDING = 1e-9


class Hedging:
    """For one operation of one model. A share of each call is saved up, a hedge takes one: so at
    any time at most that share of the calls was hedged."""

    __slots__ = ("_policy", "_saved", "_times")

    def __init__(self, policy: HedgePolicy) -> None:
        self._policy = policy
        self._saved = 0.0
        self._times: dict[str, _Times] = {}

    def called(self) -> None:
        """A call has come."""
        self._saved = min(BURST, self._saved + self._policy.share)

    def after_s(self, backend: str) -> float | None:
        """Seconds after which an answer of this backend is late; None while that is not known."""
        times = self._times.get(backend)
        return None if times is None else times.quantile(self._policy.after_quantile)

    def affords(self) -> bool:
        """Whether one more may be sent."""
        return self._saved >= 1.0 - _ROUNDING

    def sent(self) -> None:
        """One was."""
        self._saved -= 1.0

    def took(self, backend: str, seconds: float) -> None:
        """An answer took so long; at least so long, if it was given up for another's. Without
        those, only the quick answers of a slow backend would count."""
        times = self._times.get(backend)
        if times is None:
            times = self._times[backend] = _Times()
        times.add(seconds)


class _Times:
    """The last times, in order of age and of length."""

    __slots__ = ("_by_age", "_by_length")

    def __init__(self) -> None:
        self._by_age: deque[float] = deque()
        self._by_length: list[float] = []

    def add(self, seconds: float) -> None:
        self._by_age.append(seconds)
        insort(self._by_length, seconds)
        if len(self._by_age) > KEPT_TIMES:
            oldest = self._by_age.popleft()
            del self._by_length[bisect_left(self._by_length, oldest)]

    def quantile(self, share: float) -> float | None:
        count = len(self._by_length)
        if count < LEAST_TIMES:
            return None
        return self._by_length[min(count - 1, int(share * count))]

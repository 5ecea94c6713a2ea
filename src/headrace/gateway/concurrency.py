"""How many calls may run on a backend at once: additive increase, multiplicative decrease.

Not Envoy's gradient of latencies, since a model's answer takes as long as it is long. What tells
overload is a 429, and server errors and slow first tokens when there are many of them. Pure.
"""

from __future__ import annotations

from headrace.config.policies import ConcurrencyPolicy

_MEMORY = 0.05
"""Weight of the newest outcome in the share of strained ones: about the last 20 count."""
FORGET_S = 60.0
"""Without a cut for this long, what was learnt by the last one is half forgotten."""


class Limit:
    """A limit on calls that run at once. `now` and `began` are monotonic seconds.

    Until it is cut for the first time it is a mere safety net and grows with every success; after
    that it grows by one for as many successes as it is high. It grows only while at least half of
    it is in use, and by time: a cut of an hour ago must not meet a rush of now.
    """

    __slots__ = ("_credit", "_exact", "_grown_at", "_strain", "ceiling", "cut_at", "policy")

    def __init__(self, policy: ConcurrencyPolicy) -> None:
        self.policy = policy
        self._exact = float(min(max(policy.start, policy.least), policy.most))
        self._credit = 0
        self._grown_at = 0.0
        self.cut_at: float | None = None
        """The last cut, None if it is forgotten or there was none."""
        self._strain = 0.0
        self.ceiling = int(self._exact)
        """Calls that may run at once."""

    def use(self, policy: ConcurrencyPolicy) -> None:
        """New settings; what was learnt stays within the new bounds."""
        self.policy = policy
        self._exact = min(max(self._exact, float(policy.least)), float(policy.most))
        self.ceiling = int(self._exact)

    def admits(self, running: int) -> bool:
        """Whether one more call may join those that are running."""
        return running < self.ceiling

    def succeeded(self, running: int) -> None:
        """A call was answered in time; `running` counts it too."""
        if self._strain:
            self._strain *= 1.0 - _MEMORY
        if running + running < self.ceiling or self.ceiling >= self.policy.most:
            return
        self._credit += 1
        if self.cut_at is None or self._credit >= self.ceiling:
            self._credit = 0
            self._exact = min(self._exact + 1.0, float(self.policy.most))
            self.ceiling = int(self._exact)

    def refused(self, began: float, running: int, now: float) -> None:
        """A call that began at `began` was answered with 429."""
        self._strain += _MEMORY * (1.0 - self._strain)
        self._cut(began, running, now)

    def strained(self, began: float, running: int, now: float) -> None:
        """A call that began at `began` had a server error or a slow first token."""
        self._strain += _MEMORY * (1.0 - self._strain)
        if self._strain >= self.policy.strained_share:
            self._cut(began, running, now)

    def forget(self, now: float) -> None:
        """Doubles the limit, up to where it started, for each `FORGET_S` without a cut. To be
        called while calls succeed and `cut_at` is set."""
        if self.cut_at is None:
            return
        times = int((now - max(self.cut_at, self._grown_at)) / FORGET_S)
        if times <= 0:
            return
        self._grown_at = now
        start = float(min(self.policy.start, self.policy.most))
        self._exact = max(self._exact, min(start, self._exact * 2.0 ** min(times, 64)))
        self.ceiling = int(self._exact)
        if self._exact >= start:
            self.cut_at = None

    def _cut(self, began: float, running: int, now: float) -> None:
        """At most once in `cut_every_s` and once in a round trip: a call that began before the
        last cut tells nothing about the limit since. A limit far above what runs falls to near it
        at once."""
        policy, cut_at = self.policy, self.cut_at
        stepped_back = cut_at is not None and now < cut_at
        if cut_at is not None and not stepped_back:
            too_soon = now - cut_at < policy.cut_every_s
            if too_soon or began < cut_at:
                return
        self.cut_at = self._grown_at = now
        self._credit = 0
        near = min(self._exact, 2.0 * running)
        self._exact = max(near * policy.cut, float(policy.least))
        self.ceiling = int(self._exact)

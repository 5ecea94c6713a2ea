"""Attempts and their outcomes over the last seconds, in buckets."""

from __future__ import annotations


class Window:
    """Sums over a sliding time. `now` is monotonic seconds; a clock that steps back by less than
    the window counts on in the newest bucket, one that steps back further starts anew.

    Attempts are counted when they start, so that an outage shows before the first of them ends
    (go-zero, issue 5011), outcomes when they are known.
    """

    __slots__ = (
        "_buckets",
        "_done",
        "_failed",
        "_per_s",
        "_serial",
        "_slow",
        "_started",
        "done",
        "failed",
        "slow",
        "started",
    )

    def __init__(self, length_s: float, buckets: int) -> None:
        self._buckets = buckets
        self._per_s = buckets / length_s
        self._serial = 0
        self.clear()

    def clear(self) -> None:
        """Forgets all counts."""
        none = [0] * self._buckets
        self._started, self._done, self._failed, self._slow = none, none[:], none[:], none[:]
        self.started = self.done = self.failed = self.slow = 0

    @property
    def total(self) -> int:
        """Attempts that a share is taken of: started ones, or ended ones if those are more."""
        return self.started if self.started > self.done else self.done

    def turn(self, now: float) -> None:
        """Drops what is too old."""
        serial = int(now * self._per_s)
        if serial != self._serial:
            self._turn_to(serial)

    def start(self, now: float) -> int:
        """Counts an attempt; the result is for `withdraw`."""
        serial = int(now * self._per_s)
        if serial != self._serial:
            self._turn_to(serial)
            serial = self._serial
        self._started[serial % self._buckets] += 1
        self.started += 1
        return serial

    def withdraw(self, serial: int, now: float) -> None:
        """An attempt that says nothing about the backend was never there."""
        self.turn(now)
        at = serial % self._buckets
        if self._serial - self._buckets < serial <= self._serial and self._started[at]:
            self._started[at] -= 1
            self.started -= 1

    def succeed(self, now: float) -> None:
        """Counts an attempt that was answered."""
        serial = int(now * self._per_s)
        if serial != self._serial:
            self._turn_to(serial)
            serial = self._serial
        self._done[serial % self._buckets] += 1
        self.done += 1

    def fail(self, now: float) -> None:
        """Counts an attempt that failed."""
        self.succeed(now)
        self._failed[self._serial % self._buckets] += 1
        self.failed += 1

    def be_slow(self, now: float) -> None:
        """Marks an attempt that `succeed` has counted."""
        self.turn(now)
        self._slow[self._serial % self._buckets] += 1
        self.slow += 1

    def _turn_to(self, serial: int) -> None:
        ahead = serial - self._serial
        if -self._buckets < ahead < 0:
            return
        if 0 < ahead < self._buckets:
            for passed in range(self._serial + 1, serial + 1):
                self._drop(passed % self._buckets)
        else:
            self.clear()
        self._serial = serial

    def _drop(self, at: int) -> None:
        self.started -= self._started[at]
        self.done -= self._done[at]
        self.failed -= self._failed[at]
        self.slow -= self._slow[at]
        self._started[at] = self._done[at] = self._failed[at] = self._slow[at] = 0

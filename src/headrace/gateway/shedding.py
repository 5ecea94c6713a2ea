"""Refuses calls while the gateway itself has too much to do, the least important first. Pure.

Measured by how late the event loop is and how much memory is in use. A level is entered at its
threshold and left at half of its lag, or a tenth below its share of memory, so that it does not
flutter. Lag has no time to hold beyond that: a loop that has caught up can work. Where no call is
in flight it was not calls that made it late, and to refuse one gains nothing.
"""

from __future__ import annotations

import enum
import random

from headrace.config.policies import SheddingPolicy
from headrace.errors import Reason, Refused
from headrace.nouns import Priority

LAG_LEFT = 0.5
"""Of the threshold: below it a level is left."""
MEMORY_LEFT = 0.9


class Level(enum.IntEnum):
    """What is refused."""

    CALM = 0
    BATCH = 1
    """Calls of the class batch."""
    ALL_BUT_CRITICAL = 2


_NAMES = {b"batch": Priority.BATCH, b"normal": Priority.NORMAL, b"critical": Priority.CRITICAL}


def priority_of(
    header: bytes | None,
    allowed: Priority = Priority.NORMAL,
    default: Priority = Priority.NORMAL,
) -> Priority:
    """The class of a call by its `x-headrace-priority`, at most what its key allows. What is not
    understood counts as not sent."""
    if header is None:
        return default if default <= allowed else allowed
    return min(_NAMES.get(header.strip().lower(), default), allowed)


class Shedder:
    """Decides by the last measurement. `capacity` is how many calls may be in flight at once; the
    policy's share of it is kept for critical ones."""

    def __init__(self, policy: SheddingPolicy, capacity: int, rng: random.Random) -> None:
        self._policy = policy
        self._capacity = capacity
        self._for_all = capacity - round(capacity * policy.critical_share)
        self._rng = rng
        self.level = Level.CALM
        self._by_lag = Level.CALM
        self._by_memory = Level.CALM
        self.refused = 0
        """Calls, since whoever tells of it set this to 0."""

    def observe(self, lag_s: float, memory_share: float | None) -> Level:
        """Takes a measurement: seconds that the loop is late, and memory in use as a share of its
        limit, None if that cannot be known. Returns the level from now on."""
        policy = self._policy
        self._by_lag = _level(
            self._by_lag, lag_s * 1000, (policy.batch_lag_ms, policy.all_lag_ms), LAG_LEFT
        )
        most = policy.batch_memory_share, policy.all_memory_share
        self._by_memory = _level(self._by_memory, memory_share or 0.0, most, MEMORY_LEFT)
        self.level = max(self._by_lag, self._by_memory)
        return self.level

    def admit(self, priority: Priority, in_flight: int) -> None:
        """Raises Refused(OVERLOADED). `in_flight` counts the calls before this one."""
        if self.level is Level.CALM and in_flight < self._for_all:
            return
        if not self.admits(priority, in_flight):
            raise overloaded(self.turn_away())

    def admits(self, priority: Priority, in_flight: int) -> bool:
        """Whether a call may go on. `in_flight` as for `admit`."""
        if priority is Priority.CRITICAL:
            return in_flight < self._capacity
        level = self.level if in_flight else self._by_memory
        return in_flight < self._for_all and priority >= level

    def turn_away(self) -> float:
        """Counts a call that is refused. Returns the seconds after which to come back."""
        policy = self._policy
        self.refused += 1
        return self._rng.uniform(policy.retry_after_least_s, policy.retry_after_most_s)


def _level(now: Level, measured: float, most: tuple[float, float], left: float) -> Level:
    """By one measurement, whose `most` are those for batch and for all but critical calls. What is
    entered is left at the share `left` of that."""
    entered = Level.CALM
    for step, threshold in zip((Level.BATCH, Level.ALL_BUT_CRITICAL), most, strict=True):
        if measured > (threshold * left if now >= step else threshold):
            entered = step
    return entered


def overloaded(retry_after_s: float | None = None) -> Refused:
    """What a client is told."""
    return Refused(
        Reason.OVERLOADED,
        "This gateway has more to do than it can just now. Please try again shortly.",
        retry_after_s=retry_after_s,
    )

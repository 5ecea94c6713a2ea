"""Days, weeks and months by a time zone. Pure."""

from __future__ import annotations

import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from headrace.allowances import Period

DAY = datetime.timedelta(days=1)


class Calendar:
    """Periods that begin at midnight where `timezone` is: each day, Monday, or first of a month."""

    __slots__ = ("_begins", "_ends", "_zone", "every")

    def __init__(self, every: Period, timezone: str) -> None:
        """Raises ZoneInfoNotFoundError, ValueError."""
        self.every: Literal["day", "week", "month"] = every
        self._zone = ZoneInfo(timezone)
        self._begins = self._ends = 0.0

    def ends_at(self, now: float) -> float:
        """Unix seconds of the end of the period that `now` is in: where the next one begins."""
        if not self._begins <= now < self._ends:
            self._begins, self._ends = self._bounds(now)
        return self._ends

    def began_at(self, now: float) -> float:
        """Unix seconds of the beginning of the period that `now` is in."""
        self.ends_at(now)
        return self._begins

    def _bounds(self, now: float) -> tuple[float, float]:
        day = datetime.datetime.fromtimestamp(now, self._zone).date()
        if self.every == "day":
            first, after = day, day + DAY
        elif self.every == "week":
            first = day - day.weekday() * DAY
            after = first + 7 * DAY
        else:
            first = day.replace(day=1)
            after = (first + 31 * DAY).replace(day=1)
        return self._midnight(first), self._midnight(after)

    def _midnight(self, day: datetime.date) -> float:
        """Where summer time begins at midnight there is none: the day then starts an hour later,
        which is what the time zone's rules make of it."""
        return datetime.datetime.combine(day, datetime.time(), self._zone).timestamp()

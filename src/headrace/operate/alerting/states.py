"""When an alert begins, lasts and ends. Pure: `now` comes from the caller.

It begins when a value is past its threshold in both windows, for as long as its rule says; it ends
when the short window has been well for a while. So a burst is none, and a value around its
threshold does not make it flap.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from msgspec import Struct

from headrace.operate.alerting.rules import CALM_S, Reading

FORGOTTEN_S = 3600.0
"""What is no longer read is well after this time, told as such if it was an alert."""


class Change(enum.Enum):
    """What is told."""

    BEGINS = "begins"
    LASTS = "lasts"
    ENDS = "ends"


class Notice(Struct, frozen=True):
    """An alert to be told of. `since` is monotonic seconds."""

    change: Change
    reading: Reading
    since: float


class _Watched:
    __slots__ = ("past_since", "reading", "seen", "since", "told", "well_since")

    def __init__(self, reading: Reading, now: float) -> None:
        self.reading = reading
        self.seen = now
        self.past_since: float | None = None
        self.well_since: float | None = None
        self.since: float | None = None
        """When the alert began; None if there is none."""
        self.told = 0.0


class Watch:
    """All alerts of a gateway."""

    def __init__(self, remind_s: float) -> None:
        self._remind_s = remind_s
        self._watched: dict[tuple[str, str], _Watched] = {}

    def firing(self) -> list[Reading]:
        return [one.reading for one in self._watched.values() if one.since is not None]

    def since(self, reading: Reading) -> float | None:
        """When its alert began, in monotonic seconds; None if there is none."""
        watched = self._watched.get((reading.rule.name, reading.subject))
        return None if watched is None else watched.since

    def take(self, readings: Iterable[Reading], now: float) -> list[Notice]:
        """What is to be told of these readings. `now` is monotonic seconds."""
        notices: list[Notice] = []
        for reading in readings:
            key = (reading.rule.name, reading.subject)
            watched = self._watched.get(key)
            if watched is None:
                if not reading.past:
                    continue
                watched = self._watched[key] = _Watched(reading, now)
            watched.reading, watched.seen = reading, now
            notice = self._step(watched, now)
            if notice is not None:
                notices.append(notice)
        notices += self._unread(now)
        return notices

    def _step(self, one: _Watched, now: float) -> Notice | None:
        reading = one.reading
        one.past_since = (one.past_since or now) if reading.past else None
        one.well_since = (one.well_since or now) if reading.well else None
        if one.since is None:
            if one.past_since is not None and now - one.past_since >= reading.lasting_s:
                one.since = one.told = now
                return Notice(Change.BEGINS, reading, now)
            return None
        if one.well_since is not None and now - one.well_since >= CALM_S:
            return self._ended(one)
        if now - one.told >= self._remind_s:
            one.told = now
            return Notice(Change.LASTS, reading, one.since)
        return None

    def _ended(self, one: _Watched) -> Notice:
        assert one.since is not None
        notice = Notice(Change.ENDS, one.reading, one.since)
        del self._watched[one.reading.rule.name, one.reading.subject]
        return notice

    def _unread(self, now: float) -> list[Notice]:
        """Few calls say nothing, a backend may be gone: then an alert ends by itself."""
        old = [one for one in self._watched.values() if now - one.seen > FORGOTTEN_S]
        ended = [self._ended(one) for one in old if one.since is not None]
        for one in old:
            self._watched.pop((one.reading.rule.name, one.reading.subject), None)
        return ended

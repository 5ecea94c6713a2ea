"""Days, weeks and months where people live."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from headrace.gateway.limits.periods import Calendar


def unix(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("every", "zone", "now", "began", "ends"),
    [
        ("day", "UTC", "2026-11-24T00:00:00", "2026-11-24", "2026-11-25"),
        ("day", "UTC", "2026-11-24T23:59:59", "2026-11-24", "2026-11-25"),
        ("day", "Europe/Rome", "2026-11-24T00:30:00", "2026-11-24", "2026-11-25"),
        ("week", "UTC", "2026-11-24T12:00:00", "2026-11-23", "2026-11-30"),
        ("week", "UTC", "2026-11-29T23:00:00", "2026-11-23", "2026-11-30"),
        ("week", "America/New_York", "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        ("month", "UTC", "2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
        ("month", "Asia/Kolkata", "2028-02-29T23:59:00", "2028-02-01", "2028-03-01"),
        # Clocks go on by an hour on the 29th of March, and back on the 25th of October.
        ("day", "Europe/Rome", "2026-03-29T12:00:00", "2026-03-29", "2026-03-30"),
        ("day", "Europe/Rome", "2026-10-25T12:00:00", "2026-10-25", "2026-10-26"),
        # There summer begins at midnight, which so does not exist.
        ("day", "America/Santiago", "2026-09-06T12:00:00", "2026-09-06", "2026-09-07"),
    ],
)
def test_bounds(every: str, zone: str, now: str, began: str, ends: str) -> None:
    calendar = Calendar(every, zone)  # type: ignore[arg-type]
    at = unix(now, zone)
    assert calendar.ends_at(at) == unix(ends, zone)
    assert calendar.began_at(at) == unix(began, zone)


def test_days_of_23_and_25_hours() -> None:
    calendar = Calendar("day", "Europe/Rome")
    short, long = unix("2026-03-29T12:00", "Europe/Rome"), unix("2026-10-25T12:00", "Europe/Rome")
    assert calendar.ends_at(short) - calendar.began_at(short) == 23 * 3600
    assert calendar.ends_at(long) - calendar.began_at(long) == 25 * 3600


def test_a_clock_that_is_put_back_finds_the_earlier_period() -> None:
    calendar = Calendar("day", "UTC")
    assert calendar.ends_at(unix("2026-11-24T12:00")) == unix("2026-11-25")
    assert calendar.ends_at(unix("2026-11-22T12:00")) == unix("2026-11-23")
    assert datetime.fromtimestamp(calendar.began_at(unix("2026-11-24T12:00")), UTC).day == 24

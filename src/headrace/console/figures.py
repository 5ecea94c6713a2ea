"""Figures as people read them. Pure; a dash where nothing is known."""

from __future__ import annotations

from datetime import UTC, datetime

NONE = "–"
_SPACE = "\u202f"


def usd(microusd: float | None) -> str:
    """Dollars, as exact as is of use."""
    if microusd is None:
        return NONE
    dollars = microusd / 1e6
    size = abs(dollars)
    if size >= 1_000:
        return f"${dollars:,.0f}"
    if size >= 1 or size == 0:
        return f"${dollars:,.2f}"
    return f"${dollars:.4f}" if size >= 0.0001 else f"${dollars:.6f}"


def count(number: float | None) -> str:
    """Whole below ten thousand, then with three digits and `k`, `M`, `G`."""
    if number is None:
        return NONE
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            value = number / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{_SPACE}{letter}"
    raise AssertionError(number)


def rate(number: float | None) -> str:
    """Of something a second."""
    if number is None:
        return NONE
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number else "0"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 0.0995:
        return f"{1000 * seconds:.1f}{_SPACE}ms" if seconds < 0.00995 else (
            f"{1000 * seconds:.0f}{_SPACE}ms")  # fmt: skip
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f}{_SPACE}ms"
    if seconds < 60:
        return f"{seconds:.{2 if seconds < 10 else 1}f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}{_SPACE}h" + (f" {minutes:02}{_SPACE}min" if minutes else "")
    return f"{minutes}{_SPACE}min" + (f" {rest:02}{_SPACE}s" if rest else "")


def share(value: float | None) -> str:
    """A part of one, in percent."""
    if value is None:
        return NONE
    percent = 100 * value
    if 0 < percent < 0.1:
        return f"<0.1{_SPACE}%"
    return f"{percent:.{0 if percent >= 10 or percent == 0 else 1}f}{_SPACE}%"


def instant(unix_s: float | None) -> str:
    """In UTC, to the second."""
    return NONE if unix_s is None else f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S}"


FILTERS = {
    "usd": usd,
    "count": count,
    "rate": rate,
    "duration": duration,
    "share": share,
    "instant": instant,
}
"""As the templates call them."""

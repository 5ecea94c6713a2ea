"""How figures are written."""

from __future__ import annotations

import math

from benchmarks.results import Figure


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    size = abs(value)
    if size >= 1000:
        digits = len(f"{size:.0f}") - 3
        return f"{round(value, -digits):,.0f}"
    if size >= 1 or size == 0:
        return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
    return f"{value:.{min(4, 2 - math.floor(math.log10(size)) - 1)}f}"


def spread(figure: Figure, unit: str = "") -> str:
    """The median with the least and the most of the rounds."""
    median = f"{number(figure.median)}{unit}"
    if figure.least == figure.most:
        return median
    return f"{median} ({number(figure.least)}..{number(figure.most)})"

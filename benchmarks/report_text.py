"""How figures are written."""

from __future__ import annotations

from benchmarks.results import Figure


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    size = abs(value)
    if size >= 1000:
        digits = len(f"{size:.0f}") - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def spread(figure: Figure, unit: str = "") -> str:
    """The median with the least and the most of the rounds."""
    median = f"{number(figure.median)}{unit}"
    if figure.least == figure.most:
        return median
    return f"{median} ({number(figure.least)}..{number(figure.most)})"

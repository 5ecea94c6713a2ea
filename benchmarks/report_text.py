"""How figures are written."""

from __future__ import annotations

import math
from pathlib import Path

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


def put_between(page: Path, begin: str, end: str, text: str) -> None:
    """Write `text` between two lines of a page. Raises `ValueError` if the page has lost them."""
    before, first, rest = page.read_text().partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise ValueError(f"{page.name} needs the lines {begin} and {end} around its tables")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")

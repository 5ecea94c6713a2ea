"""Charts, drawn here as SVG. Pure.

They are stretched to the width they get, so they hold no text: axes are HTML beside them
(`templates/charts.html`). Colours come from the stylesheet, by class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape
from msgspec import Struct

WIDTH, HEIGHT = 600, 160
COLOURS = 7
"""Series beyond these share the last."""


class Chart(Struct, frozen=True):
    """`svg` is the plot, `top` the value of its upper edge; the lower one is zero."""

    svg: Markup
    top: float
    labels: tuple[str, ...] = ()
    """Along the axis of time, from left to right."""


def lines(
    label: str,
    times: Sequence[float],
    series: Sequence[tuple[str, Sequence[float | None]]],
    span: tuple[float, float],
) -> Chart:
    """Lines over time, of (class of the line, values); a value that is None breaks its line. The
    first one is filled below."""
    top = ceiling(max((v for _, values in series for v in values if v is not None), default=0.0))
    drawn = []
    for number, (name, values) in enumerate(series):
        for run in _runs(times, values, span, top):
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            if number == 0:
                area = f"{run[0][0]:.1f},{HEIGHT} {points} {run[-1][0]:.1f},{HEIGHT}"
                drawn.append(f'<polygon class="area {name}" points="{area}"/>')
            drawn.append(f'<polyline class="line {name}" points="{points}"/>')
    return Chart(_svg(label, "".join(drawn)), top)


def columns(label: str, stacks: Sequence[Sequence[tuple[int, float, str]]]) -> Chart:
    """Columns beside each other, each a stack of (number of its colour, value, what it says when
    pointed at) from below."""
    top = ceiling(max((sum(part[1] for part in stack) for stack in stacks), default=0.0))
    step = WIDTH / max(len(stacks), 1)
    wide = step * (0.72 if len(stacks) < 80 else 1)
    drawn = []
    for place, stack in enumerate(stacks):
        below = 0.0
        for colour, value, said in stack:
            if value <= 0:
                continue
            high = HEIGHT * value / top
            y = HEIGHT - HEIGHT * below / top - high
            x = place * step + (step - wide) / 2
            drawn.append(
                f'<rect class="c{min(colour, COLOURS - 1)}" x="{x:.2f}"'
                f' y="{y:.2f}" width="{wide:.2f}" height="{high:.2f}">'
                f"<title>{escape(said)}</title></rect>"
            )
            below += value
    return Chart(_svg(label, "".join(drawn)), top)


def meter(share: float | None, label: str) -> Markup:
    """A bar that is full at 1; past it in another colour."""
    part = 0.0 if share is None else max(0.0, min(share, 1.0))
    level = "over" if share is not None and share > 1 else "near" if part > 0.8 else "well"
    return Markup(  # noqa: S704 - the label is escaped
        f'<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><rect class="back" width="100" height="6"/>'
        f'<rect class="{level}" width="{100 * part:.2f}" height="6"/></svg>'
    )


def ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten that is not below it; 1 for nothing."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    for step in (1.0, 2.0, 2.5, 5.0):
        if value <= step * power * (1 + 1e-9):
            return step * power
    return 10 * power


def _svg(label: str, inner: str) -> Markup:
    grid = "".join(
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
        for y in (0, HEIGHT // 2, HEIGHT)
    )
    return Markup(  # noqa: S704 - what others wrote is escaped where it comes in
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{grid}{inner}</svg>'
    )


def _runs(
    times: Sequence[float], values: Sequence[float | None], span: tuple[float, float], top: float
) -> list[list[tuple[float, float]]]:
    """Points of unbroken lines."""
    began, ended = span
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(times, values, strict=True):
        if value is None or at < began:
            runs.append([])
            continue
        x = WIDTH * (at - began) / max(ended - began, 1e-9)
        runs[-1].append((x, HEIGHT - HEIGHT * value / top))
    return [run for run in runs if len(run) > 1]


def spans(
    label: str, bars: Sequence[tuple[float, float, str, str]], mark: float | None = None
) -> Markup:
    """Bars below each other, of (begin, end, class, what it says when pointed at), where begin and
    end are shares of the whole; `mark` is a line through all of them."""
    high = 14 * len(bars)
    drawn = []
    for place, (began, ended, name, said) in enumerate(bars):
        wide = max(WIDTH * (min(ended, 1.0) - began), 3)
        drawn.append(
            f'<rect class="{name}" x="{min(WIDTH * began, WIDTH - 3):.2f}" y="{14 * place + 2}" '
            f'width="{wide:.2f}" height="10"><title>{escape(said)}</title></rect>'
        )
    if mark is not None and 0 <= mark <= 1:
        x = f"{WIDTH * mark:.2f}"
        drawn.append(f'<line class="mark-line" x1="{x}" x2="{x}" y1="0" y2="{high}"/>')
    return Markup(  # noqa: S704 - what others wrote is escaped where it comes in
        f'<svg class="spans" viewBox="0 0 {WIDTH} {high}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(drawn)}</svg>'
    )

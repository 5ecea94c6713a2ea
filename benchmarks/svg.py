"""A bar chart as plain SVG text, so that a change of figures is a readable diff."""

from __future__ import annotations

import math
from html import escape

from benchmarks.report_text import number
from benchmarks.results import Run, figure

_PANELS = (
    ("cpu_us/1kb/64c", "CPU per call (µs, 1 KB)"),
    ("chunk_cpu_us", "CPU per streamed chunk (µs)"),
    ("added_latency_p50_ms", "Added latency, p50 at 100/s (ms)"),
)
_LABEL, _BAR, _ROW, _TITLE, _WIDTH = 90, 420, 22, 34, 620
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; } .bar { fill: #8c959f; } .own { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .bar { fill: #6e7681; } .own { fill: #4493f8; } }
"""


def chart(run: Run, titles: dict[str, str]) -> str:
    """Panels of horizontal bars on logarithmic scales; Headrace's bars stand out."""
    parts: list[str] = []
    top = 8
    for key, title in _PANELS:
        bars = [
            (name, found.median)
            for name in run.gateways()
            if (found := figure(run, name, key)) is not None and found.median > 0
        ]
        if not bars:
            continue
        parts.append(f'<text class="title" x="0" y="{top + 16}">{escape(title)}, log scale</text>')
        top += _TITLE - 6
        for name, value in bars:
            length = _length(value, [other for _, other in bars])
            kind = "bar own" if name == "headrace" else "bar"
            parts += [
                f'<text x="0" y="{top + 14}">{escape(titles[name])}</text>',
                f'<rect class="{kind}" x="{_LABEL}" y="{top + 2}" width="{length}" height="16"/>',
                f'<text x="{_LABEL + length + 6}" y="{top + 14}">{number(value)}</text>',
            ]
            top += _ROW
        top += 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" '
        f'width="{_WIDTH}" height="{top}" role="img" aria-label="Headrace and its peers">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>"]) + "\n"


def _length(value: float, values: list[float]) -> int:
    low, high = math.log10(min(values)) - 0.3, math.log10(max(values))
    return max(2, round(_BAR * (math.log10(value) - low) / (high - low)))

"""Metrics as text, in the format of Prometheus, version 0.0.4:
https://prometheus.io/docs/instrumenting/exposition_formats/. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.gateway.telemetry.snapshot import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Text:
    """Metrics one after the other. A metric without samples is left out."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, about: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._plain(name, "counter", about, samples)

    def gauge(self, name: str, about: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._plain(name, "gauge", about, samples)

    def histogram(
        self,
        name: str,
        about: str,
        bounds: tuple[float, ...],
        samples: Iterable[tuple[Labels, Histogram]],
    ) -> None:
        lines: list[str] = []
        for labels, histogram in samples:
            count = sum(histogram.counts)
            if not count:
                continue
            within = 0
            for bound, number in zip(bounds, histogram.counts, strict=False):
                within += number
                lines.append(_line(f"{name}_bucket", {**labels, "le": f"{bound:g}"}, within))
            lines.append(_line(f"{name}_bucket", {**labels, "le": "+Inf"}, count))
            lines.append(_line(f"{name}_sum", labels, histogram.total))
            lines.append(_line(f"{name}_count", labels, count))
        self._add(name, "histogram", about, lines)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _plain(
        self, name: str, kind: str, about: str, samples: Iterable[tuple[Labels, float]]
    ) -> None:
        self._add(name, kind, about, [_line(name, labels, value) for labels, value in samples])

    def _add(self, name: str, kind: str, about: str, lines: list[str]) -> None:
        if lines:
            self._lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines]


def _line(name: str, labels: Labels, value: float) -> str:
    written = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
    return f"{name}{{{written}}} {value}" if written else f"{name} {value}"


def dollars(microusd: int) -> float:
    """For what is told, never for sums."""
    return microusd / 1_000_000

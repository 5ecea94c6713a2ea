"""Histograms in OpenTelemetry's protocol: sums since the beginning, so that what a collector missed
is in what it gets next."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from msgspec import Struct

from headrace.platform.secrets import Secret
from headrace.platform.telemetry.otlp import SCOPE, Collector, resource_of
from headrace.platform.telemetry.protobuf import KeyValues, field, text
from headrace.platform.telemetry.spans import Value

METRICS_PATH = "/v1/metrics"
_CUMULATIVE = b"\x10\x02"
_TIMES = struct.Struct("<BQBQ").pack
_COUNT_AND_SUM = struct.Struct("<BQBd").pack


class Point(Struct):
    """One series of a histogram: counts below each bound and above the last, and their sum."""

    attributes: Mapping[str, Value]
    counts: list[int]
    total: float = 0.0


class HistogramMetric(Struct, frozen=True):
    """A metric and its series."""

    name: str
    unit: str
    about: str
    bounds: tuple[float, ...]
    points: Sequence[Point]


class OtlpMetricsExporter:
    """Sends to one collector. `began_ns` is Unix nanoseconds of the first count."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, Secret],
        timeout_s: float,
        resource: Mapping[str, str],
        began_ns: int,
    ) -> None:
        self._collector = Collector(url, METRICS_PATH, headers, timeout_s)
        self._resource = resource_of(resource)
        self._began_ns = began_ns
        self._known = KeyValues(9)

    def export(self, metrics: Sequence[HistogramMetric], now_ns: int) -> None:
        """Raises ExportFailed. Nothing is sent before there is something."""
        began_ns, known = self._began_ns, self._known
        told = [field(2, encoded(one, began_ns, now_ns, known)) for one in metrics if one.points]
        if not told:
            return
        self._collector.send(field(1, self._resource + field(2, SCOPE + b"".join(told))))

    def close(self) -> None:
        self._collector.close()


def encoded(metric: HistogramMetric, began_ns: int, now_ns: int, known: KeyValues) -> bytes:
    """The message `Metric`. `known` are of field 9."""
    bounds = field(7, struct.pack(f"<{len(metric.bounds)}d", *metric.bounds))
    times = _TIMES(0x11, began_ns, 0x19, now_ns)
    points = b"".join(field(1, _point(point, times, bounds, known)) for point in metric.points)
    about = text(1, metric.name) + text(2, metric.about) + text(3, metric.unit)
    return about + field(9, points + _CUMULATIVE)


def _point(point: Point, times: bytes, bounds: bytes, known: KeyValues) -> bytes:
    counts = field(6, struct.pack(f"<{len(point.counts)}Q", *point.counts))
    sums = _COUNT_AND_SUM(0x21, sum(point.counts), 0x29, point.total)
    return b"".join((times, sums, counts, bounds, known.fields(point.attributes)))

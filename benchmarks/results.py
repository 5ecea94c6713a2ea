"""The figures of a run: medians over rounds, ratios to nginx of the same round, bars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import msgspec

from benchmarks.measure import FULL, Readings

BASELINE = "nginx"
DIRECT = "direct"
LOAD_BOUND_BELOW = 0.9
"""A gateway less busy than this in a saturating run waited for the load or the upstream."""


@dataclass(frozen=True)
class Metric:
    """One line of the tables."""

    key: str
    title: str
    unit: str
    ratio: bool
    """Whether a ratio to nginx says something; an added latency is told as it is."""


def _whole(prefix: str, title: str, unit: str) -> list[Metric]:
    return [
        Metric(
            f"{prefix}/{case.key}",
            f"{title}, {case.body_kb} KB body, {case.connections} connection"
            + ("s" if case.connections > 1 else ""),
            unit,
            ratio=True,
        )
        for case in FULL.cases
    ]


METRICS: list[Metric] = [
    *_whole("cpu_us", "CPU per call", "µs"),
    Metric(
        "worker_cpu_us/1kb/64c",
        "CPU per call of the busiest process, 1 KB body, 64 connections",
        "µs",
        ratio=True,
    ),
    Metric("chunk_cpu_us", "CPU per streamed chunk", "µs", ratio=True),
    *_whole("rate_per_s", "Calls/s on one core", "/s"),
    Metric("added_latency_p50_ms", "Added latency at 100 calls/s, p50", "ms", ratio=False),
    Metric("added_latency_p99_ms", "Added latency at 100 calls/s, p99", "ms", ratio=False),
    Metric("added_ttft_p50_ms", "Added time to first token at 100 streams/s, p50", "ms", False),
    Metric("added_ttft_p99_ms", "Added time to first token at 100 streams/s, p99", "ms", False),
    Metric("rss_rest_mb/worker", "RSS at rest, largest process", "MB", ratio=False),
    Metric("rss_rest_mb/all", "RSS at rest, all processes", "MB", ratio=False),
    Metric("rss_after_mb/worker", "RSS after the load, largest process", "MB", ratio=False),
    Metric("rss_after_mb/all", "RSS after the load, all processes", "MB", ratio=False),
    Metric("startup_s", "Start to first answered call", "s", ratio=False),
]

_ADDED = ("latency_p50_ms", "latency_p99_ms", "ttft_p50_ms", "ttft_p99_ms")


class Run(msgspec.Struct):
    """All readings of a run, as `--json` writes them."""

    machine: str
    quick: bool
    versions: dict[str, str]
    """By name of gateway, in the order of the tables."""
    rounds: list[dict[str, Readings]] = []
    """For each round the readings of each gateway."""
    problems: list[str] = []
    skipped: dict[str, str] = {}
    """Gateways that are not installed, and how to install them."""

    def gateways(self) -> list[str]:
        """Names of the gateways measured, the direct path left out."""
        return [name for name in self.versions if name != DIRECT]


@dataclass(frozen=True)
class Figure:
    """The median of a metric over the rounds, and how far the rounds lie apart."""

    median: float
    least: float
    most: float


def figure(run: Run, gateway: str, key: str) -> Figure | None:
    """A metric of a gateway; None if it was not measured."""
    return _over_rounds(run, lambda readings: _value(readings, gateway, key))


def ratio(run: Run, gateway: str, other: str, key: str) -> Figure | None:
    """A metric of `gateway` over the same of `other` in the same round."""

    def of_round(readings: dict[str, Readings]) -> float | None:
        above, below = _value(readings, gateway, key), _value(readings, other, key)
        return above / below if above is not None and below else None

    return _over_rounds(run, of_round)


def load_bound(run: Run, gateway: str, key: str) -> bool:
    """Whether a rate says less of the gateway than of what surrounds it."""
    prefix, _, case = key.partition("/")
    busy = figure(run, gateway, f"busy/{case}") if prefix == "rate_per_s" else None
    return busy is not None and busy.median < LOAD_BOUND_BELOW


def _over_rounds(run: Run, value: Callable[[dict[str, Readings]], float | None]) -> Figure | None:
    values = [found for readings in run.rounds if (found := value(readings)) is not None]
    return Figure(median(values), min(values), max(values)) if values else None


def _value(readings: dict[str, Readings], gateway: str, key: str) -> float | None:
    own = readings.get(gateway, {})
    absolute = key.removeprefix("added_")
    value = own.get(absolute)
    if key != absolute and absolute in _ADDED:
        without = readings.get(DIRECT, {}).get(absolute)
        value = value - without if value is not None and without is not None else None
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Bar:
    """What Headrace promises; `value` is None if this run did not measure it."""

    title: str
    value: float | None
    limit: float
    unit: str
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def bars(run: Run, gateway: str = "headrace") -> list[Bar]:
    """The bars, each with what the run found."""
    call, worker_call = "cpu_us/1kb/64c", "worker_cpu_us/1kb/64c"

    def over(above: str, below: str, key: str) -> float | None:
        found = ratio(run, above, below, key)
        return found.median if found else None

    def absolute(key: str) -> float | None:
        found = figure(run, gateway, key)
        return found.median if found else None

    rest, after = absolute("rss_rest_mb/worker"), absolute("rss_after_mb/worker")
    most = max(rest, after) if rest is not None and after is not None else None
    added = absolute("added_ttft_p50_ms")
    return [
        Bar(
            "Worker's CPU per 1 KB call, times nginx", over(gateway, BASELINE, worker_call), 6, "x"
        ),
        Bar("LiteLLM's CPU per call, times ours", over("litellm", gateway, call), 60, "x", True),
        Bar("Portkey's CPU per call, times ours", over("portkey", gateway, call), 12, "x", True),
        Bar(
            "CPU per streamed chunk, times nginx",
            over(gateway, BASELINE, "chunk_cpu_us"),
            2.5,
            "x",
        ),
        Bar("Added time to first token, p50 at 100/s", added, 1.0, "ms"),
        Bar("RSS of the worker", most, 80, "MB"),
    ]

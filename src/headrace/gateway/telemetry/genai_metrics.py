"""Metrics by OpenTelemetry's conventions for generative AI, as of
https://github.com/open-telemetry/semantic-conventions-genai (schema 1.42): of calls that a backend
was asked for. A call costs the event loop one `Observed`; a thread adds them up. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from headrace.gateway.progress import Progress
from headrace.gateway.telemetry.genai_spans import OPERATIONS, provider_of
from headrace.gateway.telemetry.tracing import failed
from headrace.nouns import Call, Usage
from headrace.platform.telemetry.otlp_metrics import HistogramMetric, Point
from headrace.platform.telemetry.spans import Value

DURATIONS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96,
               81.92)  # fmt: skip
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216,
          67108864)  # fmt: skip
FIRST_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
           10.0)  # fmt: skip
GAPS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Upper bounds, as the conventions advise."""
MOST_SERIES = 2_000
"""Of each metric: names of models may be a client's. What comes after counts as `_OTHER`."""
OTHER = "_OTHER"


class Observed(NamedTuple):
    """What is counted of one call."""

    operation: str
    provider: str
    model: str
    """As the client wrote it."""
    backend: str
    error: str
    took_s: float
    first_s: float
    """Of streams; negative where there was no content."""
    gap_s: float
    """The mean time from one token to the next, of complete streams; negative for others."""
    input_tokens: int
    """Negative where the upstream did not tell."""
    output_tokens: int


def observed(call: Call, progress: Progress, usage: Usage, now: float) -> Observed | None:
    """None for a call that no backend was asked for. `now` is monotonic seconds."""
    target, received, first_at = progress.target, call.received_at, progress.first_content_at
    if target is None:
        return None
    first_s = gap_s = -1.0
    if call.stream and first_at is not None:
        first_s = first_at - received
        if usage.output_tokens > 1 and progress.finish == "complete":
            gap_s = (now - first_at) / (usage.output_tokens - 1)
    error = ""
    if failed(progress) or progress.status >= 400:
        error = progress.reason or str(progress.status)
    known = usage.source == "upstream"
    return Observed(
        OPERATIONS[call.operation],
        provider_of(target),
        call.model,
        target.name,
        error,
        now - received,
        first_s,
        gap_s,
        usage.input_tokens if known else -1,
        usage.output_tokens if known else -1,
    )


class GenAiMetrics:
    """Sums since it was made. For one thread."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        """`scrub` takes secrets out of names that clients chose."""
        self._scrub = scrub
        self._durations = _Series(DURATIONS_S)
        self._tokens = _Series(TOKENS)
        self._firsts = _Series(FIRST_S)
        self._gaps = _Series(GAPS_S)

    def take(self, calls: list[Observed]) -> None:
        for one in calls:
            of = one[:4]
            self._durations.add((*of, one.error), one.took_s, self._attributes)
            if one.first_s >= 0:
                self._firsts.add((*of, ""), one.first_s, self._attributes)
            if one.gap_s >= 0:
                self._gaps.add((*of, ""), one.gap_s, self._attributes)
            if one.input_tokens >= 0:
                self._tokens.add((*of, "input"), one.input_tokens, self._token_attributes)
                self._tokens.add((*of, "output"), one.output_tokens, self._token_attributes)

    def metrics(self) -> list[HistogramMetric]:
        """As they are now; not copies."""
        return [
            HistogramMetric(
                "gen_ai.client.operation.duration", "s",
                "From a call's last byte to the end of its answer.", DURATIONS_S,
                self._durations.points,
            ),
            HistogramMetric(
                "gen_ai.client.token.usage", "{token}",
                "Tokens of a call, as its upstream told them.", TOKENS, self._tokens.points,
            ),
            HistogramMetric(
                "gen_ai.server.time_to_first_token", "s",
                "Of streams: from the call's last byte to the first content.", FIRST_S,
                self._firsts.points,
            ),
            HistogramMetric(
                "gen_ai.server.time_per_output_token", "s",
                "Of complete streams: the mean time from one token to the next.", GAPS_S,
                self._gaps.points,
            ),
        ]  # fmt: skip

    def _attributes(self, key: _Key) -> dict[str, Value]:
        operation, provider, model, backend, error = key
        found: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": self._scrub(model),
            "headrace.backend": backend,
        }
        if error:
            found["error.type"] = error
        return found

    def _token_attributes(self, key: _Key) -> dict[str, Value]:
        *of, kind = key
        return {**self._attributes((*of, "")), "gen_ai.token.type": kind}  # type: ignore[arg-type]


_Key = tuple[str, str, str, str, str]


class _Series:
    """The series of one histogram."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.points: list[Point] = []
        self._bounds = bounds
        self._known: dict[_Key, Point] = {}

    def add(
        self, key: _Key, value: float, attributes_of: Callable[[_Key], dict[str, Value]]
    ) -> None:
        point = self._known.get(key)
        if point is None:
            if len(self._known) >= MOST_SERIES:
                key = (*key[:2], OTHER, *key[3:])
                point = self._known.get(key)
            if point is None:
                point = Point(attributes_of(key), [0] * (len(self._bounds) + 1))
                self._known[key] = point
                self.points.append(point)
        point.counts[bisect_left(self._bounds, value)] += 1
        point.total += value

"""The page of metrics: what a gateway has counted, for Prometheus."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace import __version__
from headrace.edge.gathering import Gathered, Gatherer
from headrace.gateway.health import State
from headrace.gateway.telemetry.exposition import Labels, Text, dollars
from headrace.gateway.telemetry.history import History, flows_since, quantile
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    GAPS_S,
    LAGS_S,
    Counted,
    Flow,
    Histogram,
    Moment,
    ToolUse,
    budgets_used,
    without_redis,
    wrong_hits,
)

WINDOW_S = 300.0
QUANTILES = (0.5, 0.95, 0.99)


class MetricsPage:
    """Made anew each time it is asked for. Blocks; may be used by several threads."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the store's."""
        self._gatherer = Gatherer(folder)
        self._history = History(WINDOW_S, every_s=5.0)
        self._lock = threading.Lock()

    def text(self) -> str:
        """Raises OSError, ValueError if a worker does not answer as it should."""
        gathered = self._gatherer.gather()
        with self._lock:
            now = time.monotonic()
            before = self._history.since(WINDOW_S, now)
            self._history.take(gathered.counted, now)
        return page(gathered, before)


def page(gathered: Gathered, before: Counted | None) -> str:
    """`before` is what was counted some minutes ago, for the quantiles."""
    text, counted = Text(), gathered.counted
    text.gauge("headrace_build_info", "The version that runs.", [({"version": __version__}, 1)])
    text.gauge("headrace_workers", "Workers that answer.", [({}, len(gathered.moments))])
    _calls(text, counted.flows)
    _times(text, counted.flows)
    _quantiles(text, flows_since(counted, before))
    _use(text, counted)
    _refused(text, counted)
    _scores(text, counted)
    _tools(text, counted.tools)
    _now(text, list(gathered.moments.values()))
    text.histogram(
        "headrace_event_loop_lag_seconds",
        "How late the workers' event loops are.",
        LAGS_S,
        [({}, counted.lags)],
    )
    text.counter(
        "headrace_telemetry_dropped_total",
        "Spans and log lines that found their queue full.",
        [({"kind": kind}, count) for kind, count in sorted(counted.dropped.items())],
    )
    text.gauge(
        "headrace_journal_bytes",
        "Size of the journal's files.",
        [({}, gathered.journal_bytes)],
    )
    if gathered.ledger_behind_s is not None:
        text.gauge(
            "headrace_ledger_behind_seconds",
            "Time since the ledger last held all settled calls.",
            [({}, round(gathered.ledger_behind_s, 3))],
        )
    return text.text()


def _of(flow: Flow) -> Labels:
    return {"model": flow.model, "backend": flow.backend}


def _calls(text: Text, flows: list[Flow]) -> None:
    text.counter(
        "headrace_calls_total",
        "Calls that ended, by the status that the client saw.",
        [
            ({**_of(flow), "status": str(status)}, count)
            for flow in flows
            for status, count in sorted(flow.statuses.items())
        ],
    )
    text.counter(
        "headrace_calls_without_upstream_total",
        "Calls that were answered from the cache, by an equal call, a repeated one or a message.",
        [
            ({**_of(flow), "by": by}, count)
            for flow in flows
            for by, count in sorted(flow.answered_by.items())
        ],
    )
    text.counter(
        "headrace_retries_total",
        "Attempts beyond the first of their call.",
        [(_of(flow), flow.retries) for flow in flows],
    )
    text.counter(
        "headrace_content_filtered_total",
        "Calls that a content filter refused.",
        [(_of(flow), flow.filtered) for flow in flows],
    )


def _times(text: Text, flows: list[Flow]) -> None:
    text.histogram(
        "headrace_call_duration_seconds",
        "From a call's last byte to the end of its answer.",
        DURATIONS_S,
        [(_of(flow), flow.durations) for flow in flows],
    )
    text.histogram(
        "headrace_time_to_first_token_seconds",
        "Of streams: from the call's last byte to the first content.",
        DURATIONS_S,
        [(_of(flow), flow.first_tokens) for flow in flows],
    )
    text.histogram(
        "headrace_inter_token_seconds",
        "Of complete streams: the mean time from one token to the next.",
        GAPS_S,
        [(_of(flow), flow.gaps) for flow in flows],
    )


def _quantiles(text: Text, flows: list[Flow]) -> None:
    """For those who look at the page itself; Prometheus makes better ones of the buckets. The label
    `quantile` is kept for summaries, which these are not."""
    told: list[tuple[str, str, tuple[float, ...], Callable[[Flow], Histogram]]] = [
        ("call_duration", "Time of calls", DURATIONS_S, lambda flow: flow.durations),
        ("time_to_first_token", "Time to first tokens", DURATIONS_S, lambda f: f.first_tokens),
    ]
    for name, about, bounds, of in told:
        text.gauge(
            f"headrace_{name}_quantile_seconds",
            f"{about} in the last five minutes, estimated from the buckets.",
            [
                ({**_of(flow), "percentile": f"{100 * share:g}"}, round(found, 6))
                for flow in flows
                for share in QUANTILES
                if (found := quantile(of(flow), bounds, share)) is not None
            ],
        )


def _use(text: Text, counted: Counted) -> None:
    flows = counted.flows
    text.counter(
        "headrace_tokens_total",
        "Tokens by kind; cached, written and audio ones are also among input or output.",
        [
            ({**_of(flow), "kind": kind}, count)
            for flow in flows
            for kind, count in sorted(flow.tokens.items())
        ],
    )
    text.counter(
        "headrace_cost_usd_total",
        "What calls cost, by the prices in force.",
        [(_of(flow), dollars(flow.cost_microusd)) for flow in flows],
    )
    text.counter(
        "headrace_saved_usd_total",
        "What answers without an upstream had cost when they were made.",
        [(_of(flow), dollars(flow.saved_microusd)) for flow in flows],
    )
    text.counter(
        "headrace_unpriced_calls_total",
        "Calls that used tokens at a price that is not known.",
        [(_of(flow), flow.unpriced) for flow in flows],
    )
    tenants = sorted(counted.tenants, key=lambda use: use.tenant)
    text.counter(
        "headrace_tenant_calls_total",
        "Calls by tenant.",
        [({"tenant": use.tenant}, use.calls) for use in tenants],
    )
    text.counter(
        "headrace_tenant_tokens_total",
        "Tokens of prompts and answers by tenant.",
        [({"tenant": use.tenant}, use.tokens) for use in tenants],
    )
    text.counter(
        "headrace_tenant_cost_usd_total",
        "What calls cost by tenant.",
        [({"tenant": use.tenant}, dollars(use.cost_microusd)) for use in tenants],
    )


def _refused(text: Text, counted: Counted) -> None:
    text.counter(
        "headrace_refused_total",
        "Refusals by the code that the client saw: limits, budgets, bad keys, and all others.",
        [({"reason": reason}, count) for reason, count in sorted(counted.refused.items())],
    )
    text.counter(
        "headrace_attempt_failures_total",
        "Attempts on a backend that failed, whether or not another attempt answered.",
        [
            ({"backend": backend, "kind": kind}, count)
            for backend, kinds in sorted(counted.failures.items())
            for kind, count in sorted(kinds.items())
        ],
    )


def _scores(text: Text, counted: Counted) -> None:
    told = [
        ({"model": model, "measure": measure}, scores)
        for measure, models in sorted(counted.scores.items())
        for model, scores in sorted(models.items())
    ]
    text.counter(
        "headrace_evaluation_scores_total",
        "Answers that were judged.",
        [(labels, scores.count) for labels, scores in told],
    )
    text.counter(
        "headrace_evaluation_points_total",
        "The sum of what they got, from 1 to 5 each.",
        [(labels, round(scores.points, 6)) for labels, scores in told],
    )


def _tools(text: Text, uses: list[ToolUse]) -> None:
    text.counter(
        "headrace_tool_calls_total",
        "Calls of MCP tools that ended, by key and tool.",
        [
            ({"key": use.key, "tool": use.tool, "outcome": outcome}, count)
            for use in uses
            for outcome, count in sorted(use.outcomes.items())
        ],
    )
    text.counter(
        "headrace_tool_seconds_total",
        "Time that calls of MCP tools took.",
        [({"key": use.key, "tool": use.tool}, round(use.seconds, 6)) for use in uses],
    )


def _now(text: Text, moments: list[Moment]) -> None:
    text.gauge(
        "headrace_calls_running",
        "Calls that are being served.",
        [({}, sum(moment.running for moment in moments))],
    )
    text.gauge(
        "headrace_backend_breaker_state",
        "Workers that see the backend in that state.",
        _states(moments),
    )
    running: dict[str, int] = {}
    room: dict[str, float] = {}
    failing: dict[str, float] = {}
    queues: dict[str, int] = {}
    for moment in moments:
        for one in moment.backends:
            running[one.name] = running.get(one.name, 0) + one.running
            room[one.name] = room.get(one.name, 0.0) + one.limit
            failing[one.name] = max(failing.get(one.name, 0.0), one.failure_share)
        for name, length in moment.queues.items():
            queues[name] = queues.get(name, 0) + length
    budgets = sorted(budgets_used(moments).items())
    text.gauge("headrace_backend_running", "Attempts that run on a backend.", _by(running))
    text.gauge("headrace_backend_limit", "Attempts that may run on a backend.", _by(room))
    text.gauge(
        "headrace_backend_failure_ratio",
        "Share of recent attempts that failed, in the worker that sees most.",
        _by(failing),
    )
    text.gauge(
        "headrace_budget_used_ratio",
        "Share of a budget that is used, by the caller who used most of theirs.",
        [({"budget": n, "unit": unit}, round(s, 6)) for (n, unit), s in budgets],
    )
    away = without_redis(moments)
    if away is not None:
        text.gauge(
            "headrace_workers_without_redis",
            "Workers that Redis does not answer: each counts limits alone.",
            [({}, away)],
        )
    text.gauge(
        "headrace_workers_with_untrusted_proxy",
        "Workers that a peer forwards to without being trusted, where addresses decide.",
        [({}, sum(moment.untrusted_proxy is not None for moment in moments))],
    )
    found = wrong_hits(moments)
    if found is not None:
        text.gauge(
            "headrace_cache_wrong_hits_certain_ratio",
            "Share of wrong hits of the semantic cache that is certain: the lower bound at 95 %.",
            [({}, round(found[0], 6))],
        )
        text.gauge(
            "headrace_cache_wrong_hits_bound_ratio",
            "The most that is allowed: the loosest max_wrong_rate of a model.",
            [({}, found[1])],
        )
    text.gauge(
        "headrace_queue_length",
        "Spans and log lines that wait to be written.",
        [({"queue": name}, length) for name, length in sorted(queues.items())],
    )


def _by(values: dict[str, int] | dict[str, float]) -> list[tuple[Labels, float]]:
    return [({"backend": name}, round(value, 6)) for name, value in values.items()]


def _states(moments: list[Moment]) -> Iterator[tuple[Labels, float]]:
    seen = Counter((one.name, one.state) for moment in moments for one in moment.backends)
    for name in dict.fromkeys(name for name, _ in seen):
        for state in State:
            yield {"backend": name, "state": state.value}, seen[name, state.value]

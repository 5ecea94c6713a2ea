"""What is watched: from what was counted to values beside their thresholds. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from msgspec import Struct

from headrace.config.alerting import Alerts
from headrace.edge.gathering import Gathered
from headrace.gateway.health import State
from headrace.gateway.telemetry.history import History, flows_since, quantile
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    Counted,
    Flow,
    Histogram,
    Scores,
    budgets_used,
    without_redis,
    wrong_hits,
)

CALM_S = 300.0
"""A value must be well for so long before its alert is over."""


class Unit(enum.Enum):
    """Of a rule's value and threshold, as people read them."""

    NUMBER = "number"
    SHARE = "share"
    SECONDS = "seconds"

    def written(self, value: float) -> str:
        match self:
            case Unit.SHARE:
                return f"{value * 100:.4g} %"
            case Unit.SECONDS:
                return f"{value:.4g} s"
            case Unit.NUMBER:
                return f"{value:.4g}"


class Rule(Struct, frozen=True):
    """One kind of alert. `about` and `do` are for people."""

    name: str
    severity: str
    about: str
    do: str
    unit: Unit = Unit.NUMBER


SLOW = Rule("latency-p95", "warning", "P95 of calls",
            "See `headrace backends list` for who is slow, and the provider's status page; "
            "consider another tier or `hedge` for the model.",
            Unit.SECONDS)  # fmt: skip
ERRORS = Rule("error-share", "critical", "Calls that ended with 429, 5xx or a content filter",
              "See headrace_attempt_failures_total by backend and kind, and `headrace why CALL` "
              "for one of them; take one out with `headrace backends isolate NAME`.",
              Unit.SHARE)  # fmt: skip
TOKENS = Rule("tokens-over-budget", "warning", "Tokens used of their budget",
              "See `headrace usage` by key for who used them; raise the budget or give it "
              "`stop: true`.",
              Unit.SHARE)  # fmt: skip
COST = Rule("cost-over-budget", "critical", "Dollars used of their budget",
            "See `headrace usage` by key and model for who spent them; raise the budget or give "
            "it `stop: true`.",
            Unit.SHARE)  # fmt: skip
BREAKER = Rule("breaker-open", "critical", "Workers that see the breaker open",
               "See `headrace backends list` for why; with `denied` the credential is refused. It "
               "is tried again by itself.")  # fmt: skip
LEDGER = Rule("ledger-behind", "critical", "Time since the ledger held all calls",
              "See the log of headrace.ledger: the database is away or too slow. Calls go on "
              "until store.journal_limit_mib is reached.",
              Unit.SECONDS)  # fmt: skip
REDIS = Rule("redis-away", "critical", "Workers that Redis does not answer",
             "See the log of headrace.redis. Meanwhile each worker counts limits alone, and "
             "budgets refuse calls unless they have an `away_share`.")  # fmt: skip
GROUNDED = Rule("groundedness-mean", "warning", "Mean groundedness of judged answers",
                "Read some of the answers that the evaluation judged low; compare models, and what "
                "retrieval gives them.")  # fmt: skip
WRONG = Rule("cache-wrong-hits", "critical", "Share of the cache's wrong hits that is certain",
             "See `headrace cache stats`; `headrace cache why CALL` tells why an answer was given. "
             "Purge what is wrong with `headrace cache purge`, set a smaller `max_wrong_rate`, or "
             "`answers: exact`.",
             Unit.SHARE)  # fmt: skip
RULES = (SLOW, ERRORS, GROUNDED, TOKENS, COST, BREAKER, LEDGER, REDIS, WRONG)
GROUNDEDNESS = "groundedness"
"""The measure, as scores name it."""


class Side(enum.Enum):
    """Of a threshold."""

    ABOVE = "above"
    BELOW = "below"


class Reading(Struct, frozen=True):
    """One value that is watched, of one subject: a model, a backend, a budget."""

    rule: Rule
    subject: str
    value: float
    """In the short window, or now."""
    in_long: float
    """In the long window, or now."""
    threshold: float
    lasting_s: float = 0.0
    """How long it must be past its threshold."""
    side: Side = Side.ABOVE
    """On which the alert is."""

    @property
    def past(self) -> bool:
        return self._is_past(self.value) and self._is_past(self.in_long)

    @property
    def well(self) -> bool:
        return not self._is_past(self.value)

    def _is_past(self, value: float) -> bool:
        return value > self.threshold if self.side is Side.ABOVE else value < self.threshold


def readings(gathered: Gathered, history: History, alerts: Alerts, now: float) -> Iterator[Reading]:
    """`history` holds earlier sums; `now` is monotonic seconds."""
    before = history.since(alerts.short_window_s, now)
    long_before = history.since(alerts.long_window_s, now)
    short = _by_model(gathered.counted, before)
    long = _by_model(gathered.counted, long_before)
    for model, flows in short.items():
        if sum(sum(flow.statuses.values()) for flow in flows) < alerts.least_calls:
            continue
        for rule, of, threshold in (
            (SLOW, _p95_s, alerts.latency_p95_s),
            (ERRORS, _error_share, alerts.error_share),
        ):
            yield Reading(rule, model, of(flows), of(long.get(model, flows)), threshold)
    in_long = _scores(gathered.counted, long_before)
    for model, scores in _scores(gathered.counted, before).items():
        if scores.count >= alerts.least_scores:
            means = _mean(scores), _mean(in_long.get(model, scores))
            least = alerts.groundedness_mean
            yield Reading(GROUNDED, model, *means, least, side=Side.BELOW)
    yield from _now(gathered, alerts)


def _now(gathered: Gathered, alerts: Alerts) -> Iterator[Reading]:
    opened: dict[str, int] = {}
    probed: set[str] = set()
    for moment in gathered.moments.values():
        for backend in moment.backends:
            is_open = backend.state == State.OPEN.value
            opened[backend.name] = opened.get(backend.name, 0) + is_open
            if backend.state == State.HALF_OPEN.value:
                probed.add(backend.name)
    for (name, unit), share in budgets_used(gathered.moments.values()).items():
        rule, most = (
            (COST, alerts.cost_over_budget)
            if unit == "usd"
            else (TOKENS, alerts.tokens_over_budget)
        )
        yield Reading(rule, name, share, share, most)
    for name, count in opened.items():
        if not count and name in probed:
            continue  # neither out nor well: where calls are rare most looks would find it so
        yield Reading(BREAKER, name, count, count, 0, alerts.breaker_open_s)
    away = without_redis(gathered.moments.values())
    if away is not None:
        yield Reading(REDIS, "redis", away, away, 0, alerts.redis_away_s)
    wrong = wrong_hits(gathered.moments.values())
    if wrong is not None:
        yield Reading(WRONG, "cache", wrong[0], wrong[0], wrong[1])
    behind_s = gathered.ledger_behind_s
    if behind_s is not None:
        yield Reading(LEDGER, "ledger", behind_s, behind_s, alerts.ledger_behind_s)


def _by_model(after: Counted, before: Counted | None) -> dict[str, list[Flow]]:
    found: dict[str, list[Flow]] = {}
    for flow in flows_since(after, before):
        found.setdefault(flow.model, []).append(flow)
    return found


def _scores(after: Counted, before: Counted | None) -> dict[str, Scores]:
    """Of groundedness, by model, that came in between."""
    known = {} if before is None else before.scores.get(GROUNDEDNESS, {})
    found: dict[str, Scores] = {}
    for model, scores in after.scores.get(GROUNDEDNESS, {}).items():
        less = known.get(model, Scores())
        found[model] = Scores(scores.count - less.count, scores.points - less.points)
    return found


def _mean(scores: Scores) -> float:
    """Of at least one."""
    return scores.points / scores.count


def _p95_s(flows: list[Flow]) -> float:
    whole = Histogram.of(DURATIONS_S)
    for flow in flows:
        whole.add(flow.durations)
    return quantile(whole, DURATIONS_S, 0.95) or 0.0


def _error_share(flows: list[Flow]) -> float:
    calls = failed = 0
    for flow in flows:
        failed += flow.filtered
        for status, count in flow.statuses.items():
            calls += count
            if status == 429 or status >= 500:
                failed += count
    return failed / calls if calls else 0.0

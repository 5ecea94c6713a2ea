"""What one worker has counted, as plain data: it crosses a socket, and is added up over workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct, field

from headrace.gateway.cache.intervals import clopper_pearson

DURATIONS_S = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0,
    15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
"""Upper bounds, of whole calls and of first tokens. Thresholds of alerts are among them."""
GAPS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
"""Upper bounds, of the time from one token to the next."""
LAGS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds, of how late an event loop is."""

Numbers = dict[str, int]


class Histogram(Struct):
    """Counts of observations below each bound and above the last, not cumulated; and their sum."""

    counts: list[int]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        return cls([0] * (len(bounds) + 1))

    def add(self, other: Histogram) -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Flow(Struct):
    """The calls for one model that one backend ended; `backend` is "" where none was asked."""

    model: str
    backend: str
    durations: Histogram
    first_tokens: Histogram
    """Of streams."""
    gaps: Histogram
    """Of streams: the mean time from one token to the next, one observation a call."""
    statuses: dict[int, int] = field(default_factory=dict)
    answered_by: Numbers = field(default_factory=dict)
    tokens: Numbers = field(default_factory=dict)
    """By kind, as in `TOKEN_KINDS`."""
    cost_microusd: int = 0
    saved_microusd: int = 0
    """What answers of the cache had cost when they were made."""
    unpriced: int = 0
    """Calls that used tokens at a price that is not known."""
    retries: int = 0
    filtered: int = 0
    """Calls that a content filter refused."""

    def add(self, other: Flow) -> None:
        self.durations.add(other.durations)
        self.first_tokens.add(other.first_tokens)
        self.gaps.add(other.gaps)
        _add(self.statuses, other.statuses)
        _add(self.answered_by, other.answered_by)
        _add(self.tokens, other.tokens)
        self.cost_microusd += other.cost_microusd
        self.saved_microusd += other.saved_microusd
        self.unpriced += other.unpriced
        self.retries += other.retries
        self.filtered += other.filtered


def new_flow(model: str, backend: str) -> Flow:
    durations, first = Histogram.of(DURATIONS_S), Histogram.of(DURATIONS_S)
    return Flow(model, backend, durations, first, Histogram.of(GAPS_S))


class TenantUse(Struct):
    """What one tenant's calls used."""

    tenant: str
    calls: int = 0
    tokens: int = 0
    cost_microusd: int = 0

    def add(self, other: TenantUse) -> None:
        self.calls += other.calls
        self.tokens += other.tokens
        self.cost_microusd += other.cost_microusd


class Scores(Struct):
    """Marks that answers of one model were given."""

    count: int = 0
    points: float = 0.0

    def add(self, other: Scores) -> None:
        self.count += other.count
        self.points += other.points


class ToolUse(Struct):
    """Calls of one tool by one key."""

    key: str
    tool: str
    outcomes: Numbers = field(default_factory=dict)
    """ok, error, timeout, away or refused."""
    seconds: float = 0.0

    def add(self, other: ToolUse) -> None:
        _add(self.outcomes, other.outcomes)
        self.seconds += other.seconds


class BackendNow(Struct):
    """A backend as one worker sees it at this moment."""

    name: str
    state: str
    running: int
    limit: float
    failure_share: float


class BudgetNow(Struct):
    """The caller of a budget who has used most of it, as one worker sees it at this moment."""

    name: str
    unit: str
    used_share: float


class Counted(Struct):
    """What only ever grows while its worker lives."""

    flows: list[Flow] = field(default_factory=list)
    tenants: list[TenantUse] = field(default_factory=list)
    refused: Numbers = field(default_factory=dict)
    """By `Reason`, calls and requests that never became one."""
    failures: dict[str, Numbers] = field(default_factory=dict)
    """Attempts that failed, by backend and kind."""
    lags: Histogram = field(default_factory=lambda: Histogram.of(LAGS_S))
    dropped: Numbers = field(default_factory=dict)
    """Spans and log lines that found their queue full."""
    scores: dict[str, dict[str, Scores]] = field(default_factory=dict)
    """By measure and model."""
    tools: list[ToolUse] = field(default_factory=list)

    def add(self, other: Counted) -> None:
        flows = {(flow.model, flow.backend): flow for flow in self.flows}
        for flow in other.flows:
            key = (flow.model, flow.backend)
            if key not in flows:
                flows[key] = new_flow(*key)
                self.flows.append(flows[key])
            flows[key].add(flow)
        tenants = {use.tenant: use for use in self.tenants}
        for use in other.tenants:
            if use.tenant not in tenants:
                tenants[use.tenant] = TenantUse(use.tenant)
                self.tenants.append(tenants[use.tenant])
            tenants[use.tenant].add(use)
        _add(self.refused, other.refused)
        for backend, kinds in other.failures.items():
            _add(self.failures.setdefault(backend, {}), kinds)
        tools = {(one.key, one.tool): one for one in self.tools}
        for one in other.tools:
            name = (one.key, one.tool)
            if name not in tools:
                tools[name] = ToolUse(*name)
                self.tools.append(tools[name])
            tools[name].add(one)
        self.lags.add(other.lags)
        _add(self.dropped, other.dropped)
        for measure, models in other.scores.items():
            known = self.scores.setdefault(measure, {})
            for model, scores in models.items():
                known.setdefault(model, Scores()).add(scores)


class Moment(Struct):
    """What is so just now."""

    running: int = 0
    queues: Numbers = field(default_factory=dict)
    """What waits: calls for a local model, spans and lines to be written."""
    backends: list[BackendNow] = field(default_factory=list)
    budgets: list[BudgetNow] = field(default_factory=list)
    hits_checked: int = 0
    """Answers that the cache gave to other words and that were checked by another call, where wrong
    ones are bounded. Each worker knows of all workers'."""
    hits_wrong: int = 0
    """Of those."""
    most_wrong: float | None = None
    """The loosest bound of a model; None where there is none."""
    redis_up: bool | None = None
    """Whether Redis answers this worker; None where none is configured."""
    untrusted_proxy: str | None = None
    """Who speaks for other clients and is not trusted, where addresses decide; in words."""


def budgets_used(moments: Iterable[Moment]) -> dict[tuple[str, str], float]:
    """By name and unit of each budget: the share used by the caller who used most of it, in the
    worker that knows of most."""
    used: dict[tuple[str, str], float] = {}
    for moment in moments:
        for budget in moment.budgets:
            key = (budget.name, budget.unit)
            used[key] = max(used.get(key, 0.0), budget.used_share)
    return used


def without_redis(moments: Iterable[Moment]) -> int | None:
    """Workers that Redis does not answer; None where none is configured."""
    known = [moment.redis_up for moment in moments if moment.redis_up is not None]
    return known.count(False) if known else None


def untrusted_proxies(moments: Iterable[Moment]) -> list[str]:
    """What the workers tell of peers that speak for others without being trusted, each once."""
    return sorted({moment.untrusted_proxy for moment in moments if moment.untrusted_proxy})


def wrong_hits(moments: Iterable[Moment]) -> tuple[float, float] | None:
    """The share of wrong hits that is certain, the lower bound of Clopper and Pearson's interval at
    95 %, by the worker that knows of most; and the bound that it should keep. None where nothing is
    bounded, or nothing was checked."""
    most = max(moments, key=lambda moment: moment.hits_checked, default=None)
    if most is None or most.most_wrong is None or not most.hits_checked:
        return None
    return clopper_pearson(most.hits_wrong, most.hits_checked)[0], most.most_wrong


class Snapshot(Struct):
    """One worker's. `worker` is its own for its whole life."""

    worker: str
    counted: Counted
    now: Moment


def total(parts: Iterable[Counted]) -> Counted:
    """The sum, which shares nothing with its parts."""
    whole = Counted()
    for part in parts:
        whole.add(part)
    return whole


K = TypeVar("K", int, str)


def _add(here: dict[K, int], other: dict[K, int]) -> None:
    for name, count in other.items():
        here[name] = here.get(name, 0) + count

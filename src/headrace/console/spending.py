"""What was spent, for the overview: out of the ledger's sums, and asked of them seldom.

Of days that are over little changes, so they are kept for minutes; today's sums for seconds. Both
are kept for each scope of tenants, and tabs that open at once share one answer.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from headrace.console import charts
from headrace.console.figures import usd
from headrace.console.page import Visit

DAYS = 30
TODAY_KEPT_S = 5.0
PAST_KEPT_S = 300.0
SCOPES = 100
"""So many are remembered."""

Scope = frozenset[str] | None
Models = list[tuple[str, dict[str, int]]]


class Spent(Struct, frozen=True):
    """What the ledger says, in micro-dollars."""

    today_microusd: int
    yesterday_microusd: int
    saved_microusd: int
    calls: int
    tokens: int
    models: Models
    """Today's, those that cost most first."""
    days: charts.Chart
    days_microusd: int


class _Known(Struct):
    """Of one scope. Times are monotonic seconds."""

    day: date
    past: list[int]
    """Costs of the days before `day`, in micro-dollars."""
    past_at: float
    models: Models
    models_at: float


class Spending:
    """For the loop's thread."""

    def __init__(self) -> None:
        self._known: dict[Scope, _Known] = {}
        self._asking = asyncio.Lock()

    async def of(self, visit: Visit) -> Spent:
        """Raises Denied."""
        scope, today = visit.by.tenants, datetime.now(UTC).date()
        async with self._asking:
            known, now = self._known.get(scope), time.monotonic()
            if known is None or known.day != today or now - known.past_at > PAST_KEPT_S:
                past, models = await asyncio.gather(_past(visit, today), _models(visit, today))
                known = self._known[scope] = _Known(today, past, now, models, now)
                while len(self._known) > SCOPES:
                    del self._known[next(iter(self._known))]
            elif now - known.models_at > TODAY_KEPT_S:
                known.models, known.models_at = await _models(visit, today), now
            return _spent(known)


async def _past(visit: Visit, today: date) -> list[int]:
    first = today - timedelta(days=DAYS - 1)
    query = {"step": "day", "since": first.isoformat(), "until": today.isoformat()}
    answer = await visit.ask("usage", query=query)
    costs = {int(line.group["time"]): line.sums["cost_microusd"] for line in answer.lines}
    return [costs.get(_unix(first + timedelta(days=n)), 0) for n in range(DAYS - 1)]


async def _models(visit: Visit, today: date) -> Models:
    answer = await visit.ask("usage", query={"by": "model", "since": today.isoformat()})
    return sorted(
        ((line.group["model"], line.sums) for line in answer.lines),
        key=lambda one: (-one[1]["cost_microusd"], -one[1]["calls"], one[0]),
    )


def _spent(known: _Known) -> Spent:
    today = sum(sums["cost_microusd"] for _, sums in known.models)
    costs = [*known.past, today]
    days = [known.day - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    chart = charts.columns(
        f"Dollars by day, {DAYS} days",
        [[(0, cost / 1e6, f"{day}: {usd(cost)}")] for day, cost in zip(days, costs, strict=True)],
    )
    return Spent(
        today_microusd=today,
        yesterday_microusd=costs[-2],
        saved_microusd=sum(sums["saved_microusd"] for _, sums in known.models),
        calls=sum(sums["calls"] for _, sums in known.models),
        tokens=sum(sums["input_tokens"] + sums["output_tokens"] for _, sums in known.models),
        models=known.models,
        days=charts.Chart(chart.svg, chart.top, (f"{days[0]:%d %b}", f"{days[-1]:%d %b}")),
        days_microusd=sum(costs),
    )


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())

"""How the gateway fares: live, and what it spent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from headrace.console import charts
from headrace.console.figures import duration, usd
from headrace.console.live import Live
from headrace.console.page import Page, Visit
from headrace.console.readings import KEPT_S, Now

DAYS = 30
FRESH_S = 5.0
LISTED = 8
LEAST_S = 60.0
"""What the charts show at the least."""
LIVE_NEEDS = ("metrics",)
"""Whoever sees the live figures sees what the page of metrics shows."""


class Spent(Struct, frozen=True):
    """What the ledger says, in micro-dollars."""

    today_microusd: int
    yesterday_microusd: int
    saved_microusd: int
    calls: int
    tokens: int
    models: list[tuple[str, dict[str, int]]]
    """Today's, those that cost most first."""
    days: charts.Chart
    days_microusd: int


class Spending:
    """Asked of the ledger's sums at most every few seconds for each scope of tenants."""

    def __init__(self) -> None:
        self._known: dict[frozenset[str] | None, tuple[float, Spent]] = {}
        self._asking = asyncio.Lock()

    async def of(self, visit: Visit) -> Spent:
        """Raises Denied."""
        async with self._asking:  # so that tabs which open at once share one answer
            known = self._known.get(visit.by.tenants)
            if known is None or time.monotonic() - known[0] > FRESH_S:
                known = (time.monotonic(), await _spent(visit))
                self._known[visit.by.tenants] = known
                while len(self._known) > 100:
                    del self._known[next(iter(self._known))]
            return known[1]


async def _spent(visit: Visit) -> Spent:
    today = datetime.now(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    daily = await visit.ask("usage", query={"step": "day", "since": first.isoformat()})
    by_model = await visit.ask("usage", query={"by": "model", "since": today.isoformat()})
    by_day = {int(line.group["time"]): line.sums for line in daily.lines}
    days = [first + timedelta(days=n) for n in range(DAYS)]
    costs = [by_day.get(_unix(day), {}).get("cost_microusd", 0) for day in days]
    models = sorted(
        ((line.group["model"], line.sums) for line in by_model.lines),
        key=lambda one: (-one[1]["cost_microusd"], -one[1]["calls"], one[0]),
    )
    chart = charts.columns(
        f"Dollars by day, {DAYS} days",
        [[(0, cost / 1e6, f"{day}: {usd(cost)}")] for day, cost in zip(days, costs, strict=True)],
    )
    return Spent(
        today_microusd=costs[-1],
        yesterday_microusd=costs[-2],
        saved_microusd=sum(sums["saved_microusd"] for _, sums in models),
        calls=sum(sums["calls"] for _, sums in models),
        tokens=sum(sums["input_tokens"] + sums["output_tokens"] for _, sums in models),
        models=models[:LISTED],
        days=charts.Chart(chart.svg, chart.top, (f"{days[0]:%d %b}", f"{days[-1]:%d %b}")),
        days_microusd=sum(costs),
    )


def _unix(day: Any) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def live_context(now: Now | None) -> dict[str, Any]:
    """What `overview_live.html` shows."""
    if now is None:
        return {"now": None}
    times = [point.at for point in now.points]
    began = max(now.at - KEPT_S, min(times[0], now.at - LEAST_S))
    span = (began, now.at)
    calls = charts.lines(
        "Calls a second, and those that failed, of the last minutes",
        times,
        [("calls", [point.calls_per_s for point in now.points]),
         ("failed", [point.failed_per_s for point in now.points])],
        span,
    )  # fmt: skip
    slow = charts.lines(
        "P95 of calls of the last minutes",
        times,
        [("slow", [point.p95_s for point in now.points])],
        span,
    )
    ago = f"{duration(round(now.at - began))} ago"
    return {
        "now": now, "calls_chart": calls, "slow_chart": slow, "listed": LISTED,
        "labels": (ago, "now"),
    }  # fmt: skip


def page(live: Live) -> Page:
    spending = Spending()

    async def show(visit: Visit) -> Mapping[str, Any]:
        sees_live = visit.may(*LIVE_NEEDS)
        return {
            "spent": await spending.of(visit),
            "sees_live": sees_live,
            **(live_context(await live.now()) if sees_live else {}),
        }

    return Page(
        path="/",
        title="Overview",
        template="overview.html",
        needs=("usage",),
        show=show,
        group="Watch",
        icon="pulse",
    )

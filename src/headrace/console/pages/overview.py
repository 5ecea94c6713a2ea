"""How the gateway fares: live, and what it spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.console import charts
from headrace.console.figures import duration
from headrace.console.live import Live
from headrace.console.page import Page, Visit
from headrace.console.readings import KEPT_S, Now
from headrace.console.spending import Spending
from headrace.gateway.administration.faults import Denied, Why

LISTED = 8
LEAST_S = 60.0
"""What the charts show at the least."""
LIVE_NEEDS = ("metrics",)
"""Whoever sees the live figures sees what the page of metrics shows."""


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
        spent, unknown = None, ""
        try:
            spent = await spending.of(visit)
        except Denied as denied:
            if denied.why is not Why.UNAVAILABLE or not sees_live:
                raise
            unknown = denied.detail  # what is live is known without the ledger
        return {
            "spent": spent,
            "unknown": unknown,
            "most": LISTED,
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

"""What each pattern saved: measured, and bounds where nothing can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.console import charts
from headrace.console.figures import usd
from headrace.console.key_names import names_of
from headrace.console.page import Page, Visit
from headrace.data.ledger_savings import PATTERNS

SPANS_DAYS = (7, 30, 90)
USUAL_DAYS = 30
DIMENSIONS = ("model", "tenant", "team", "user", "key")
LISTED = 50


async def show(visit: Visit) -> Mapping[str, Any]:
    days = next((d for d in SPANS_DAYS if str(d) == visit.query.get("days")), USUAL_DAYS)
    by = next((d for d in DIMENSIONS if d == visit.query.get("by")), DIMENSIONS[0])
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    since = first.isoformat()
    whole = (await visit.ask("savings", query={"since": since})).lines
    daily = (await visit.ask("savings", query={"since": since, "step": "day"})).lines
    lines = (await visit.ask("savings", query={"since": since, "by": by})).lines
    by_day = {int(line.group["time"]): line for line in daily}
    stacks = []
    for day in (first + timedelta(days=n) for n in range(days)):
        unix = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        found = by_day[unix].patterns if unix in by_day else {}
        stacks.append(
            [
                (number, found[name].saved_microusd / 1e6,
                 f"{day} {text}: {usd(found[name].saved_microusd)}")
                for number, (name, text) in enumerate(PATTERNS.items())
                if name in found
            ]
        )  # fmt: skip
    chart = charts.columns(f"Dollars saved by day, {days} days", stacks)
    lines.sort(key=lambda line: (-line.saved_microusd, -line.caps.calls, line.group[by]))
    shown = [line for line in lines if line.patterns or line.caps.calls or line.kept_calls]
    keys = (line.group["key"] for line in shown[:LISTED]) if by == "key" else ()
    return {
        "keys": await names_of(visit, keys),
        "whole": whole[0] if whole else None,
        "names": PATTERNS,
        "days": days,
        "spans": SPANS_DAYS,
        "by": by,
        "dimensions": DIMENSIONS,
        "lines": shown[:LISTED],
        "more": max(0, len(shown) - LISTED),
        "chart": charts.Chart(chart.svg, chart.top, (f"{first:%d %b}", f"{today:%d %b}")),
    }


def page() -> Page:
    return Page(
        path="/savings",
        title="Savings",
        template="savings.html",
        needs=("savings",),
        show=show,
        group="Watch",
        icon="coin",
    )

"""What was used, by any dimension and period: a chart, a table, and both as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import Response

from headrace.console import charts
from headrace.console.figures import count, duration, share, usd
from headrace.console.key_names import key_id_of, names_of
from headrace.console.page import Page, Visit
from headrace.data.ledger_sums import COLUMN_OF, TAG
from headrace.edge.admin.asked import Refusal

PERIODS = {"1": "Today", "7": "7 days", "30": "30 days", "90": "90 days", "365": "A year"}
FILTERS = ("tenant", "team", "user", "key", "model")
SHOWN = charts.COLOURS - 1
"""Groups with a colour of their own; the rest is put together."""
MEASURES = {
    "cost_microusd": "Cost",
    "calls": "Calls",
    "tokens": "Tokens",
    "saved_microusd": "Saved by the cache",
    "failed": "Calls without a whole answer",
}
HOURLY_DAYS = 2


class Wanted(Struct, frozen=True):
    """What the form asks for."""

    by: str
    measure: str
    since: date
    until: date | None
    """The first day after it; None for up to now."""
    ends: date
    """The first day that is not shown."""
    period: str
    where: dict[str, str]

    @property
    def step(self) -> str:
        return "hour" if (self.ends - self.since).days <= HOURLY_DAYS else "day"

    def query(self) -> dict[str, str]:
        """Of the admin API."""
        until = {} if self.until is None else {"until": self.until.isoformat()}
        return {"by": self.by, "since": self.since.isoformat(), **until, **self.where}

    def link(self) -> str:
        fields = {"by": self.by, "measure": self.measure, "period": self.period, **self.where}
        if self.period == "own":
            fields["since"] = self.since.isoformat()
            if self.until is not None:
                fields["until"] = (self.until - timedelta(days=1)).isoformat()
        return urlencode(fields)


def wanted(query: Mapping[str, str], today: date) -> Wanted:
    """Raises Refusal."""
    by = query.get("by", "model")
    if by == "tag":
        by = TAG + query.get("tag", "")
    measure = query.get("measure", "cost_microusd")
    if measure not in MEASURES:
        raise Refusal(400, "invalid_request", "There is no such measure.", "measure")
    since, until, period = _day(query, "since"), _day(query, "until"), query.get("period", "")
    if since is None or (period and period != "own"):
        period = period if period in PERIODS else "7"
        since, until = today - timedelta(days=int(period) - 1), None
    else:
        period = "own"
        until = None if until is None else until + timedelta(days=1)
    if until is not None and until <= since:
        raise Refusal(400, "invalid_request", "The last day is before the first.", "until")
    where = {name: query[name] for name in FILTERS if name in query}
    ends = until or today + timedelta(days=1)
    return Wanted(by, measure, since, until, ends, period, where)


def _day(query: Mapping[str, str], name: str) -> date | None:
    try:
        return date.fromisoformat(query[name]) if name in query else None
    except ValueError as error:
        raise Refusal(400, "invalid_request", f"`{name}` is no day.", name) from error


def value_of(sums: Mapping[str, int], measure: str) -> int:
    if measure == "tokens":
        return sums["input_tokens"] + sums["output_tokens"]
    return sums[measure]


def written(value: float, measure: str) -> str:
    return usd(value) if measure.endswith("usd") else count(value)


async def _show(visit: Visit) -> Mapping[str, Any]:
    want = wanted(visit.query, datetime.now(UTC).date())
    answer = await visit.ask("usage", query=await _query(visit, want))
    lines: list[tuple[int, str, dict[str, int]]] = [
        (int(line.group["time"]), line.group[want.by], line.sums) for line in answer.lines
    ]
    if want.by == "key":
        names = await names_of(visit, (name for _, name, _ in lines))
        labels = {id: f"{name} ({id})" for id, name in names.items()}
        lines = [(at, labels.get(name, name), sums) for at, name, sums in lines]
    totals: dict[str, dict[str, int]] = {}
    for _, name, sums in lines:
        known = totals.get(name)
        totals[name] = dict(sums) if known is None else {k: v + known[k] for k, v in sums.items()}
    groups = sorted(totals, key=lambda name: (-value_of(totals[name], want.measure), name))
    return {
        "want": want,
        "tag": want.by.removeprefix(TAG) if want.by.startswith(TAG) else "",
        "dimensions": [*COLUMN_OF],
        "periods": PERIODS,
        "measures": MEASURES,
        "filters": FILTERS,
        "groups": [(name, totals[name]) for name in groups],
        "shown": SHOWN,
        "total": {n: sum(sums[n] for sums in totals.values()) for n in next(
            iter(totals.values()), {})},
        "chart": _chart(lines, groups, want),
        "written": written,
        "value_of": value_of,
        "facts": _facts,
    }  # fmt: skip


async def _query(visit: Visit, want: Wanted) -> dict[str, str]:
    """Raises Denied, Refusal."""
    query = {**want.query(), "step": want.step}
    if "key" in query:
        query["key"] = await key_id_of(visit, query["key"])
    return query


def _facts(sums: Mapping[str, int]) -> list[str]:
    """The cells of a group's row."""
    calls = max(sums["calls"], 1)
    return [
        count(sums["calls"]),
        share(sums["failed"] / calls),
        count(sums["input_tokens"]),
        count(sums["output_tokens"]),
        count(sums["cached_tokens"]),
        duration(sums["latency_us"] / calls / 1e6),
        usd(sums["saved_microusd"]),
        usd(sums["cost_microusd"]),
    ]


def _chart(
    lines: Sequence[tuple[int, str, dict[str, int]]], groups: Sequence[str], want: Wanted
) -> charts.Chart:
    step_s = 3600 if want.step == "hour" else 86_400
    began = _unix(want.since)
    now = datetime.now(UTC).timestamp()
    ended = min(now, _unix(want.until)) if want.until is not None else now
    places = max(1, int((ended - began) // step_s) + (1 if (ended - began) % step_s else 0))
    colours = {name: min(number, SHOWN) for number, name in enumerate(groups)}
    stacks: list[list[tuple[int, float, str]]] = [[] for _ in range(places)]
    for at, name, sums in sorted(lines, key=lambda line: colours[line[1]]):
        place = int((at - began) // step_s)
        if 0 <= place < places:
            value = value_of(sums, want.measure)
            when = datetime.fromtimestamp(at, UTC)
            said = f"{when:%d %b %H:%M}" if step_s == 3600 else f"{when:%d %b}"
            told = f"{said}, {name or 'none'}: {written(value, want.measure)}"
            stacks[place].append((colours[name], float(value), told))
    title = f"{MEASURES[want.measure]} by {want.by}, each {want.step}"
    chart = charts.columns(title, stacks)
    return charts.Chart(chart.svg, chart.top, _labels(began, ended, began + places * step_s, want))


def _labels(began: float, ended: float, last_ends: float, want: Wanted) -> tuple[str, str]:
    """Under a chart of days its first and last one; of hours when the first begins and the last
    one ends."""
    if want.step == "day":
        return f"{_at(began):%d %b}", f"{_at(ended - 1):%d %b}"
    return f"{_at(began):%d %b %H:%M}", f"{_at(last_ends):%d %b %H:%M}"


def _at(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _unix(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


async def _csv(visit: Visit) -> Response:
    """Sums by time and group, with all that the ledger adds up. Money is in micro-dollars."""
    want = wanted(visit.query, datetime.now(UTC).date())
    answer = await visit.ask("usage", query=await _query(visit, want))
    text = io.StringIO()
    writer = csv.writer(text)
    names = list(answer.lines[0].sums) if answer.lines else []
    writer.writerow(["time", want.by, *names])
    for line in answer.lines:
        when = datetime.fromtimestamp(int(line.group["time"]), UTC)
        group = line.group[want.by]
        # A spreadsheet takes what begins so for a formula.
        safe = f"'{group}" if group[:1] in ("=", "+", "-", "@", "\t") else group
        writer.writerow([f"{when:%Y-%m-%dT%H:%M:%SZ}", safe, *(line.sums[name] for name in names)])
    headers = {"content-disposition": 'attachment; filename="headrace-usage.csv"'}
    return Response(text.getvalue(), 200, headers, "text/csv; charset=utf-8")


def pages() -> tuple[Page, Page]:
    """The page, and what it is downloaded as."""
    usage = Page(
        path="/usage",
        title="Usage",
        template="usage.html",
        needs=("usage",),
        show=_show,
        group="Watch",
        icon="bars",
    )
    download = Page(
        path="/usage.csv", title="Usage", template="usage.html", needs=("usage",), show=_csv
    )
    return usage, download

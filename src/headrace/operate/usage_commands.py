"""`headrace usage`: what was used, by any dimension and period."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rich.table import Table

from headrace.config.loading import Loaded
from headrace.data.database import Database, DatabaseAway
from headrace.data.databases import FILE_NAME, database, database_url
from headrace.data.ledger_sums import COLUMN_OF, TAG, UnknownDimension
from headrace.data.ledger_usage import Line, Reader, Usage
from headrace.errors import Misused, Setup
from headrace.operate.ledger_faults import unreadable
from headrace.operate.tables import wide_console, width_of
from headrace.platform.secrets import Secrets

T = TypeVar("T")
_AGO = re.compile(r"(\d{1,6})([mhdw])\Z")
_UNIT_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
STEP_S = {"hour": 3600, "day": 86_400, "week": 86_400, "month": 86_400}
BAR = 24
"""Characters of the longest bar, where there is room."""
SHORTEST_BAR = 6


class Asked:
    """What is to be shown."""

    def __init__(
        self,
        by: Sequence[str],
        period: str | None,
        since: str | None,
        until: str | None,
        where: Sequence[str],
        now: datetime,
    ) -> None:
        """Raises Setup."""
        self.by = [name for text in by for name in text.split(",") if name]
        self.where = dict(map(_condition, where))
        if period is not None and period not in STEP_S:
            raise Misused(f"There is no period {period!r}.", "Use hour, day, week or month.")
        self.period = period
        self.since = _instant(since or "30d", now)
        self.until = None if until is None else _instant(until, now)
        if self.until is not None and self.until <= self.since:
            raise Misused("The time ends before it begins.", "Let --until be later than --since.")
        for name in (*self.by, *self.where):
            if name not in COLUMN_OF and not name.startswith(TAG):
                raise Misused(
                    f"Nothing is counted by {name!r}.",
                    f"Use one of {', '.join(COLUMN_OF)}, or tag:NAME.",
                )

    @property
    def headings(self) -> list[str]:
        return ([self.period] if self.period else []) + self.by


def show_usage(loaded: Loaded, asked: Asked, form: str) -> int:
    """Prints the usage as `table`, `csv` or `json`; returns the exit code."""
    lines = _by_period(from_ledger(loaded, asked, Usage), asked.period)
    rows = [_told(line, asked.headings) for line in lines]
    if form == "json":
        print(json.dumps(rows))
    elif form == "csv":
        names = list(_told(Line(("",) * len(asked.headings), {}), asked.headings))
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        if "key" in asked.by:
            from headrace.operate.key_names import labels_of

            labels = labels_of(loaded, [row["key"] for row in rows])
            rows = [row | {"key": labels.get(row["key"], row["key"])} for row in rows]
        _print(rows, asked)
    return 0


def from_ledger(loaded: Loaded, asked: Asked, reader: Callable[[Database], Reader[T]]) -> list[T]:
    """What is asked, by hour or day where a period is. Raises Setup."""
    kept, where = open_ledger(loaded), asked.where
    if "key" in where:
        from headrace.operate.key_names import with_key_id  # the registry, else done without

        where = with_key_id(loaded, where)
    try:
        return reader(kept).lines(
            asked.by,
            where,
            asked.since.timestamp(),
            None if asked.until is None else asked.until.timestamp(),
            STEP_S.get(asked.period or "", 0),
        )
    except (DatabaseAway, UnknownDimension) as error:
        raise unreadable(loaded, error) from error
    finally:
        kept.close()


def open_ledger(loaded: Loaded) -> Database:
    """The ledger's database, to read. Raises Setup if there is none."""
    store, folder = loaded.config.store, loaded.store_folder
    url = database_url(store, Secrets(os.environ, loaded.folder), time.monotonic())
    if url is None and not (folder / FILE_NAME).exists():
        raise Setup(
            f"There is no ledger in {folder}.",
            "Run this where `headrace serve` was started, or name its file with --config.",
        )
    return database(folder, url, read_only=True)


def _instant(text: str, now: datetime) -> datetime:
    """`7d` ago, or a date or time; UTC where nothing else is said."""
    ago = _AGO.match(text)
    try:
        if ago is not None:
            return now - timedelta(seconds=int(ago[1]) * _UNIT_S[ago[2]])
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Misused(
            f"{text!r} is no time.", "Write 2026-11-24, 2026-11-24T12:00, or 7d for 7 days ago."
        ) from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Misused(f"{text!r} is no condition.", "Write it as NAME=VALUE, such as team=search.")
    return name, value


def _by_period(lines: Sequence[Line], period: str | None) -> list[Line]:
    """With the name of its period in place of its first second; days of one week or month are
    added up."""
    if period is None:
        return sorted(lines, key=lambda line: -line.sums["cost_microusd"])
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for line in lines:
        group = (period_name(int(line.group[0]), period), *line.group[1:])
        before = found.get(group)
        found[group] = (
            line.sums if before is None else {n: before[n] + v for n, v in line.sums.items()}
        )
    return [Line(group, sums) for group, sums in sorted(found.items())]


def period_name(second: int, period: str) -> str:
    """Of the period that holds this second of Unix time."""
    began = datetime.fromtimestamp(second, UTC)
    if period == "hour":
        return began.strftime("%Y-%m-%dT%H:00Z")
    if period == "week":
        return (began - timedelta(days=began.weekday())).strftime("%Y-%m-%d")
    return began.strftime("%Y-%m" if period == "month" else "%Y-%m-%d")


def _told(line: Line, headings: Sequence[str]) -> dict[str, Any]:
    sums = line.sums
    told: dict[str, Any] = dict(zip(headings, line.group, strict=False))
    for name in (
        "calls", "failed", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens",
        "reasoning_tokens", "cost_microusd", "saved_microusd", "unpriced", "estimated", "orphans",
    ):  # fmt: skip
        told[name] = sums.get(name, 0)
    calls, first = sums.get("calls", 0), sums.get("ttft_calls", 0)
    told["mean_latency_ms"] = round(sums["latency_us"] / calls / 1000, 1) if calls else None
    told["mean_ttft_ms"] = round(sums["ttft_us"] / first / 1000, 1) if first else None
    return told


def _print(rows: Sequence[Mapping[str, Any]], asked: Asked) -> None:
    console = wide_console()
    console.print(span(asked))
    if not rows:
        tags = [name.removeprefix(TAG) for name in asked.by if name.startswith(TAG)]
        # Sums by a tag are of the calls that have it.
        console.print(f"No calls with the tag {' or '.join(tags)}." if tags else "No calls.")
        return
    cells = [_cells(row, asked.headings) for row in rows]
    table = _table(asked.headings, cells, None)
    room = console.width - width_of(table, console) - 3
    if asked.headings and room >= SHORTEST_BAR:
        table = _table(asked.headings, cells, _bars(rows, min(room, BAR)))
    console.print(table)
    orphans = sum(row["orphans"] for row in rows)
    if orphans:
        what = "1 call was" if orphans == 1 else f"{orphans:,} calls were"
        console.print(f"{what} cut off by a kill and counted at the bound.")


def _cells(row: Mapping[str, Any], headings: Sequence[str]) -> list[str]:
    unpriced = f" +{row['unpriced']:,} of unknown price" if row["unpriced"] else ""
    return [
        *(str(row.get(heading, "")) or "-" for heading in headings),
        *(f"{row[name]:,}" for name in ("calls", "failed", "input_tokens", "output_tokens")),
        usd(row["cost_microusd"]) + unpriced,
        usd(row["saved_microusd"]),
    ]


def _table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], bars: tuple[str, Sequence[str]] | None
) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for heading in ("Calls", "Failed", "In", "Out", "Cost", "Saved"):
        table.add_column(heading, justify="right", no_wrap=True)
    if bars is not None:
        table.add_column(bars[0], no_wrap=True)
    for number, cells in enumerate(rows):
        table.add_row(*cells, *(() if bars is None else (bars[1][number],)))
    return table


def _bars(rows: Sequence[Mapping[str, Any]], width: int) -> tuple[str, list[str]]:
    """A heading, and a bar for each row: as long as the room allows, for names and figures come
    first."""
    by_cost = any(row["cost_microusd"] for row in rows)
    measure = "cost_microusd" if by_cost else "calls"
    most = max(row[measure] for row in rows)
    heading = "By cost" if by_cost else "By calls"
    return heading, [bar(row[measure] / most if most else 0, width) for row in rows]


def bar(share: float, width: int = BAR) -> str:
    """A bar of eighths of a character."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def usd(microusd: int) -> str:
    """With cents, or with all of it where there is less than one."""
    return f"${microusd / 1e6:,.2f}" if microusd >= 10_000 else f"${microusd / 1e6:.6f}"


def span(asked: Asked) -> str:
    """From when to when, for people."""
    until = "now" if asked.until is None else shown(asked.until)
    return f"From {shown(asked.since)} to {until}"


def shown(instant: datetime) -> str:
    """To the minute."""
    return instant.strftime("%Y-%m-%d %H:%M %Z")

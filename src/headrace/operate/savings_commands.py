"""`headrace savings`: what each pattern saved, by any dimension and period."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from rich.table import Table

from headrace.config.loading import Loaded
from headrace.data.ledger_savings import PATTERNS, Cuts, Saved, Savings, added_up
from headrace.operate.tables import wide_console
from headrace.operate.usage_commands import Asked, from_ledger, period_name, span, usd

CAPS = "token caps"


def show_savings(loaded: Loaded, asked: Asked, form: str) -> int:
    """Prints the savings as `table` or `json`; returns the exit code. Raises Setup."""
    lines = from_ledger(loaded, asked, Savings)
    period = asked.period
    if period is not None:
        lines = added_up(lines, lambda g: (period_name(int(g[0]), period), *g[1:]))
    if form == "json":
        print(json.dumps([told(line, asked.headings) for line in lines]))
    else:
        if "key" in asked.by:
            from headrace.operate.key_names import labels_of

            at = asked.headings.index("key")
            labels = labels_of(loaded, [line.group[at] for line in lines])
            lines = [_named(line, at, labels) for line in lines]
        _print(lines, asked)
    return 0


def _named(line: Saved, at: int, labels: Mapping[str, str]) -> Saved:
    group = line.group
    name = labels.get(group[at], group[at])
    return replace(line, group=(*group[:at], name, *group[at + 1 :]))


def told(line: Saved, headings: Sequence[str]) -> dict[str, Any]:
    """A line as plain data."""
    saved, caps = line.saved_microusd, line.caps
    return {
        **dict(zip(headings, line.group, strict=True)),
        "cost_microusd": line.cost_microusd,
        "saved_microusd": saved,
        "without_microusd": line.cost_microusd + saved,
        "patterns": {
            name: {
                "calls": saving.calls,
                "saved_microusd": saving.saved_microusd,
                "without_cost": saving.without_cost,
            }
            for name, saving in line.patterns.items()
        },
        "caps": {
            "calls": caps.calls,
            "least_microusd": 0,
            "most_microusd": caps.most_microusd,
            "unbounded": caps.unbounded,
        },
        "kept_calls": line.kept,
    }


def _print(lines: Sequence[Saved], asked: Asked) -> None:
    console = wide_console()
    console.print(span(asked))
    table = Table()
    for heading in asked.headings:
        table.add_column(heading, overflow="fold")
    table.add_column("Pattern")
    for heading in ("Calls", "Saved", "Share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        for row in _rows(line):
            table.add_row(*(part or "-" for part in line.group), *row)
    if table.rows:
        console.print(table)
    whole = added_up(lines, lambda _: ())
    for text in _summary(whole[0] if whole else Saved(())):
        console.print(text)


def _rows(line: Saved) -> list[tuple[str, str, str, str]]:
    without = line.cost_microusd + line.saved_microusd
    rows = []
    for name, text in PATTERNS.items():
        saving = line.patterns.get(name)
        if saving is not None:
            share = saving.saved_microusd / without if without else 0
            rows.append((text, f"{saving.calls:,}", usd(saving.saved_microusd), f"{share:.1%}"))
    if line.caps.calls:
        rows.append((CAPS, f"{line.caps.calls:,}", _bounds(line.caps), "not known"))
    return rows


def _bounds(caps: Cuts) -> str:
    if caps.unbounded == caps.calls:
        return "not known"
    return f"$0 to {usd(caps.most_microusd)}"


def _summary(whole: Saved) -> list[str]:
    saved, cost = whole.saved_microusd, whole.cost_microusd
    if not saved:
        texts = [f"Nothing was measured to be saved; calls cost {usd(cost)}."]
    else:
        texts = [
            f"Measured: {usd(saved)} saved; calls cost {usd(cost)} and not {usd(cost + saved)}."
        ]
    free = sum(saving.without_cost for saving in whole.patterns.values())
    if free:
        texts.append(f"{free:,} given again had cost nothing or what is not known: counted as 0.")
    if whole.caps.calls:
        texts.append(
            f"{whole.caps.calls:,} reached a cap: that saved between the bounds, and is in no sum."
        )
    if whole.caps.unbounded:
        texts.append(f"{whole.caps.unbounded:,} of them have no upper bound that is known.")
    if whole.kept:
        texts.append(f"{whole.kept:,} had a kept answer in an outage: no saving, and not counted.")
    return texts

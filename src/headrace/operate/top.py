"""`headrace top`: what a running gateway does, in the terminal."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from operator import itemgetter

from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.config.loading import Loaded
from headrace.edge.gathering import Gathered, Gatherer
from headrace.errors import Setup
from headrace.gateway.telemetry.history import flows_since, quantile
from headrace.gateway.telemetry.snapshot import DURATIONS_S, Counted, Flow
from headrace.operate.tables import tally, wide_console

_HEADS = 6
"""Lines that are always there: of the sums, of both tables' headings, and between them."""
_NAMES = ("Model", "Backend", "State")
"""Columns that are shortened where all else is left out. The others are figures."""
_NAME_WIDTH = 16
"""Of longer names the rest is shown only where nothing is left out for it."""
_SPARED = ("Calls\nin all", "Tokens\n/s", "P50")
"""Left out where there is no room, in this order."""
Row = dict[str, str]


def watch_gateway(loaded: Loaded, every_s: float, *, looks: int | None) -> None:
    """Until it is interrupted, or for so many looks. Raises Setup if nothing can be seen."""
    gatherer, console = Gatherer(loaded.store_folder), wide_console()
    before, at = _look(gatherer, loaded), time.monotonic()
    with Live(console=console, auto_refresh=False, screen=looks is None) as live:
        for _ in itertools.count() if looks is None else range(looks - 1):
            time.sleep(every_s)
            gathered, now = _look(gatherer, loaded), time.monotonic()
            width, rows = console.size  # a window's may have changed
            shown = view(gathered, before.counted, now - at, width, rows if looks is None else None)
            live.update(shown, refresh=True)
            before, at = gathered, now
    if looks is not None and not console.is_terminal:
        console.print()  # the last look stands there without an end of its line


def _look(gatherer: Gatherer, loaded: Loaded) -> Gathered:
    try:
        gathered = gatherer.gather()
    except PermissionError as error:
        raise Setup(
            f"This user may not open the sockets in {loaded.store_folder}.",
            "Run it as the user that runs the gateway.",
        ) from error
    except (OSError, ValueError) as error:
        raise Setup("The gateway's workers do not answer.", "Try again shortly.") from error
    if not gathered.moments:
        raise Setup(
            f"No gateway that counts its calls runs with the store {loaded.store_folder}.",
            "Run this where `headrace serve` was started, or name its file with --config; and "
            "see that the file has `admin`, or `telemetry: {metrics: true}`.",
        )
    return gathered


def view(
    gathered: Gathered, before: Counted, seconds: float, width: int, rows: int | None = None
) -> Group:
    """One look: what came within these seconds, and what is so now. Nothing of it is wider than
    `width`, nor are there more than `rows` lines, if that is said."""
    moments = gathered.moments.values()
    running = sum(moment.running for moment in moments)
    flows = flows_since(gathered.counted, before)
    spent = sum(flow.cost_microusd for flow in flows) / 1e6
    calls = sum(sum(flow.statuses.values()) for flow in flows)
    head = Text(
        f"{calls / seconds:,.1f} calls/s   {running} running   "
        f"${spent / seconds * 3600:,.2f} an hour   {tally(len(gathered.moments), 'worker')}",
        no_wrap=True,
        overflow="ellipsis",
    )
    of_flows, of_backends = _flow_rows(flows, gathered.counted, seconds), _backend_rows(gathered)
    most = len(of_flows), len(of_backends)
    shown = most if rows is None else _shared(max(2, rows - _HEADS), *most)
    return Group(
        head, "", *_table(of_flows, shown[0], width), "", *_table(of_backends, shown[1], width)
    )


def _shared(room: int, flows: int, backends: int) -> tuple[int, int]:
    """How many lines each table gets: half of the room, or what the other one leaves."""
    of_flows = min(flows, max(room - backends, room - room // 2))
    return of_flows, min(backends, room - of_flows)


def _table(rows: list[Row], shown: int, width: int) -> Iterator[Table | str]:
    """The first rows, and how many more there are: that line is one of those that are shown."""
    if not rows:
        yield "No call has ended yet."  # there is always a backend
        return
    names = _fitting(rows, width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        if name in _NAMES:
            table.add_column(name, overflow="ellipsis")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    cut = len(rows) > shown
    for row in rows[: shown - 1] if cut else rows:
        table.add_row(*(Text(row[name]) for name in names))  # no markup: clients name models
    yield table
    if cut:
        yield f"and {len(rows) - shown + 1:,} more"


def _fitting(rows: list[Row], width: int) -> list[str]:
    """The columns that there is room for."""
    names = list(rows[0])
    for spared in _SPARED:
        if sum(_width(name, rows) + 2 for name in names) - 2 <= width:
            break
        names = [name for name in names if name != spared]
    return names


def _width(name: str, rows: list[Row]) -> int:
    widest = max(cell_len(row[name]) for row in rows)
    return max(*map(len, name.split("\n")), min(widest, _NAME_WIDTH) if name in _NAMES else widest)


def _flow_rows(flows: list[Flow], counted: Counted, seconds: float) -> list[Row]:
    """Those with most calls first."""
    rows: list[Row] = []
    in_all = {(f.model, f.backend): sum(f.statuses.values()) for f in counted.flows}
    for flow in sorted(flows, key=lambda f: (-sum(f.statuses.values()), f.model, f.backend)):
        calls = sum(flow.statuses.values())
        failed = sum(n for status, n in flow.statuses.items() if status == 429 or status >= 500)
        tokens = flow.tokens.get("input", 0) + flow.tokens.get("output", 0)
        took = flow.durations
        rows.append({
            "Model": flow.model if flow.model.isprintable() else ascii(flow.model),
            "Backend": flow.backend or "-",
            "Calls\n/s": f"{calls / seconds:,.1f}",
            "Failed": f"{100 * failed / calls:.0f} %" if calls else "",
            "P50": _time(quantile(took, DURATIONS_S, 0.5)),
            "P95": _time(quantile(took, DURATIONS_S, 0.95)),
            "P99": _time(quantile(took, DURATIONS_S, 0.99)),
            "First\ntoken": _time(quantile(flow.first_tokens, DURATIONS_S, 0.5)),
            "Tokens\n/s": f"{tokens / seconds:,.0f}",
            "Calls\nin all": f"{in_all[flow.model, flow.backend]:,}",
        })  # fmt: skip
    return rows


def _backend_rows(gathered: Gathered) -> list[Row]:
    """Those first that some worker does not ask as usual."""
    rows: list[tuple[bool, Row]] = []
    names = dict.fromkeys(b.name for m in gathered.moments.values() for b in m.backends)
    for name in names:
        seen = [b for m in gathered.moments.values() for b in m.backends if b.name == name]
        states = dict.fromkeys(one.state for one in seen)
        rows.append((list(states) == ["closed"], {
            "Backend": name,
            "State": ", ".join(states),
            "Running": f"{sum(one.running for one in seen)} of {sum(one.limit for one in seen):g}",
            "Failing": f"{100 * max(one.failure_share for one in seen):.0f} %",
        }))  # fmt: skip
    return [row for _, row in sorted(rows, key=itemgetter(0))]


def _time(seconds: float | None) -> str:
    """In six characters at most."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"

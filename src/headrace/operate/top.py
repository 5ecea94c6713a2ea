"""`headrace top`: what a running gateway does, in the terminal."""

from __future__ import annotations

import itertools
import json
import textwrap
import time
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.config.loading import Loaded
from headrace.edge.gathering import Gathered, Gatherer
from headrace.errors import Setup
from headrace.gateway.telemetry.history import flows_since, quantile
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    BackendNow,
    Counted,
    Flow,
    untrusted_proxies,
)
from headrace.operate.tables import tally, wide_console

_HEADS = 6
"""Lines that are always there: of the sums, of both tables' headings, and between them."""
_LEAST_ROWS = 2
"""Of both tables together, however small the terminal is."""
_NAMES = ("Model", "Backend", "State")
"""Columns that are shortened where all else is left out. The others are figures."""
_NAME_WIDTH = 16
"""Of longer names the rest is shown only where nothing is left out for it."""
_SPARED = ("Calls\nin all", "Tokens\n/s", "P50")
"""Left out where there is no room, in this order."""
Row = dict[str, str]


def watch_gateway(loaded: Loaded, every_s: float, *, looks: int | None) -> None:
    """Until it is interrupted, or for so many looks: in one place of a terminal, else one after
    another, as a pipe or a file takes them. Raises Setup if nothing can be seen."""
    console, seen = wide_console(), _looks(loaded, every_s, looks)
    if not console.is_terminal:
        for number, (gathered, before, seconds) in enumerate(seen):
            if number:
                console.print()
            console.print(view(gathered, before, seconds, console.width, None))
            console.file.flush()
        return
    with Live(console=console, auto_refresh=False, screen=looks is None) as live:
        for gathered, before, seconds in seen:
            width, rows = console.size  # a window's may have changed
            shown = view(gathered, before, seconds, width, rows if looks is None else None)
            live.update(shown, refresh=True)


def print_looks(loaded: Loaded, every_s: float, *, looks: int | None) -> None:
    """The same as lines of JSON, one for each look but the first. Raises Setup."""
    for gathered, before, seconds in _looks(loaded, every_s, looks):
        print(json.dumps(figures(gathered, before, seconds)), flush=True)


def _looks(
    loaded: Loaded, every_s: float, looks: int | None
) -> Iterator[tuple[Gathered, Counted, float]]:
    """All but the first, each with what had been counted at the one before and the seconds since.
    Raises Setup."""
    gatherer = Gatherer(loaded.store_folder)
    before, at = _look(gatherer, loaded), time.monotonic()
    for _ in itertools.count() if looks is None else range(looks - 1):
        time.sleep(every_s)
        gathered, now = _look(gatherer, loaded), time.monotonic()
        yield gathered, before.counted, now - at
        before, at = gathered, now


def figures(gathered: Gathered, before: Counted, seconds: float) -> dict[str, Any]:
    """One look for machines: rates are of these seconds, quantiles null where no call ended."""
    moments = gathered.moments.values()
    flows = flows_since(gathered.counted, before)
    in_all = _in_all(gathered.counted)
    return {
        "calls_per_s": round(sum(map(_calls, flows)) / seconds, 3),
        "running": sum(moment.running for moment in moments),
        "usd_per_h": round(sum(flow.cost_microusd for flow in flows) / 1e6 / seconds * 3600, 6),
        "workers": len(moments),
        "untrusted_proxies": untrusted_proxies(moments),
        "models": [_figures_of(flow, in_all, seconds) for flow in flows],
        "backends": [
            {
                "name": name,
                "states": list(dict.fromkeys(one.state for one in seen)),
                "running": sum(one.running for one in seen),
                "limit": sum(one.limit for one in seen),
                "failure_share": round(max(one.failure_share for one in seen), 4),
            }
            for name, seen in _by_backend(gathered).items()
        ],
    }


def _figures_of(
    flow: Flow, in_all: Mapping[tuple[str, str], int], seconds: float
) -> dict[str, Any]:
    calls = _calls(flow)
    return {
        "model": flow.model,
        "backend": flow.backend or None,
        "calls_per_s": round(calls / seconds, 3),
        "failed_share": round(_failed(flow) / calls, 4) if calls else None,
        "p50_ms": _ms(quantile(flow.durations, DURATIONS_S, 0.5)),
        "p95_ms": _ms(quantile(flow.durations, DURATIONS_S, 0.95)),
        "p99_ms": _ms(quantile(flow.durations, DURATIONS_S, 0.99)),
        "first_token_p50_ms": _ms(quantile(flow.first_tokens, DURATIONS_S, 0.5)),
        "tokens_per_s": round(_tokens(flow) / seconds, 1),
        "calls": in_all[flow.model, flow.backend],
    }


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
    calls = sum(map(_calls, flows))
    head = Text(
        f"{calls / seconds:,.1f} calls/s   {running} running   "
        f"${spent / seconds * 3600:,.2f} an hour   {tally(len(gathered.moments), 'worker')}",
        no_wrap=True,
        overflow="ellipsis",
    )
    notices = _notices(untrusted_proxies(moments), width, rows)
    if rows is not None:
        rows -= len(notices)
    of_flows, of_backends = _flow_rows(flows, gathered.counted, seconds), _backend_rows(gathered)
    most = len(of_flows), len(of_backends)
    shown = most if rows is None else _shared(max(_LEAST_ROWS, rows - _HEADS), *most)
    return Group(
        head,
        *notices,
        "",
        *_table(of_flows, shown[0], width),
        "",
        *_table(of_backends, shown[1], width),
    )


def _notices(told: list[str], width: int, rows: int | None) -> list[Text]:
    """In lines of `width`, and as many as leave each table its least."""
    lines = [line for one in told
             for line in textwrap.wrap(f"{one}.", width, break_on_hyphens=False)]  # fmt: skip
    if rows is not None:
        del lines[max(0, rows - _HEADS - _LEAST_ROWS) :]
    return [Text(line, style="yellow") for line in lines]


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
    in_all = _in_all(counted)
    for flow in sorted(flows, key=lambda f: (-_calls(f), f.model, f.backend)):
        calls = _calls(flow)
        took = flow.durations
        rows.append({
            "Model": flow.model if flow.model.isprintable() else ascii(flow.model),
            "Backend": flow.backend or "-",
            "Calls\n/s": f"{calls / seconds:,.1f}",
            "Failed": f"{100 * _failed(flow) / calls:.0f} %" if calls else "",
            "P50": _time(quantile(took, DURATIONS_S, 0.5)),
            "P95": _time(quantile(took, DURATIONS_S, 0.95)),
            "P99": _time(quantile(took, DURATIONS_S, 0.99)),
            "First\ntoken": _time(quantile(flow.first_tokens, DURATIONS_S, 0.5)),
            "Tokens\n/s": f"{_tokens(flow) / seconds:,.0f}",
            "Calls\nin all": f"{in_all[flow.model, flow.backend]:,}",
        })  # fmt: skip
    return rows


def _backend_rows(gathered: Gathered) -> list[Row]:
    """Those first that some worker does not ask as usual."""
    rows: list[tuple[bool, Row]] = []
    for name, seen in _by_backend(gathered).items():
        states = dict.fromkeys(one.state for one in seen)
        rows.append((list(states) == ["closed"], {
            "Backend": name,
            "State": ", ".join(states),
            "Running": f"{sum(one.running for one in seen)} of {sum(one.limit for one in seen):g}",
            "Failing": f"{100 * max(one.failure_share for one in seen):.0f} %",
        }))  # fmt: skip
    return [row for _, row in sorted(rows, key=itemgetter(0))]


def _by_backend(gathered: Gathered) -> dict[str, list[BackendNow]]:
    """How each fares in each worker."""
    found: dict[str, list[BackendNow]] = {}
    for moment in gathered.moments.values():
        for backend in moment.backends:
            found.setdefault(backend.name, []).append(backend)
    return found


def _in_all(counted: Counted) -> dict[tuple[str, str], int]:
    return {(flow.model, flow.backend): _calls(flow) for flow in counted.flows}


def _calls(flow: Flow) -> int:
    return sum(flow.statuses.values())


def _failed(flow: Flow) -> int:
    return sum(n for status, n in flow.statuses.items() if status == 429 or status >= 500)


def _tokens(flow: Flow) -> int:
    return flow.tokens.get("input", 0) + flow.tokens.get("output", 0)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)


def _time(seconds: float | None) -> str:
    """In six characters at most."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"

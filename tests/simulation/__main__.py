"""Lives simulated hours on all cores and says what was promised and not kept.

`make simulate`, `make simulate SEEDS=10000`, `make simulate SEED=123`: the same hour, event by
event, on any machine with the same Python.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

import msgspec
from cyclopts import App
from rich.console import Console
from rich.table import Table

from simulation.hour import Result, live
from simulation.totals import Totals, live_all

app = App(help=__doc__)
SHOWN = 10
"""Seeds and breaches that are printed; `--json` has all."""


@app.default
def simulate(
    *, seed: int | None = None, seeds: int = 1000, first: int = 0, jobs: int = 0, json: bool = False
) -> None:
    """Live `seeds` hours from the seed `first` on, or the hour of `seed` alone.

    Exits with 1 if a promise was not kept.
    """
    if seed is not None:
        result = live(seed)
        if json:
            print(msgspec.json.encode(result._asdict()).decode())
        else:
            _tell(result)
        sys.exit(bool(result.breaches))
    began, totals = time.monotonic(), Totals()
    jobs = jobs or os.cpu_count() or 1
    for result in live_all(range(first, first + seeds), jobs):
        totals.add(result)
    took_s = time.monotonic() - began
    if json:
        print(msgspec.json.encode(totals.as_dict(took_s, jobs)).decode())
    else:
        _tell_all(totals, took_s, jobs)
    sys.exit(bool(totals.failed))


def _tell(result: Result) -> None:
    """One hour: its weather, what became of its calls, its trace."""
    console = Console(highlight=False)
    for at_s, what in result.mishaps:
        console.print(f"{at_s:8.1f} s  {what}")
    table = Table("seed", str(result.seed), show_header=True, header_style="")
    table.add_row("calls", f"{result.calls:,}")
    table.add_row("attempts", f"{result.attempts:,}")
    for end, count in result.ends.items():
        table.add_row(end, f"{count:,}")
    table.add_row("events", f"{result.events:,}")
    table.add_row("trace", result.trace)
    console.print(table)
    for breach in result.breaches[:SHOWN]:
        console.print(f"NOT KEPT at {breach.at_s:.3f} s: {breach.promise}: {breach.what}")
    if len(result.breaches) > SHOWN:
        console.print(f"and {len(result.breaches) - SHOWN:,} more")


def _tell_all(totals: Totals, took_s: float, jobs: int) -> None:
    console = Console(highlight=False)
    table = Table("simulated hours", f"{totals.hours:,}", show_header=True, header_style="")
    table.add_row("on", f"{jobs} processes, {took_s:.1f} s")
    table.add_row("hours a minute", f"{totals.hours / took_s * 60:,.0f}")
    table.add_row("CPU an hour", f"{totals.cpu_s / totals.hours * 1000:.0f} ms")
    table.add_row("calls", f"{totals.calls:,}")
    table.add_row("attempts by calls", f"{totals.attempts / max(1, totals.calls):.3f}")
    for end, count in totals.ends.most_common():
        table.add_row(end, f"{count:,}")
    for what, count in totals.mishaps.most_common():
        table.add_row(f"mishap: {what}", f"{count:,}")
    table.add_row("last refusal after a region was well again", f"{totals.recovery_s:.1f} s")
    table.add_row("the same where probes took long", f"{totals.slow_recovery_s:.1f} s")
    table.add_row("trace of all", totals.trace)
    table.add_row("hours in which a promise was not kept", f"{len(totals.failed):,}")
    console.print(table)
    for result in totals.failed[:SHOWN]:
        promises = Counter(breach.promise for breach in result.breaches)
        told = ", ".join(f"{promise} ({count:,})" for promise, count in promises.items())
        console.print(f"seed {result.seed}: {told}\n  replay: make simulate SEED={result.seed}")
    if len(totals.failed) > SHOWN:
        console.print(f"and {len(totals.failed) - SHOWN:,} more seeds")


if __name__ == "__main__":
    app()

"""A soak: does a gateway hold more memory after a million calls than before?"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from cyclopts import App
from rich.console import Console

from benchmarks.bodies import whole_request
from benchmarks.measure import FULL, Measurement, WholeCase, running
from benchmarks.peers import PEERS
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.upstreams import whole_upstream

app = App(name="python -m benchmarks.leak", help_format="markdown")

WARM_UP_CALLS = 50_000
WARM_UP_S = 75.0
"""Within the first minute the audit chain loads what it signs its checkpoints with: 9 MB, once."""
WRITER_CACHE_MB = 33.6
"""The ledger writer's pages of its database: as many as it may keep, whatever was written."""
CASE = WholeCase(1, 64)


@app.default
def leak(
    *,
    gateway: str = "headrace",
    calls: int = 1_000_000,
    limit_mb: float = 5.0,
    limit_minutes: float = 30.0,
) -> int:
    """Make many calls by wrk on 64 connections and compare the memory before and after.

    Before counting, 50,000 calls and 75 seconds fill caches, pools and the allocator's arenas.
    Exits 1 if the worker grew by more than --limit-mb, or all processes together by more than that
    and the pages that the ledger's writer keeps, if a call failed, or if the calls were not done
    within --limit-minutes.

    Args:
        gateway: Which one: headrace, nginx, portkey or litellm.
        calls: Calls to make after the warm-up.
        limit_mb: Growth that is allowed, in MB.
        limit_minutes: Give up after so long.
    """
    console = Console()
    if gateway not in PEERS or (how := PEERS[gateway].missing()) is not None:
        console.print(f"{gateway} is not installed: {how if gateway in PEERS else 'unknown'}")
        return 1
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    began = time.monotonic()
    end = began + limit_minutes * 60
    problems: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        whole_upstream(Path(folder)) as upstream,
        running(PEERS[gateway], upstream) as process,
    ):
        session = process.session
        if session is None:
            raise SystemExit("there is no process to watch: choose a gateway")
        load = Measurement(process, FULL, gateway, problems)
        body = whole_request(1000)
        before = worker_before = 0.0
        warmed = made = 0
        while made < calls and not problems and time.monotonic() < end:
            done, _ = load.wrk(body, CASE)
            if warmed < WARM_UP_CALLS or time.monotonic() - began < WARM_UP_S:
                warmed += done
                before = session.memory().total / 1e6
                worker_before = session.memory_of_busiest() / 1e6
                continue
            made += done
            now, worker = session.memory().total / 1e6, session.memory_of_busiest() / 1e6
            console.print(
                f"{made:>9,} calls  worker {worker:6.1f} MB  {worker - worker_before:+.1f} MB"
                f"  all {now:6.1f} MB  {now - before:+.1f} MB"
            )
        time.sleep(2.0)
        grown = session.memory().total / 1e6 - before
        worker_grown = session.memory_of_busiest() / 1e6 - worker_before
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    kept = worker_grown <= limit_mb and grown <= limit_mb + WRITER_CACHE_MB
    passed = made >= calls and not problems and kept
    verdict = "[green]pass[/]" if passed else "[red]FAIL[/]"
    console.print(
        f"{verdict}  worker {worker_grown:+.1f} MB after {made:,} calls"
        f" (at most {limit_mb:+.1f} MB), all processes {grown:+.1f} MB"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(app())

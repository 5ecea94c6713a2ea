"""What an exact hit of the cache costs beside the call that it saves.

This tree, forwarding, beside itself with `cache: {answers: exact}`, asked the same again, in turns.
Exits 1 if the hit costs the worker more.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.added import CASE
from benchmarks.bodies import whole_request
from benchmarks.measure import FULL, Measurement, running
from benchmarks.peers.base import REPO, Command
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.source_tree import SourceTree
from benchmarks.upstreams import whole_upstream

app = App(name="python -m benchmarks.exact_hits", help_format="markdown")


class Caching(SourceTree):
    """Every call but the first is a hit."""

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        config = folder / "headrace.yaml"
        plain = config.read_text()
        cached = plain.replace("gpt-4o-mini: {", "gpt-4o-mini: {cache: {answers: exact}, ")
        assert cached != plain
        config.write_text(cached)
        return command


@app.default
def exact_hits(*, size: int = 1_000, rounds: int = 3) -> int:
    """The CPU of a whole call on 64 connections, of the worker and of all processes.

    Args:
        size: Bytes of a request.
        rounds: Turns of each.
    """
    console, problems = Console(), list[str]()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    ways = (
        ("forwarded", SourceTree("forwarded", REPO / "src")),
        ("exact hit", Caching("exact hit", REPO / "src")),
    )
    worker: dict[str, list[float]] = {name: [] for name, _ in ways}
    whole: dict[str, list[float]] = {name: [] for name, _ in ways}
    with tempfile.TemporaryDirectory() as folder, whole_upstream(Path(folder)) as upstream:
        for _ in range(rounds):
            for name, tree in ways:
                with running(tree, upstream) as gateway:
                    load = Measurement(gateway, FULL, name, problems)
                    load.wrk(whole_request(size), CASE)
                    before, by_pid = gateway.cpu_s(), gateway.cpu_s_by_pid()
                    calls, _ = load.wrk(whole_request(size), CASE)
                    busiest = gateway.busiest_cpu_s(by_pid)
                    worker[name].append(busiest / calls * 1e6)
                    whole[name].append((gateway.cpu_s() - before) / calls * 1e6)
    table = Table(f"{size:,} bytes", "worker, median", "least", "all processes, median")
    for name, _ in ways:
        cells = [statistics.median(worker[name]), min(worker[name])]
        cells.append(statistics.median(whole[name]))
        table.add_row(name, *(f"{cell:.0f} us" for cell in cells))
    medians = [statistics.median(worker[name]) for name, _ in ways]
    console.print(table)
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    return 1 if problems or medians[1] > medians[0] else 0


if __name__ == "__main__":
    sys.exit(app())

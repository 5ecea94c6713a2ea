"""What did the policies, or any change, cost? This tree beside another commit, in the same run."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.bodies import whole_request
from benchmarks.measure import FULL, Measurement, WholeCase, running
from benchmarks.peers.base import REPO
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.source_tree import SourceTree
from benchmarks.upstreams import whole_upstream
from benchmarks.variant import ALONE, Variant

app = App(name="python -m benchmarks.against", help_format="markdown")

CASE = WholeCase(1, 64)


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The commit's sources, for as long as it lasts."""
    with tempfile.TemporaryDirectory(prefix="bench-against-") as name:
        tree = Path(name) / "tree"
        git = ["git", "-C", str(REPO), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(tree), commit], check=True)
        try:
            yield tree / "src"
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


@app.default
def against(
    commit: str,
    *,
    rounds: int = 5,
    pool: int = 4,
    their_pool: int = 1,
    alone: bool = False,
    limit: float | None = None,
) -> int:
    """Compare the CPU of a whole 1 KB call, 64 connections, with another commit's.

    The two take turns. Exits 1 if the ratio of the medians is over --limit.

    Args:
        commit: The other one, as git names it.
        rounds: Turns of each.
        pool: Backends of this tree's pool.
        their_pool: Backends of the other commit's pool.
        alone: This tree forwards, with all policies, and does no more: without identity, limits,
            prices and ledger. For commits before these came in.
        limit: Most that this tree may cost, as a multiple: 1.15 for 15 % more.
    """
    console = Console()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    problems: list[str] = []
    costs: dict[str, list[float]] = {}
    with (
        checked_out(commit) as theirs,
        tempfile.TemporaryDirectory() as folder,
        whole_upstream(Path(folder)) as upstream,
    ):
        mine = Variant("this tree", site=ALONE if alone else "", pool=pool)
        trees = SourceTree(commit, theirs, their_pool), mine
        for _ in range(rounds):
            for tree in trees:
                with running(tree, upstream) as gateway:
                    load = Measurement(gateway, FULL, tree.name, problems)
                    load.wrk(whole_request(1000), CASE)
                    before = gateway.cpu_s()
                    calls, _ = load.wrk(whole_request(1000), CASE)
                    cost_us = (gateway.cpu_s() - before) / max(calls, 1) * 1e6
                    costs.setdefault(tree.name, []).append(cost_us)
    table = Table("", "CPU per call, median", "least", "most")
    for name, values in costs.items():
        table.add_row(name, *(f"{f(values):.1f} us" for f in (statistics.median, min, max)))
    console.print(table)
    ratio = statistics.median(costs["this tree"]) / statistics.median(costs[commit])
    console.print(f"this tree: {ratio:.2f} times {commit}")
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    return 1 if problems or (limit is not None and ratio > limit) else 0


if __name__ == "__main__":
    sys.exit(app())

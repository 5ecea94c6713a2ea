"""What identity, limits, budgets and the ledger add to a call, in one run: `python -m
benchmarks.added`.

This tree, forwarding alone, beside itself with all of it, with no step of it in C, and with the
counts in a real Valkey, in turns. To forward alone is no mode of Headrace: a `sitecustomize` takes
the steps out. None of them sheds load: where other work holds up the gateway's core for a quarter
of a second it would refuse calls, as it should, and a refusal costs less than an answer.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.bodies import whole_request
from benchmarks.measure import FULL, Measurement, WholeCase, running
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.upstreams import whole_upstream
from benchmarks.valkey import valkey
from benchmarks.variant import ALONE, IN_PYTHON, UNSHED, Variant

app = App(name="python -m benchmarks.added", help_format="markdown")

CASE = WholeCase(1, 64)
LIMITS = """
limits:
  - {per: key, requests: 1_000_000_000}
  - {per: tenant, tokens: 1_000_000_000_000}
  - {per: key, concurrent: 1_000_000}
budgets:
  - {per: key, usd: "999999999", every: day, timezone: Europe/Rome}
"""


@app.default
def added(*, rounds: int = 5) -> int:
    """The CPU of a whole 1 KB call on 64 connections: of the worker, and of all processes.

    Args:
        rounds: Turns of each.
    """
    console, problems = Console(), list[str]()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    worker: dict[str, list[float]] = {}
    everything: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        whole_upstream(Path(name)) as upstream,
        valkey(Path(name)) as port,
    ):
        redis = f'redis: {{url: "redis://127.0.0.1:{port}"}}\n'
        variants = (
            Variant("forwarding alone", site=ALONE, more=UNSHED),
            Variant("identity and ledger", more=UNSHED),
            Variant("with three limits and a budget", more=UNSHED + LIMITS),
            Variant("the same in Python", site=IN_PYTHON, more=UNSHED + LIMITS),
            Variant("the same by Redis", more=UNSHED + redis + LIMITS),
        )
        for _ in range(rounds):
            for variant in variants:
                with running(variant, upstream) as gateway:
                    load = Measurement(gateway, FULL, variant.name, problems)
                    load.wrk(whole_request(1000), CASE)
                    before, by_pid = gateway.cpu_s(), gateway.cpu_s_by_pid()
                    calls, _ = load.wrk(whole_request(1000), CASE)
                    time.sleep(0.5)  # the ledger's writer has the rest of it
                    busiest = gateway.busiest_cpu_s(by_pid)
                    worker.setdefault(variant.name, []).append(busiest / calls * 1e6)
                    whole = (gateway.cpu_s() - before) / calls * 1e6
                    everything.setdefault(variant.name, []).append(whole)
    table = Table("", "worker, least", "median", "added", "all processes, least", "added")
    bare, bare_all = min(worker["forwarding alone"]), min(everything["forwarding alone"])
    for name in worker:
        least, whole = min(worker[name]), min(everything[name])
        cells = [least, statistics.median(worker[name]), least - bare, whole, whole - bare_all]
        table.add_row(name, *(f"{cell:.1f} us" for cell in cells))
    console.print(table)
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(app())

"""What identity, limits, budgets and the ledger add to a call within one worker: `python -m
benchmarks.added_in_turns`.

Two starts of one worker differ by more than is asked for: what lies where in memory is decided anew
at each. So these steps are taken out of a worker and put in again in turns of 0.2 s, while it
serves whole 1 KB calls on 64 connections. CPU is that of the loop's thread; what the ledger's
writer costs it, which has the same core, is in it.
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

from benchmarks.added import CASE, LIMITS
from benchmarks.measure import Plan
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.toggled import told_of
from benchmarks.upstreams import whole_upstream
from benchmarks.variant import UNSHED, Variant

app = App(name="python -m benchmarks.added_in_turns", help_format="markdown")

WAYS = ("forwarding alone", "identity and ledger", "with three limits and a budget", "in Python")
_TURN_S = 0.2
_SITE = """\
import json, os, signal, threading, time
from headrace.gateway.identity import Identity
from headrace.gateway.metering import Metering
from headrace.gateway.pipeline import Pipeline
from headrace.nouns import Caller

anybody = Caller(key_id="bench")
real = Identity.identify, Metering.intend, Metering.price, Metering.settle
bare = (
    lambda self, credential, ip="", printed=None: anybody,
    lambda self, call, target, progress: None,
    lambda self, call, progress: None,
    lambda self, call, progress, usage, now: None,
)
pipelines, calls, wanted, ended = [], [0], [], threading.Event()
made, settle = Pipeline.__init__, Pipeline.settle

def noted(self, *given, **named):
    made(self, *given, **named)
    metering, gate = self.parts.metering, self.gate
    pipelines.append((self, gate, metering, metering._steps, {}))

def counted(self, call, progress):
    calls[0] += 1
    settle(self, call, progress)
    if wanted:  # by the loop itself: in the middle of a call none must find another than before
        go(wanted.pop())

def go(way):
    steps = bare if way == WAYS[0] else real
    Identity.identify, Metering.intend, Metering.price, Metering.settle = steps
    for pipeline, gate, metering, in_c, few in pipelines:
        by_c = way != WAYS[3]
        metering._steps = in_c if by_c else None
        for plan in gate._plans.values():
            few.setdefault(id(plan), plan.few)
            plan.few = few[id(plan)] if by_c else None
        pipeline.gate = gate if way in WAYS[2:] else None

def turns():
    clock = time.pthread_getcpuclockid(threading.main_thread().ident)
    turn, told = 0, {way: [] for way in WAYS}
    while not ended.is_set():
        turn += 1
        for way in WAYS if turn % 2 else reversed(WAYS):
            wanted.append(way)
            while wanted and not ended.is_set():
                time.sleep(0.0005)
            time.sleep(0.03)  # for calls that began in the turn before
            before, began = calls[0], time.clock_gettime(clock)
            time.sleep(TURN_S)
            told[way].append((calls[0] - before, time.clock_gettime(clock) - began))
    with open(os.path.join(FOLDER, "told.json"), "w") as file:
        json.dump(told, file)

Pipeline.__init__, Pipeline.settle = noted, counted
signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=turns, daemon=True).start())
signal.signal(signal.SIGUSR2, lambda *_: ended.set())
"""


@app.default
def added_in_turns(*, starts: int = 6, seconds: int = 20) -> int:
    """CPU that these steps add to a call, in the loop's thread.

    Args:
        starts: Workers, one after the other.
        seconds: How long each is measured.
    """
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    problems: list[str] = []
    table, added = Table("", *WAYS), [list[float]() for _ in WAYS]
    for start in range(starts):
        told = _told(seconds, problems)
        bare = [cost for cost, *_ in told]
        cells = [f"{statistics.median(bare):.1f} us"]
        for place in range(1, len(WAYS)):
            more = statistics.median(costs[place] - costs[0] for costs in told)
            added[place].append(more)
            cells.append(f"+{more:.1f} us")
        table.add_row(f"start {start + 1}, {len(told)} turns", *cells)
    middle = [f"+{statistics.median(more):.1f} us" for more in added[1:]]
    table.add_row("median", "", *middle)
    Console().print(table)
    print(*problems, sep="\n")
    return 1 if problems else 0


def _told(seconds: int, problems: list[str]) -> list[list[float]]:
    """By turns, the microseconds of a call in each of `WAYS`."""
    plan = Plan(cases=(CASE,), case_s=seconds, open_loop_s=0.0, streams=0)
    with tempfile.TemporaryDirectory() as name, whole_upstream(Path(name)) as upstream:
        site = f"FOLDER, TURN_S, WAYS = {name!r}, {_TURN_S}, {WAYS!r}\n{_SITE}"
        variant = Variant("in turns", site=site, more=UNSHED + LIMITS)
        told = told_of(variant, upstream, Path(name), plan, problems)
    turns = zip(*(told[way] for way in WAYS), strict=True)
    return [
        [1e6 * cpu_s / calls for calls, cpu_s in turn] for turn in turns if all(c for c, _ in turn)
    ]


if __name__ == "__main__":
    sys.exit(app())

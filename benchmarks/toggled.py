"""What telemetry adds to a call within one worker: `python -m benchmarks.toggled`.

Metrics, lines of the log and traces of 10 % are on and off in turns of 0.1 s in the same process,
while it serves whole 1 KB calls on 32 connections: on a busy machine two processes one after the
other differ by more than is asked for. CPU of the event loop's thread is told by turns; that of the
threads that write, each by its own clock, comes from the calls of all turns in which they had
something to write. `--before SOURCE` has another tree's `src` in turns with this one.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from cyclopts import App

from benchmarks.bodies import whole_request
from benchmarks.measure import Measurement, Plan, running
from benchmarks.peers.base import REPO
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.share import signal_to
from benchmarks.telemetry import CASE, collector
from benchmarks.upstreams import Upstream, whole_upstream
from benchmarks.variant import UNSHED, Variant

app = App(name="python -m benchmarks.toggled", help_format="markdown")

_TURN_S = 0.1
_SITE = """\
import json, os, signal, threading, time
from headrace.edge.worker_telemetry import WorkerTelemetry
from headrace.gateway.pipeline import Pipeline

parts_of, calls, ended, wanted = [], [0], threading.Event(), []
made, settle = WorkerTelemetry.__init__, Pipeline.settle

def noted(self, config, parts, *rest):
    made(self, config, parts, *rest)
    parts_of.append(parts)

def counted(self, call, progress):
    calls[0] += 1
    settle(self, call, progress)
    if wanted:  # by the loop itself: in the middle of a call none must find another than before
        parts_of[0].observer = wanted.pop()

def writing_s():
    names = ("spans", "lines", "metrics")
    found = [thread.ident for thread in threading.enumerate() if thread.name in names]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in found)

def turns():
    parts, observer = parts_of[0], parts_of[0].observer
    clock = time.pthread_getcpuclockid(threading.main_thread().ident)
    turn, told, others = 0, {"on": [], "off": []}, writing_s()
    while not ended.is_set():
        turn += 1
        both = (("on", observer), ("off", None))
        for name, one in both if turn % 2 else reversed(both):
            wanted.append(one)
            while wanted and not ended.is_set():
                time.sleep(0.0005)
            before, began = calls[0], time.clock_gettime(clock)
            time.sleep(TURN_S)
            told[name].append((calls[0] - before, time.clock_gettime(clock) - began))
    time.sleep(1.5)  # for what waits to be written
    told["others_s"] = writing_s() - others
    with open(os.path.join(FOLDER, "told.json"), "w") as file:
        json.dump(told, file)

WorkerTelemetry.__init__, Pipeline.settle = noted, counted
signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=turns, daemon=True).start())
signal.signal(signal.SIGUSR2, lambda *_: ended.set())
"""


@app.default
def toggled(
    *, seconds: int = 20, rounds: int = 1, before: Path | None = None, only: tuple[str, ...] = ()
) -> int:
    """CPU that telemetry adds to a call, in the loop's thread and in those that write.

    Args:
        seconds: How long calls are made in each round.
        rounds: Of each tree.
        before: The `src` of another tree.
        only: Of `metrics`, `logs` and `traces`; all if none is named.
    """
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    problems: list[str] = []
    trees = {"now": REPO / "src"} | ({} if before is None else {"before": before})
    found: dict[str, list[_Told]] = {name: [] for name in trees}
    for turn in range(rounds):
        for name in list(trees) if turn % 2 else reversed(trees):
            found[name].append(_measured(trees[name], seconds, only, problems))
    for name, rounds_of in found.items():
        print(f"{name}: {_summary(rounds_of)}")
    print(*problems, sep="\n")
    return 1 if problems else 0


_Told = dict[str, Any]
"""By "on" and "off" the calls and CPU seconds of each turn, and `others_s` of the threads that
write."""


def _measured(source: Path, seconds: int, only: tuple[str, ...], problems: list[str]) -> _Told:
    plan = Plan(cases=(CASE,), case_s=seconds, open_loop_s=0.0, streams=0)
    with (
        tempfile.TemporaryDirectory() as name,
        whole_upstream(Path(name)) as upstream,
        collector() as url,
    ):
        parts = {
            "metrics": "metrics: true",
            "logs": "logs: json",
            "traces": f'traces: {{to: otlp, url: "{url}", sample_share: 0.1}}',
        }
        wanted = ", ".join(parts[part] for part in only or parts)
        more = f"{UNSHED}telemetry: {{{wanted}}}\n"
        site = f"FOLDER, TURN_S = {name!r}, {_TURN_S}\n{_SITE}"
        variant = Variant("toggled", site=site, more=more, source=source)
        return told_of(variant, upstream, Path(name), plan, problems)


def told_of(
    variant: Variant, upstream: Upstream, folder: Path, plan: Plan, problems: list[str]
) -> dict[str, Any]:
    """Makes the calls of the plan's one case, and what the variant's worker writes of its turns to
    `told.json` in the folder: they begin a second later by SIGUSR1 and end by SIGUSR2."""
    [case] = plan.cases
    with running(variant, upstream) as gateway:
        begin = threading.Timer(1.0, signal_to, (gateway, signal.SIGUSR1))
        begin.start()
        Measurement(gateway, plan, variant.name, problems).wrk(whole_request(1000), case)
        signal_to(gateway, signal.SIGUSR2)
        place = folder / "told.json"
        while not place.exists():
            time.sleep(0.1)
        time.sleep(0.1)
        told: dict[str, Any] = json.loads(place.read_text())
        return told


def _summary(rounds: list[_Told]) -> str:
    pairs = [
        (1e6 * on_s / on, 1e6 * off_s / off)
        for told in rounds
        for (on, on_s), (off, off_s) in zip(told["on"], told["off"], strict=True)
        if on and off
    ]
    added = statistics.median(on - off for on, off in pairs)
    off_us = statistics.median(off for _, off in pairs)
    calls = sum(calls for told in rounds for calls, _ in told["on"])
    others_us = 1e6 * sum(told["others_s"] for told in rounds) / calls
    return (
        f"{len(pairs)} pairs of turns: {off_us:.1f} us of the loop's thread with all off, "
        f"{added:.1f} us more with all on ({added / off_us:.1%}); "
        f"threads that write {others_us:.1f} us"
    )


if __name__ == "__main__":
    sys.exit(app())

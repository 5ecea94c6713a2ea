"""Which share of a worker's CPU goes to identity, limits, budgets and ledger: `python -m
benchmarks.share`.

A timer of CPU time looks at the worker's stack while it serves calls as fast as it can. Where other
work makes everything slower, it makes all steps slower alike: so the share can be told on a machine
that is too busy for microseconds. The timer ticks with the kernel, 100 to 1,000 times a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.added import CASE, LIMITS
from benchmarks.bodies import whole_request
from benchmarks.measure import Measurement, Plan, Running, running
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.upstreams import whole_upstream
from benchmarks.valkey import valkey
from benchmarks.variant import UNSHED, Variant

app = App(name="python -m benchmarks.share", help_format="markdown")

STEPS = {
    "identity": [("gateway/identity.py", "identify")],
    "limits and budgets, before": [("gateway/limits/gate.py", "admit")],
    "limits and budgets, after": [
        ("gateway/limits/memory.py", "settle"),
        ("gateway/limits/shared.py", "settle"),
    ],
    "questions to Redis": [
        ("gateway/limits/shared.py", "run"),
        ("gateway/limits/gate.py", "_awaited"),
        ("data/redis_wire.py", "data_received"),
    ],
    "price": [("gateway/metering.py", "price")],
    "journal": [("gateway/metering.py", "intend"), ("gateway/metering.py", "settle")],
}
_SAMPLER = """\
import collections, json, os, signal

seen = collections.Counter()

def look(number, frame):
    seen[""] += 1
    while frame is not None:
        code = frame.f_code
        seen[code.co_filename.rpartition("headrace/")[2] + ":" + code.co_name] += 1
        frame = frame.f_back

def begin(*_):
    seen.clear()
    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)

def end(*_):
    signal.setitimer(signal.ITIMER_PROF, 0)
    with open(os.path.join(FOLDER, f"{os.getpid()}.json"), "w") as file:
        json.dump(seen, file)

signal.signal(signal.SIGUSR1, begin)
signal.signal(signal.SIGUSR2, end)
"""


@app.default
def share(*, seconds: int = 20, redis: bool = False) -> int:
    """By steps, of a whole 1 KB call on 64 connections.

    Args:
        seconds: How long it is looked at.
        redis: Whether the counts are in a real Valkey.
    """
    console, problems = Console(), list[str]()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    plan = Plan(cases=(CASE,), case_s=seconds, open_loop_s=0.0, streams=0)
    with (
        tempfile.TemporaryDirectory() as name,
        whole_upstream(Path(name)) as upstream,
        valkey(Path(name)) as port,
    ):
        more = UNSHED + (f'redis: {{url: "redis://127.0.0.1:{port}"}}\n' if redis else "") + LIMITS
        variant = Variant("share", site=f"FOLDER = {name!r}\n{_SAMPLER}", more=more)
        with running(variant, upstream) as gateway:
            time.sleep(1.0)
            before = gateway.cpu_s_by_pid()
            began = threading.Timer(1.0, signal_to, (gateway, signal.SIGUSR1))
            began.start()
            Measurement(gateway, plan, variant.name, problems).wrk(whole_request(1000), CASE)
            signal_to(gateway, signal.SIGUSR2)
            time.sleep(1.0)
            after = gateway.cpu_s_by_pid()
        used = {pid: cpu - before.get(pid, 0.0) for pid, cpu in after.items()}
        worker = max(used, key=lambda pid: used[pid])
        seen = json.loads((Path(name) / f"{worker}.json").read_text())
    table = Table("", "of the worker's CPU", "times forwarding alone")
    found = {
        step: sum(seen.get(f"{file}:{function}", 0) for file, function in frames) / seen[""]
        for step, frames in STEPS.items()
    }
    alone = 1.0 - sum(found.values())
    for step, part in found.items():
        table.add_row(step, f"{part:.1%}", f"{part / alone:.3f}")
    table.add_row("all of it", f"{1.0 - alone:.1%}", f"{(1.0 - alone) / alone:.3f}")
    others = (sum(used.values()) - used[worker]) / used[worker]
    table.add_row("other processes beside it", f"{others:.1%}", f"{others / alone:.3f}")
    console.print(table, f"{seen['']:,} looks", *problems, sep="\n")
    return 1 if problems else 0


def signal_to(gateway: Running, number: signal.Signals) -> None:
    """To those processes of the gateway that have a handler for it."""
    for pid in gateway.cpu_s_by_pid():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            if caught & (1 << (number - 1)):
                os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(app())

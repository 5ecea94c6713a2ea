"""Whether calls are slower while the console is open in 20 tabs: `python -m benchmarks.tabs`.

One gateway with its admin port, whole 1 KB calls on 64 connections, in turns without a tab and with
20 that each read the live overview. All of the gateway's processes share one core here, so that
what the console takes is missing for calls. Each tab is a connection with server-sent events, as a
browser holds it.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.bodies import whole_request
from benchmarks.measure import FULL, Measurement, Running, WholeCase, running
from benchmarks.peers.base import REPO, Command
from benchmarks.processes import free_port, load_cores, raise_file_limit
from benchmarks.source_tree import SourceTree
from benchmarks.upstreams import whole_upstream

app = App(name="python -m benchmarks.tabs", help_format="markdown")

CASE = WholeCase(1, 64)
TABS = 20
KEY = "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"


class WithConsole(SourceTree):
    """This tree with its admin port."""

    def __init__(self) -> None:
        super().__init__("headrace", REPO / "src")
        self.url = ""

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        config, admin = folder / "headrace.yaml", free_port()
        self.url = f"http://127.0.0.1:{admin}"
        config.write_text(f"{config.read_text()}admin: {{port: {admin}, key: env:ADMIN_KEY}}\n")
        command.env["ADMIN_KEY"] = KEY
        return command


class Tab:
    """Reads the live overview until it is closed. Counts events."""

    def __init__(self, url: str, cookies: httpx.Cookies) -> None:
        self.events = 0
        self._http = httpx.Client(base_url=url, cookies=cookies, timeout=30)
        self._closing = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(httpx.HTTPError), self._http.stream("GET", "/console/live") as got:
            for line in got.iter_lines():
                self.events += line.startswith("event: parts")
                if self._closing:
                    return

    def close(self) -> None:
        self._closing = True
        self._thread.join(30)
        self._http.close()


@contextmanager
def tabs(url: str, number: int) -> Iterator[list[Tab]]:
    """So many, of somebody who is signed in; each has shown something."""
    with httpx.Client(base_url=url, timeout=30) as http:
        form = re.search(r'name="csrf" value="([^"]+)"', http.get("/console/sign-in").text)
        assert form is not None
        said = {"csrf": form[1], "credential": KEY}
        assert http.post("/console/sign-in", data=said).status_code == 303
        opened = [Tab(url, http.cookies) for _ in range(number)]
        ends = time.monotonic() + 30
        while any(not tab.events for tab in opened) and time.monotonic() < ends:
            time.sleep(0.1)
        try:
            yield opened
        finally:
            for tab in opened:
                tab.close()


@app.default
def measured(*, rounds: int = 5, case_s: int = 5) -> int:
    """Calls a second, and the CPU of the worker and of all processes.

    Args:
        rounds: Turns of each.
        case_s: Seconds of each run.
    """
    console, problems = Console(), list[str]()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    plan, peer = replace(FULL, case_s=case_s), WithConsole()
    found: dict[int, list[tuple[float, float, float]]] = {0: [], TABS: []}
    with (
        tempfile.TemporaryDirectory() as name,
        whole_upstream(Path(name)) as upstream,
        running(peer, upstream) as gateway,
    ):
        load = Measurement(gateway, plan, "headrace", problems)
        load.wrk(whole_request(1000), CASE)
        for turn in range(rounds):
            for number in (0, TABS) if turn % 2 else (TABS, 0):
                with tabs(peer.url, number) as opened:
                    found[number].append(_run(load, gateway))
                    if any(not tab.events for tab in opened):
                        problems.append("a tab was shown nothing")
    table = Table("tabs", "calls/s, median", "worker, us a call", "all processes, us a call")
    for number, runs in found.items():
        cells = [statistics.median(column) for column in zip(*runs, strict=True)]
        table.add_row(str(number), f"{cells[0]:,.0f}", f"{cells[1]:.1f}", f"{cells[2]:.1f}")
    console.print(table)
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    return 1 if problems else 0


def _run(load: Measurement, gateway: Running) -> tuple[float, float, float]:
    before, by_pid = gateway.cpu_s(), gateway.cpu_s_by_pid()
    calls, took_s = load.wrk(whole_request(1000), CASE)
    busiest = gateway.busiest_cpu_s(by_pid)
    return calls / took_s, 1e6 * busiest / calls, 1e6 * (gateway.cpu_s() - before) / calls


if __name__ == "__main__":
    app()

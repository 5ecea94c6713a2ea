"""What telemetry adds to a call, in one run: `python -m benchmarks.telemetry`.

One tree beside itself, with metrics, lines of the log, traces and all three on, in turns: CPU of a
whole 1 KB call on 32 connections, of all processes. Traces go to a collector on a real socket that
takes everything; lines go to a file. `--before SOURCE` has another tree's `src` in the same run.
"""

from __future__ import annotations

import http.server
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.bodies import whole_request
from benchmarks.measure import FULL, Measurement, WholeCase, running
from benchmarks.peers.base import REPO, Command
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.source_tree import SourceTree
from benchmarks.upstreams import whole_upstream

app = App(name="python -m benchmarks.telemetry", help_format="markdown")

CASE = WholeCase(1, 32)
_METRICS = "metrics: true"
_LINES = "logs: json"


class Variant(SourceTree):
    """A tree with some of its telemetry on."""

    def __init__(self, name: str, source: Path, on: tuple[str, ...]) -> None:
        super().__init__(name, source)
        self._on = on

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        if self._on:
            config = folder / "headrace.yaml"
            config.write_text(f"{config.read_text()}telemetry: {{{', '.join(self._on)}}}\n")
        return command


class _Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def collector() -> Iterator[str]:
    """Its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@app.default
def telemetry(
    *,
    rounds: int = 5,
    before: Path | None = None,
    case_s: int = 3,
    only: tuple[str, ...] = (),
) -> int:
    """The CPU of a whole call with parts of telemetry on.

    Args:
        rounds: Turns of each.
        before: The `src` of another tree, measured off and with all on too.
        case_s: Seconds of each run.
        only: Names of what is measured beside "off"; everything if none is given.
    """
    console, problems = Console(), list[str]()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    found: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        whole_upstream(Path(name)) as upstream,
        collector() as url,
    ):
        traces = f'traces: {{to: otlp, url: "{url}", sample_share: 0.1}}'
        every = (_METRICS, _LINES, traces)
        variants = [
            Variant(what, REPO / "src", on)
            for what, on in (
                ("off", ()), ("metrics", (_METRICS,)), ("lines of the log", (_LINES,)),
                ("traces of 10 %", (traces,)), ("all three", every),
            )
        ]  # fmt: skip
        if before is not None:
            variants += [
                Variant("off before", before, ()),
                Variant("all three before", before, every),
            ]
        if only:
            variants = [v for v in variants if v.name in only or v.name.startswith("off")]
        plan = replace(FULL, case_s=case_s)
        for turn in range(rounds):
            for variant in variants if turn % 2 else reversed(variants):
                with running(variant, upstream) as gateway:
                    load = Measurement(gateway, plan, variant.name, problems)
                    load.wrk(whole_request(1000), CASE)
                    began = gateway.cpu_s()
                    calls, _ = load.wrk(whole_request(1000), CASE)
                    time.sleep(1.5)  # the threads and the ledger's writer have the rest of it
                    found.setdefault(variant.name, []).append((gateway.cpu_s() - began) / calls)
    table = Table("", "least", "median", "more than off, least", "median of the pairs")
    for variant in variants:
        used = [1e6 * one for one in found[variant.name]]
        off = [1e6 * one for one in found["off before" if "before" in variant.name else "off"]]
        pairs = statistics.median(a - b for a, b in zip(used, off, strict=True))
        cells = (min(used), statistics.median(used), min(used) - min(off), pairs)
        table.add_row(variant.name, *(f"{cell:.1f} us" for cell in cells))
    console.print(table)
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    return 1 if problems else 0


if __name__ == "__main__":
    app()

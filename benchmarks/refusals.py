"""What it costs to refuse a call for overload: `python -m benchmarks.refusals`.

One gateway that takes itself for overloaded (by the memory that it has in use) and refuses calls of
the class `batch`: CPU of its worker for each, from clients that keep their connections and from
such that open one for each call. `--before SOURCE` has another tree's `src` in the same run.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.bodies import whole_request
from benchmarks.measure import Running, running
from benchmarks.peers.base import REPO, Command
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.source_tree import SourceTree
from benchmarks.upstreams import whole_upstream

app = App(name="python -m benchmarks.refusals", help_format="markdown")

BATCH_KEY = "sk-benchmark-batch-key-000000000000"
AT_ONCE = 8
_OVERLOADED = "resilience: {shedding: {batch_memory_share: 0.0001}}\n"


class Overloaded(SourceTree):
    """A tree whose gateway refuses all calls of one key."""

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        config = folder / "headrace.yaml"
        batch = "  batch: {secret: env:BATCH_KEY, priority: batch}\n"
        config.write_text(
            config.read_text().replace("backends:", f"{batch}backends:") + _OVERLOADED
        )
        command.env["BATCH_KEY"] = BATCH_KEY
        return command


def request(connection: str) -> bytes:
    body = whole_request(1000)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
        f"Authorization: Bearer {BATCH_KEY}\r\nContent-Type: application/json\r\n"
        f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def refusals(gateway: Running, connection: str, count: int) -> float:
    """Microseconds of the worker's CPU for each of so many. Raises RuntimeError if one is none."""
    host, _, port = gateway.endpoint.base_url[len("http://") : -len("/v1")].partition(":")
    asked, lines = request(connection), list[socket.socket]()
    before = gateway.cpu_s_by_pid()
    for _ in range(count // AT_ONCE):
        if not lines:
            lines = [socket.create_connection((host, int(port)), 10) for _ in range(AT_ONCE)]
        for line in lines:
            line.sendall(asked)
        for line in lines:
            answer = line.recv(4096)
            if not answer.startswith(b"HTTP/1.1 503 ") or b'"overloaded"' not in answer:
                raise RuntimeError(f"this is no refusal: {answer[:300]!r}")
        if connection == "close":
            for line in lines:
                line.close()
            lines = []
    for line in lines:
        line.close()
    return gateway.busiest_cpu_s(before) / count * 1e6


@app.default
def compare(*, rounds: int = 5, count: int = 16_000, before: Path | None = None) -> int:
    """The worker's CPU for a refusal.

    Args:
        rounds: Turns of each gateway.
        count: Calls of each kind in a turn.
        before: The `src` of another tree, measured too.
    """
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    trees = [Overloaded("this tree", REPO / "src")]
    if before is not None:
        trees.append(Overloaded("before", before))
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, whole_upstream(Path(name)) as upstream:
        for turn in range(rounds):
            for tree in trees if turn % 2 else reversed(trees):
                with running(tree, upstream) as gateway:
                    for connection in ("keep-alive", "close"):
                        refusals(gateway, connection, 400)
                        cost_us = refusals(gateway, connection, count)
                        found.setdefault((tree.name, connection), []).append(cost_us)
    table = Table("", "connection", "least", "median")
    for (who, connection), costs_us in sorted(found.items()):
        cells = (min(costs_us), statistics.median(costs_us))
        table.add_row(who, connection, *(f"{cell:.1f} us" for cell in cells))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(app())

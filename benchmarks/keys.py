"""Whether a call costs more where there are many keys: `python -m benchmarks.keys`.

This tree with few keys and with many, each under three limits and its team's budget, in turns. Each
call comes with a key by chance, so that no head comes twice on a connection. Keys are first called
with for as long as it takes that nearly all of them were: what a key's first call costs, where its
rules are looked up, is told by itself.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.bodies import whole_request
from benchmarks.measure import Running, running
from benchmarks.peers.base import Command
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.upstreams import whole_upstream
from benchmarks.variant import UNSHED, Variant
from headrace.config.terms import KeyTerms
from headrace.data.registry.key_text import CLIENT, digest, mint, new_id
from headrace.data.registry.records import KeyRecord, Version, row_of
from headrace.data.registry.sqlite import FILE_NAME, SqliteRows

app = App(name="python -m benchmarks.keys", help_format="markdown")

CONNECTIONS = 64
KEYS_OF_A_TEAM = 10
_RULES = """
limits:
  - {per: user, requests: 1_000_000_000}
  - {per: key, tokens: 1_000_000_000_000}
  - {per: key, concurrent: 1_000_000}
budgets:
  - {per: team, usd: "999999999", every: day, timezone: Europe/Rome}
"""


class Keyed(Variant):
    """This tree, with so many keys in its registry."""

    def __init__(self, keys: int) -> None:
        super().__init__(f"keys-{keys}", more=UNSHED + _RULES)
        self._keys = keys

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        texts, records = [], []
        for number in range(self._keys):
            key_id = new_id()
            text = mint(CLIENT, key_id)
            texts.append(text)
            records.append(
                KeyRecord(
                    id=key_id,
                    name=f"key {number}",
                    terms=KeyTerms(user=f"user-{number}", team=f"team-{number // KEYS_OF_A_TEAM}"),
                    versions=(Version(digest(text.encode()), time.time()),),
                    created_unix_s=time.time(),
                    created_by="benchmark",
                )
            )
        rows = SqliteRows(folder / "store" / FILE_NAME)
        rows.put([row_of(record) for record in records])
        rows.close()
        (folder / "keys.txt").write_text("\n".join(texts) + "\n")
        return command


@app.default
def keys(*, many: int = 100_000, few: int = 100, rounds: int = 2, warm_s: int = 45) -> int:
    """The worker's CPU of a whole 1 KB call on 64 connections.

    Args:
        many: Keys of the one.
        few: Keys of the other.
        rounds: Turns of each.
        warm_s: How long many keys are called with before it is measured.
    """
    console, problems = Console(), list[str]()
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name, whole_upstream(Path(name)) as upstream:
        for _ in range(rounds):
            for count, first_s in ((few, 2), (many, warm_s)):
                variant = Keyed(count)
                with running(variant, upstream) as gateway:
                    first_us = _worker_us(gateway, min(first_s, 5), variant.name, problems)
                    if first_s > 5:
                        _worker_us(gateway, first_s - 5, variant.name, problems)
                    us = min(_worker_us(gateway, 5, variant.name, problems) for _ in range(2))
                    found.setdefault(variant.name, []).append((first_us, us))
    table = Table("", "worker, first calls, least", "worker, later calls, least", "each")
    for who, readings in found.items():
        each = ", ".join(f"{us:.0f}" for _, us in readings)
        first, later = (min(column) for column in zip(*readings, strict=True))
        count = int(who.partition("-")[2])
        what = f"{count:,} keys, {count // KEYS_OF_A_TEAM:,} budgets"
        table.add_row(what, f"{first:.1f} us", f"{later:.1f} us", each)
    console.print(table)
    for problem in problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    return 1 if problems else 0


def _worker_us(gateway: Running, seconds: int, who: str, problems: list[str]) -> float:
    """CPU of a call in the busiest process, under calls with keys by chance for so long."""
    body = gateway.folder / "request.json"
    body.write_bytes(whole_request(1000))
    before = gateway.cpu_s_by_pid()
    how = (f"-c{CONNECTIONS}", f"-d{seconds}s")
    summary, fault = gateway.posted(how, body, gateway.folder / "keys.txt")
    if fault is not None:
        problems.append(f"{who}: {fault}")
    return float(gateway.busiest_cpu_s(before) / summary["calls"] * 1e6)


if __name__ == "__main__":
    sys.exit(app())

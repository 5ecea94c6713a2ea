"""How fast the journal is drained, how fast `headrace usage` and `headrace savings` answer, and how
fast a call is found by its id: `python -m benchmarks.ledger`.

The drain reads a real journal into SQLite, synced as in production. Usage is asked of a store of
many rows, made in batches by the same code that the writer uses; its calls are spread over 90 days,
by chance over users, keys, models and backends; a cache answers three of ten.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from headrace.data.database import Row
from headrace.data.draining import Drain, chain_name
from headrace.data.journal import Journal
from headrace.data.ledger import Ledger
from headrace.data.ledger_calls import Calls
from headrace.data.ledger_rows import Bound, row_of
from headrace.data.ledger_savings import Savings
from headrace.data.ledger_usage import Usage
from headrace.data.records import Intent, Settlement
from headrace.data.segments import Place
from headrace.data.sqlite import Sqlite

DAYS = 90
DAY_S = 86_400
BEGAN_S = 1_767_225_600  # 1 January 2026
BATCH = 20_000
CACHED = 0.3
SAVINGS: list[tuple[str, list[str], int]] = [
    ("in all", [], 0),
    ("by day", [], DAY_S),
    ("by user", ["user"], 0),
    ("by region, from the rows", ["region"], 0),
]
QUESTIONS: list[tuple[str, list[str], dict[str, str], int]] = [
    ("the whole time by team", ["team"], {}, 0),
    ("by user", ["user"], {}, 0),
    ("by team and model, daily", ["team", "model"], {}, DAY_S),
    ("one user by model, hourly", ["model"], {"user": "user-7"}, 3600),
    ("one team's budget", [], {"team": "team-3"}, 0),
]


class Made:
    """Settlements thrown by dice: 200 users in 20 teams, 4 models, 2 backends each."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def one(self, seq: int, number: int, at_s: float) -> Settlement:
        dice = self._dice
        user, model = dice.randrange(200), dice.randrange(4)
        made = Settlement(
            seq, number, int(at_s * 1e6), f"{dice.getrandbits(96):024x}", "openai", "chat",
            f"model-{model}", f"key-{user % 50}", "default", 200, "complete", "upstream", 1,
            dice.randrange(10**6), f"backend-{2 * model + dice.randrange(2)}", "eastus",
            f"model-{model}", f"team-{user % 20}", f"user-{user}", (), False,
            dice.randrange(4000), dice.randrange(800), 0, 0, 0, 0, "upstream",
            dice.randrange(20_000), 0, "genai-prices", dice.randrange(10**5),
        )  # fmt: skip
        if dice.random() >= CACHED:
            return made
        return replace(made, answered_by="cache", cache_tier="exact", cost_microusd=0,
                       saved_microusd=made.cost_microusd)  # fmt: skip


def drain_rate(folder: Path, calls: int) -> tuple[float, float]:
    """Rows a second and CPU microseconds a row, of a journal with `calls` whole calls."""
    journal, made = Journal(folder), Made(1)
    for _ in range(calls):
        number, at_s = journal.next_seq, BEGAN_S + DAYS * DAY_S
        ended = made.one(number + 1, number, at_s)
        journal.append(
            Intent(
                number, number, 1, int(at_s * 1e6), ended.call, "openai", "chat", ended.model,
                ended.key, ended.tenant, str(ended.backend), "openai", ended.model, "eastus",
                ended.used_model, ended.team, ended.user, (), False, 250,
            )
        )  # fmt: skip
        journal.append(ended)
    kept = Sqlite(folder / "ledger.sqlite")
    drain = Drain(folder, Ledger(kept, chain_name(folder)), lambda _: Bound(0, 0, 0, ""))
    began, cpu = time.perf_counter(), _cpu_s()
    rows, more = 0, True
    while more:
        turn = drain.turn()
        rows, more = rows + turn.rows, turn.more
    took_s, used_s = time.perf_counter() - began, _cpu_s() - cpu
    assert rows == calls
    journal.close()
    kept.close()
    return rows / took_s, 1e6 * used_s / rows


def make_store(folder: Path, rows: int) -> None:
    """Fills `folder/ledger.sqlite`."""
    kept = Sqlite(folder / "ledger.sqlite")
    ledger = Ledger(kept, chain_name(folder))
    ledger.open()
    run = ledger.begin_run("benchmark")
    began = time.perf_counter()
    for n, some in enumerate(_batches(run.id, rows)):
        batch = ledger.batch()
        batch.add(some)
        batch.moves.append((run, Place(0, n + 1), False))
        ledger.commit(batch)
        if n % 50 == 49:
            done = (n + 1) * BATCH
            rate = done / (time.perf_counter() - began)
            print(f"  {done:,} rows, {rate:,.0f} rows/s", file=sys.stderr)
    ledger.close_days(BEGAN_S + DAYS * DAY_S)
    kept.close()


def _batches(run: int, rows: int) -> Iterator[list[Row]]:
    made = Made(2)
    for first in range(0, rows, BATCH):
        numbers = range(first, min(first + BATCH, rows))
        yield [row_of(run, made.one(n, n, BEGAN_S + DAYS * DAY_S * n / rows), ()) for n in numbers]


def answer_times(folder: Path, repeats: int) -> list[tuple[str, int, float, float]]:
    """Question, lines of its answer, seconds in the median and of CPU in the median; each on a new
    connection."""
    found = []
    for name, by, where, step_s in QUESTIONS:
        times, cpu = [], []
        for _ in range(repeats):
            kept = Sqlite(folder / "ledger.sqlite", read_only=True)
            began, used_s = time.perf_counter(), _cpu_s()
            lines = Usage(kept).lines(by, where, BEGAN_S + 1234.5, None, step_s)
            times.append(time.perf_counter() - began)
            cpu.append(_cpu_s() - used_s)
            kept.close()
        found.append((name, len(lines), statistics.median(times), statistics.median(cpu)))
    return found


def savings_times(folder: Path, repeats: int) -> list[tuple[str, float]]:
    """Question, and seconds in the median; each on a new connection."""
    found = []
    for name, by, step_s in SAVINGS:
        times = []
        for _ in range(1 if "rows" in name else repeats):
            kept = Sqlite(folder / "ledger.sqlite", read_only=True)
            began = time.perf_counter()
            Savings(kept).lines(by, {}, BEGAN_S + 1234.5, None, step_s)
            times.append(time.perf_counter() - began)
            kept.close()
        found.append((name, statistics.median(times)))
    return found


def search_times(folder: Path, calls: int) -> list[float]:
    """Seconds to find calls by their ids within all days."""
    kept = Sqlite(folder / "ledger.sqlite", read_only=True)
    ((last,),) = kept.read("SELECT MAX(position) FROM ledger")
    dice, times = random.Random(3), []
    for _ in range(calls):
        position = dice.randrange(1, int(last or 0) + 1)
        ((call,),) = kept.read(
            "SELECT call FROM ledger WHERE chain = 1 AND position = ?", (position,)
        )
        began = time.perf_counter()
        assert len(Calls(kept).page({"call": str(call)}, None, 0, None, None, 100)) == 1
        times.append(time.perf_counter() - began)
    kept.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the store")
    parser.add_argument("--calls", type=int, default=200_000, help="calls that are drained")
    parser.add_argument("--store", type=Path, help="folder to keep the store in, or to find it")
    options = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as the writer does
    folder = Path(tempfile.mkdtemp(prefix="headrace-ledger-"))
    try:
        rate, cpu_us = drain_rate(folder / "drain", options.calls)
        print(f"drain: {rate:,.0f} rows/s, {cpu_us:.1f} us of CPU a row")
        kept = options.store or folder / "store"
        kept.mkdir(parents=True, exist_ok=True)
        if not (kept / "ledger.sqlite").exists():
            make_store(kept, options.rows)
        size = (kept / "ledger.sqlite").stat().st_size
        print(f"store: {options.rows:,} rows, {size / 1e9:.1f} GB")
        for name, lines, median_s, cpu_s in answer_times(kept, 5):
            print(
                f"usage, {name}: {1000 * median_s:.0f} ms, of CPU {1000 * cpu_s:.0f} ms, "
                f"{lines:,} lines"
            )
        for name, median_s in savings_times(kept, 5):
            print(f"savings, {name}: {1000 * median_s:.0f} ms")
        times = search_times(kept, 50)
        print(f"a call by its id: {1000 * statistics.median(times):.1f} ms in the median, "
              f"{1000 * max(times):.1f} ms at most")  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

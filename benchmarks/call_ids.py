"""What a row costs the ledger's writer by the ids that calls have: `python -m benchmarks.call_ids`.

A quiet gateway's turns, of a few calls each, into a store that has many calls of the hour already:
with ids of the gateway, and with such that are chance throughout, as some clients send them.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.journal import records_of
from headrace.data.draining import Drain, chain_name
from headrace.data.journal import Journal
from headrace.data.ledger import Ledger
from headrace.data.ledger_rows import Bound
from headrace.data.sqlite import Sqlite
from headrace.edge.correlation import correlation_id

AT_ONCE = 5_000
"""Calls of a turn while the store is filled."""


def row_costs(
    folder: Path, made: Callable[[], str], before: int, turns: int, calls: int
) -> tuple[float, float]:
    """Microseconds of CPU and bytes written of a row, in so many turns of so many calls, after so
    many calls before."""
    journal, kept = Journal(folder), Sqlite(folder / "ledger.db")
    drain = Drain(folder, Ledger(kept, chain_name(folder)), lambda _: Bound(0, 0, 0, ""))

    cpu_s = 0.0

    def turn(count: int) -> None:
        nonlocal cpu_s
        for _ in range(count):
            for record in records_of(journal.next_seq, made()):
                journal.append(record)
        began = time.process_time()
        while drain.turn().more:
            pass
        cpu_s += time.process_time() - began

    for _ in range(before // AT_ONCE):
        turn(AT_ONCE)
    cpu_s, written = 0.0, _written_bytes()
    for _ in range(turns):
        turn(calls)
    rows = turns * calls
    costs = cpu_s / rows * 1e6, (_written_bytes() - written) / rows
    journal.close()
    kept.close()
    return costs


def _written_bytes() -> int:
    """By this process, as the kernel counts what is to reach the disk, the journal too."""
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, count = line.partition(": ")
        if name == "write_bytes":
            return int(count)
    raise RuntimeError("this kernel does not count what a process writes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=int, default=100_000, help="calls of the hour")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--calls", type=int, default=50, help="of each turn")
    options = parser.parse_args()
    dice = random.Random(1)
    kinds: dict[str, Callable[[], str]] = {
        "chance": lambda: dice.randbytes(12).hex(),
        "the gateway's": partial(correlation_id, None),
    }
    for name, made in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            us, size = row_costs(Path(folder), made, options.before, options.turns, options.calls)
        print(f"ids of {name}: {us:.1f} us of CPU and {size:,.0f} bytes written a row")


if __name__ == "__main__":
    main()

"""What it costs to write a call into the journal: `python -m benchmarks.journal`.

An intent and a settlement, as a worker writes them. The processor's caches are emptied before each
call, as the rest of a call's way does: in a tight loop it would cost less than it ever does. To
compare it with another commit's, run it in turns with that one's `src` as PYTHONPATH.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from headrace.data.journal import Journal
from headrace.data.records import Intent, Settlement

CACHE_BYTES = 700_000
"""More than the second level of one core holds."""


def calls_us(folder: Path, calls: int) -> list[float]:
    """Microseconds of CPU of each call, of which some make pages for those after them."""
    emptied, zeros = bytearray(CACHE_BYTES), bytes(CACHE_BYTES)
    written, took = Journal(folder), []
    for number in range(calls):
        intent, settlement = records_of(written.next_seq, f"{number:024x}")
        emptied[:] = zeros
        began = time.thread_time_ns()
        written.append(intent)
        written.append(settlement)
        took.append((time.thread_time_ns() - began) / 1000)
    written.close()
    return took


def records_of(seq: int, call: str) -> tuple[Intent, Settlement]:
    at_us = time.time_ns() // 1000
    intent = Intent(
        seq, seq, 1, at_us, call, "openai", "chat", "gpt-4o-mini", "bench", "default", "up",
        "openai", "gpt-4o", input_tokens=250, output_tokens=200, bound_microusd=2625,
    )  # fmt: skip
    settlement = Settlement(
        seq + 1, seq, at_us, call, "openai", "chat", "gpt-4o-mini", "bench", "default", 200,
        "complete", "upstream", 1, 12_345, "up", input_tokens=250, output_tokens=90,
        usage_source="upstream", cost_microusd=1525, price_version="2026-11-01", ttft_us=12_000,
    )  # fmt: skip
    return intent, settlement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4_000, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    means, medians = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            took = calls_us(Path(folder), options.calls)
        means.append(statistics.fmean(took))
        medians.append(statistics.median(took))
    print(f"mean of a call {min(means):.1f} us, median {min(medians):.1f} us: the least of each")


if __name__ == "__main__":
    main()

"""The sums of many simulated hours."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from simulation.hour import Result, live

_PLACE = re.compile(r"^[ABC] | for \d+ s$")
"""What a mishap says of where and how long."""


def live_all(seeds: Iterable[int], jobs: int) -> Iterator[Result]:
    """In the order of the seeds, in processes of their own."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(live, seeds, chunksize=16)


class Totals:
    """Adds up results, in the order of their seeds."""

    def __init__(self) -> None:
        self.hours = self.calls = self.attempts = 0
        self.ends: Counter[str] = Counter()
        self.mishaps: Counter[str] = Counter()
        self.recovery_s = self.slow_recovery_s = self.cpu_s = 0.0
        self.failed: list[Result] = []
        self._hash = hashlib.blake2b(digest_size=8)

    def add(self, result: Result) -> None:
        self.hours += 1
        self.cpu_s += result.cpu_s
        self.calls += result.calls
        self.attempts += result.attempts
        self.ends.update(result.ends)
        self.mishaps.update(_PLACE.sub("", what) for _, what in result.mishaps)
        self.recovery_s = max(self.recovery_s, result.recovery_s)
        self.slow_recovery_s = max(self.slow_recovery_s, result.slow_recovery_s)
        self._hash.update(result.trace.encode())
        if result.breaches:
            self.failed.append(result)

    @property
    def trace(self) -> str:
        """Of all hours: equal if every event of every hour was."""
        return self._hash.hexdigest()

    def as_dict(self, took_s: float, jobs: int) -> dict[str, Any]:
        """For machines."""
        return {
            "hours": self.hours,
            "processes": jobs,
            "took_s": round(took_s, 3),
            "hours_per_minute": round(self.hours / took_s * 60),
            "cpu_s": round(self.cpu_s, 3),
            "calls": self.calls,
            "attempts": self.attempts,
            "ends": dict(self.ends),
            "mishaps": dict(self.mishaps),
            "recovery_s": self.recovery_s,
            "slow_recovery_s": self.slow_recovery_s,
            "trace": self.trace,
            "failed": [
                {
                    "seed": result.seed,
                    "trace": result.trace,
                    "breaches": [breach._asdict() for breach in result.breaches],
                    "replay": f"make simulate SEED={result.seed}",
                }
                for result in self.failed
            ],
        }

"""Processes that stand still, as on a busy machine: who tests only on a quiet one finds out in CI.

    PYTHONPATH=tests .venv/bin/pytest -p support.stalls PATH

Stops one process after another for up to a second, at moments of chance: that of the tests, and
those that they began. A test that fails so holds only where things come in one order or in time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

SHORTEST_S, LONGEST_S = 0.2, 1.0
REST_S = 2.0
"""At most, from one to the next."""


def pytest_configure(config: pytest.Config) -> None:
    process = subprocess.Popen([sys.executable, "-P", __file__, str(os.getpid())])

    def end() -> None:
        process.terminate()
        process.wait()

    config.add_cleanup(end)


def _family(pid: int) -> Iterator[int]:
    """A process and all that it began, and they in turn."""
    yield pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _runs(pid: int) -> bool:
    """Not ended, and not stopped by a test."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "RSD"
    return False


def _stop_for_a_while(pid: int, for_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)


def _main(tests: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # whoever is stopped goes on
    chance = Random()
    while os.getppid() == tests:
        time.sleep(chance.uniform(SHORTEST_S, REST_S))
        victims = [pid for pid in _family(tests) if pid != os.getpid() and _runs(pid)]
        if victims:
            _stop_for_a_while(chance.choice(victims), chance.uniform(SHORTEST_S, LONGEST_S))


if __name__ == "__main__":
    _main(int(sys.argv[1]))

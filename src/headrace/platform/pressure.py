"""How busy this process is: lateness of its event loop and of what waits in line for its turns, and
memory in use against its limit."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

EVERY_S = 0.05
MEMORY_EVERY = 10
"""Measurements of lag to one of memory, which costs a few system calls."""
UNLIMITED = 1 << 60
"""Control groups of the first version write "no limit" as a number about this large."""

LASTING_S = 0.25
LEAST_LAGS = 2
LAGS_KEPT = 5
"""As many as `LASTING_S` may hold."""

OnPressure = Callable[[float, float | None], object]
"""Gets seconds of lag, and the share of memory in use or None."""


class PressureGauge:
    """Measures while it runs. Its timer is late by as much as any other callback would be; `wait_s`
    tells for how long work has waited that is put off lest the loop be late."""

    def __init__(
        self,
        on_pressure: OnPressure,
        memory: Memory | None,
        every_s: float = EVERY_S,
        wait_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._on_pressure = on_pressure
        self._memory = memory
        self._every_s = every_s
        self._wait_s = wait_s
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._count = 0
        self._memory_share: float | None = None

    def start(self) -> None:
        """On the running loop."""
        self._plan(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self._every_s
        self._timer = loop.call_at(self._due, self._measure, loop)

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        lag_s = max(0.0, loop.time() - self._due, self._wait_s())
        if self._memory is not None and self._count % MEMORY_EVERY == 0:
            self._memory_share = self._memory.share()
        self._count += 1
        self._plan(loop)
        self._on_pressure(lag_s, self._memory_share)


def lasting_lag_s(lags_s: Sequence[float]) -> float:
    """One stall is no overload: the least of the last measurements counts, of as many as make up
    `LASTING_S`. These are few where the loop is very late, else it would be seen too late."""
    least_s, span_s = math.inf, 0.0
    for count, lag_s in enumerate(reversed(lags_s), 1):
        least_s = min(least_s, lag_s)
        span_s += EVERY_S + lag_s
        if count >= LEAST_LAGS and span_s >= LASTING_S:
            return least_s
    return 0.0


class Memory:
    """Memory of this process against the limit of its control group, or the machine's memory.

    `proc` and `cgroup` are where Linux shows them.
    """

    def __init__(self, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> None:
        self._statm = proc / "self" / "statm"
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.limit_bytes = _limit_bytes(proc, cgroup)

    def share(self) -> float | None:
        """Resident memory as a share of the limit; None where the system does not tell."""
        if self.limit_bytes is None:
            return None
        try:
            pages = int(self._statm.read_bytes().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return pages * self._page_bytes / self.limit_bytes


def _limit_bytes(proc: Path, cgroup: Path) -> int | None:
    limits = [_machine_bytes(proc), *map(_number, _group_files(proc, cgroup))]
    known = [limit for limit in limits if limit is not None and 0 < limit < UNLIMITED]
    return min(known, default=None)


def _group_files(proc: Path, cgroup: Path) -> list[Path]:
    """Where the limits of this process' group and the groups around it stand, for both versions
    of control groups."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            root, name = cgroup, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroup / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        while group != root and root in group.parents:
            files.append(group / name)
            group = group.parent
        files.append(root / name)
    return files


def _machine_bytes(proc: Path) -> int | None:
    try:
        text = (proc / "meminfo").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None

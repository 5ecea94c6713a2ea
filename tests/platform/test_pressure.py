"""Lag is how late the loop runs; memory is measured against the tightest limit."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from headrace.platform.pressure import MEMORY_EVERY, Memory, PressureGauge, lasting_lag_s

PAGE = os.sysconf("SC_PAGE_SIZE")
MACHINE_KIB = 1024 * 1024


class Told:
    """What the gauge said."""

    def __init__(self) -> None:
        self.said: list[tuple[float, float | None]] = []
        self._count = asyncio.Event()

    def __call__(self, lag_s: float, memory: float | None) -> None:
        self.said.append((lag_s, memory))
        self._count.set()

    async def reach(self, count: int) -> None:
        while len(self.said) < count:
            self._count.clear()
            await self._count.wait()


async def test_a_blocked_loop_is_late_by_as_long() -> None:
    told = Told()
    gauge = PressureGauge(told, None, every_s=0.001)
    gauge.start()
    await told.reach(2)
    before = len(told.said)
    time.sleep(0.05)  # noqa: ASYNC251 - the point of it
    await told.reach(before + 1)
    gauge.stop()
    assert told.said[before][0] >= 0.04
    assert all(lag >= 0 for lag, _ in told.said)


async def test_it_stops() -> None:
    told = Told()
    gauge = PressureGauge(told, None, every_s=0.001)
    gauge.start()
    await told.reach(1)
    gauge.stop()
    count = len(told.said)
    await asyncio.sleep(0.01)
    assert len(told.said) == count


async def test_memory_is_read_now_and_then(tmp_path: Path) -> None:
    told = Told()
    statm = system(tmp_path, pages=100)
    gauge = PressureGauge(told, memory(tmp_path), every_s=0.0005)
    gauge.start()
    await told.reach(1)
    statm.write_text("0 200 0 0 0 0 0\n")
    await told.reach(MEMORY_EVERY + 1)
    gauge.stop()
    first, later = told.said[0][1], told.said[MEMORY_EVERY][1]
    assert first is not None and later == pytest.approx(2 * first)
    assert told.said[1][1] == first


def system(root: Path, *, pages: int = 100, groups: str = "0::/\n") -> Path:
    own = root / "proc" / "self"
    own.mkdir(parents=True)
    statm = own / "statm"
    statm.write_text(f"9999 {pages} 1 1 1 1 1\n")
    (own / "cgroup").write_text(groups)
    (root / "proc" / "meminfo").write_text(f"MemTotal: {MACHINE_KIB} kB\nMemFree: 1 kB\n")
    (root / "cgroup").mkdir()
    return statm


def memory(root: Path) -> Memory:
    return Memory(root / "proc", root / "cgroup")


def limit(root: Path, path: str, value: str) -> None:
    file = root / "cgroup" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value)


def test_without_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    system(tmp_path, pages=100)
    assert memory(tmp_path).share() == pytest.approx(100 * PAGE / (MACHINE_KIB * 1024))


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "5000\n"}, 5000),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "7000\n"}, 7000),
        ("0::/a/b\n", {"a/b/memory.max": "9000\n", "a/memory.max": "7000\n"}, 7000),
        ("0::/a\n", {"memory.max": "6000\n"}, 6000),
        ("0::/a\n", {"a/memory.max": "max\n"}, MACHINE_KIB * 1024),
        ("4:cpu,memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": "8000\n"}, 8000),
        (
            "4:memory:/x\n",
            {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
            MACHINE_KIB * 1024,
        ),
        ("4:memory:/unseen\n", {"memory/memory.limit_in_bytes": "4000\n"}, 4000),
        ("5:memorable:/x\n", {"memory/x/memory.limit_in_bytes": "1\n"}, MACHINE_KIB * 1024),
        ("0::/../../etc\n", {}, MACHINE_KIB * 1024),
    ],
)
def test_the_tightest_limit_counts(
    tmp_path: Path, groups: str, limits: dict[str, str], expected: int
) -> None:
    system(tmp_path, groups=groups)
    for path, value in limits.items():
        limit(tmp_path, path, value)
    assert memory(tmp_path).limit_bytes == expected


def test_a_system_that_tells_nothing_is_not_guessed_at(tmp_path: Path) -> None:
    assert memory(tmp_path).limit_bytes is None
    assert memory(tmp_path).share() is None


def test_this_process_uses_some_memory() -> None:
    share = Memory().share()
    if not Path("/proc/self/statm").exists():
        assert share is None
    else:
        assert share is not None and 0 < share < 1


@pytest.mark.parametrize(
    ("lags_s", "lasting_s"),
    [
        ([], 0.0),
        ([0.5], 0.0),
        ([0.0, 0.0, 0.0, 0.0, 1.0], 0.0),  # one stall
        ([1.0, 0.0], 0.0),
        ([0.06, 0.06], 0.0),  # not yet for long
        ([0.06, 0.06, 0.06], 0.06),
        ([0.0, 0.3, 0.4], 0.3),  # so late that two are enough
        ([0.0, 0.0, 0.0, 0.0, 0.0], 0.0),
    ],
)
def test_a_lag_counts_once_it_lasts(lags_s: list[float], lasting_s: float) -> None:
    assert lasting_lag_s(lags_s) == lasting_s

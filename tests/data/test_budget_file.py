"""What budgets have used outlives the process, its kill, and a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.data.budget_file import NAME, SLOT_BYTES, BudgetFile
from headrace.gateway.limits.measures import Denied, Measures
from headrace.gateway.limits.memory import MemoryCounters
from support.measured import MIDNIGHT, Clerk, budget, need


def opened(folder: Path, unix: float = MIDNIGHT + 3600.0) -> BudgetFile:
    return BudgetFile(folder, unix)


async def test_it_is_all_there_again(tmp_path: Path) -> None:
    file = opened(tmp_path)
    clerk = Clerk(MemoryCounters(file))
    bounds = [clerk.bind(budgets=(budget(1000, key=f"b{n}"),)) for n in range(1000)]
    for n, bound in enumerate(bounds):
        clerk.settle(await clerk.taken(bound, need(0, 1000)), 0, n)
    # No close: a kill leaves the file as it is.
    again = Clerk(MemoryCounters(opened(tmp_path)))
    for n in range(1000):
        bound = again.bind(budgets=(budget(1000, key=f"b{n}"),))
        await again.taken(bound, need(0, 1000 - n))
        await again.denied(bound, need(0, 1))
    file.close()


async def test_it_is_told_before_anybody_calls(tmp_path: Path) -> None:
    clerk = Clerk(MemoryCounters(opened(tmp_path)))
    for key in ("b1", "b2"):
        bound = clerk.bind(budgets=(budget(1000, key=key),))
        clerk.settle(await clerk.taken(bound, need(0, 1000)), 0, 872)
    counters = MemoryCounters(opened(tmp_path))
    assert list(counters.spent(clerk.unix)) == []
    rules = {"b1": budget(500, key="b1"), "b3": budget(1, key="b3")}
    for _ in range(2):
        counters.recall(lambda key, _: rules.get(key))
    assert list(counters.spent(clerk.unix)) == [(rules["b1"], 872)]
    again = Clerk(counters)
    for key in ("b1", "b2"):
        denied = await again.denied(again.bind(budgets=(budget(1000, key=key),)), need(0, 129))
        assert denied.spent == 872
    again.later(86_400.0)
    assert {spent for _, spent in counters.spent(again.unix)} == {0}


async def test_what_a_kill_cut_off_counts_as_spent(tmp_path: Path) -> None:
    clerk = Clerk(MemoryCounters(opened(tmp_path)))
    bound = clerk.bind(budgets=(budget(1000), budget(5000, unit="tokens", key="t")))
    clerk.settle(await clerk.taken(bound, need(100, 100)), 60, 40)
    await clerk.taken(bound, need(700, 300))
    again = Clerk(MemoryCounters(opened(tmp_path)))
    bound = again.bind(budgets=(budget(1000), budget(5000, unit="tokens", key="t")))
    denied = await again.denied(bound, need(0, 700))
    assert denied.spent == 340
    await again.taken(bound, need(5000 - 760, 660))


async def test_so_does_that_of_a_budget_alone(tmp_path: Path) -> None:
    """It goes the short way through the counters; also where the file grew."""
    file = opened(tmp_path)
    clerk = Clerk(MemoryCounters(file))
    bounds = [clerk.bind(budgets=(budget(1000, key=f"b{n}"),)) for n in range(300)]
    for bound in bounds:
        clerk.settle(await clerk.taken(bound, need(0, 100)), 0, 40)
        await clerk.taken(bound, need(0, 300))
    assert {one.key: one.spent for one in opened(tmp_path).kept()} == {
        f"b{n}": 340 for n in range(300)
    }
    file.close()


async def test_a_period_that_is_over_is_forgotten(tmp_path: Path) -> None:
    clerk = Clerk(MemoryCounters(opened(tmp_path)))
    bound = clerk.bind(budgets=(budget(1000),))
    clerk.settle(await clerk.taken(bound, need(0, 1000)), 0, 1000)
    file = opened(tmp_path, MIDNIGHT + 86_400.0)
    assert file.kept() == []
    size = (tmp_path / NAME).stat().st_size
    for n in range(100):
        file.slot(f"other{n}")
    assert (tmp_path / NAME).stat().st_size == size, "its place is used again"


async def test_idle_budgets_give_their_places_back(tmp_path: Path) -> None:
    file = opened(tmp_path)
    counters = MemoryCounters(file)
    clerk = Clerk(counters)
    for day in range(3):
        for n in range(200):
            bound = clerk.bind(budgets=(budget(1000, key=f"day{day}-{n}"),))
            clerk.settle(await clerk.taken(bound, need(0, 1)), 0, 1)
            counters.release(bound)
        clerk.later(86_400.0)
        for _ in range(20):
            counters.sweep(clerk.now, clerk.unix)
    assert len(counters) == 0
    assert (tmp_path / NAME).stat().st_size <= 400 * SLOT_BYTES


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 99, bytes(100_000)])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / NAME).write_bytes(damage)
    file = opened(tmp_path)
    assert file.kept() == []
    file.begin(file.slot("x"), 5, MIDNIGHT + 86_400.0)
    assert [one.spent for one in opened(tmp_path).kept()] == [5]


def test_sums_beyond_63_bits(tmp_path: Path) -> None:
    """They are written as near as there is room, and refuse what comes next."""
    file = opened(tmp_path)
    begun, written = file.slot("begun"), file.slot("written")
    file.begin(begun, 2**70, MIDNIGHT + 86_400.0)
    file.begin(written, 0, MIDNIGHT + 86_400.0)
    file.write(written, 2**70, 2**70)
    counters = MemoryCounters(opened(tmp_path))
    for key in ("begun", "written"):
        bound = counters.bind(Measures(budgets=(budget(10**15, key=key),)), 0.0)
        assert isinstance(counters.take(bound, need(0, 1), 0.0, MIDNIGHT + 3600.0), Denied)
    again = opened(tmp_path)
    again.write(again.slot("written"), 5, -(2**70))
    assert {one.key: one.spent for one in opened(tmp_path).kept()} == {
        "begun": 2**63 - 1,
        "written": 5,
    }


def test_long_keys(tmp_path: Path) -> None:
    file = opened(tmp_path)
    for key in ("k" * 5000, "k" * 5001, "\u00e9"):
        file.begin(file.slot(key), len(key), MIDNIGHT + 86_400.0)
    counters = MemoryCounters(opened(tmp_path))
    spent = []
    for key in ("k" * 5000, "k" * 5001, "\u00e9"):
        bound = counters.bind(Measures(budgets=(budget(10_000, key=key),)), 0.0)
        denied = counters.take(bound, need(0, 10_001), 0.0, MIDNIGHT + 3600.0)
        assert isinstance(denied, Denied)
        spent.append(denied.spent)
    assert spent == [5000, 5001, 1]

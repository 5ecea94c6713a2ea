"""Responses that are kept: the same on both twins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest_asyncio

from data.conftest import Databases
from headrace.data.database import DatabaseAway, Row
from headrace.data.response_store import KeptResponse, ResponseStore

HERE = KeptResponse(None, 12, b'[{"type":"message"}]', b'{"id":"resp_hr1"}')
THERE = KeptResponse("azure-east", 7)
NOW = 1_800_000_000.0


@pytest_asyncio.fixture
async def stores(databases: Databases) -> list[ResponseStore]:
    """Two workers' stores of one database, opened at once."""
    return [ResponseStore(databases(), keep_s=100.0) for _ in range(2)]


async def test_what_one_worker_keeps_another_finds(stores: list[ResponseStore]) -> None:
    one, two = stores
    await one.put("acme", {"resp_hr1": HERE}, NOW)
    await two.put("acme", {"resp_2": THERE}, NOW)
    assert await two.get("acme", "resp_hr1", NOW + 99) == HERE
    assert await one.get("acme", "resp_2", NOW + 99) == THERE
    await two.delete("acme", "resp_hr1")
    assert await one.get("acme", "resp_hr1", NOW) is None
    for store in stores:
        await store.close()


async def test_tenants_do_not_meet(stores: list[ResponseStore]) -> None:
    store = stores[0]
    await store.put("acme", {"resp_1": HERE}, NOW)
    assert await store.get("other", "resp_1", NOW) is None
    await store.delete("other", "resp_1")
    await store.put("other", {"resp_1": THERE}, NOW)
    assert await store.get("acme", "resp_1", NOW) == HERE


async def test_it_ends_with_its_time_and_is_swept(stores: list[ResponseStore]) -> None:
    store = stores[0]
    await store.put("acme", {"old": HERE}, NOW)
    assert await store.get("acme", "old", NOW + 99) == HERE
    assert await store.get("acme", "old", NOW + 100) is None
    await store.put("acme", {"old": HERE}, NOW + 50)
    assert await store.get("acme", "old", NOW + 149) == HERE
    for n in range(1_000):
        await store.put("acme", {f"new-{n % 3}": THERE}, NOW + 500)
    rows = store._database.read("SELECT id FROM headrace_responses ORDER BY id")
    assert [row[0] for row in rows] == ["new-0", "new-1", "new-2"]


async def test_what_comes_at_once_is_written_together(stores: list[ResponseStore]) -> None:
    """In a few transactions, each response once, and all of it: one that is written twice is as it
    was written last."""
    store = stores[0]
    await store.put("acme", {"first": THERE}, NOW)
    made = [KeptResponse(None, n, b"[%d]" % n, b"{}") for n in range(600)]
    names = [f"r{n % 500}" for n in range(600)]
    transactions = 0
    put = store._put

    def counting(rows: Sequence[Row], now: int) -> None:
        nonlocal transactions
        transactions += 1
        put(rows, now)

    store._put = counting  # type: ignore[method-assign]
    kept = [store.put("acme", {name: one}, NOW) for name, one in zip(names, made, strict=True)]
    await asyncio.gather(*kept)
    assert transactions < 10
    last = dict(zip(names, made, strict=True))
    for name, one in last.items():
        assert await stores[1].get("acme", name, NOW) == one


async def test_who_waits_is_told_if_it_cannot_be_written(stores: list[ResponseStore]) -> None:
    store = stores[0]
    put = store._put

    def away(rows: Sequence[Row], now: int) -> None:
        raise DatabaseAway("the store is away")

    store._put = away  # type: ignore[method-assign]
    asked = [store.put("acme", {f"r{n}": HERE}, NOW) for n in range(3)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(fault) for fault in told] == [DatabaseAway] * 3
    store._put = put  # type: ignore[method-assign]
    await store.put("acme", {"again": HERE}, NOW)
    assert await store.get("acme", "again", NOW) == HERE


async def test_who_no_longer_waits_stops_nobody(stores: list[ResponseStore]) -> None:
    store = stores[0]
    waiting = [asyncio.create_task(store.put("acme", {f"r{n}": HERE}, NOW)) for n in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[3].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for n in (1, 2, 4):
        assert await store.get("acme", f"r{n}", NOW) == HERE

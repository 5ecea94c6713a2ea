"""Whose files are where: the same on both twins."""

from __future__ import annotations

from data.conftest import Databases
from headrace.data.file_store import FileStore, KeptFile

NOW = 1_800_000_000.0


async def test_files_of_two_tenants_and_two_workers(databases: Databases) -> None:
    one, two = FileStore(databases()), FileStore(databases())
    await one.reach()
    files = [KeptFile("east", "gpt", "batch", b'{"id":"f%d"}' % n) for n in range(3)]
    for n, file in enumerate(files):
        await one.put("acme", f"f{n}", file, NOW)
    await two.put("other", "f1", KeptFile("west", "gpt", "batch", b"{}"), NOW)
    assert await two.get("acme", "f1", NOW) == files[1]
    listed = await two.list("acme", NOW, limit=2)
    assert (listed.files, listed.more) == ([files[2].said, files[1].said], True)
    rest = await two.list("acme", NOW, limit=2, after="f1")
    assert (rest.files, rest.more) == ([files[0].said], False)
    await one.delete("acme", "f1")
    assert await two.get("acme", "f1", NOW) is None
    assert await two.get("other", "f1", NOW) is not None
    for store in (one, two):
        await store.close()


async def test_they_end_with_their_time(databases: Databases) -> None:
    store = FileStore(databases())
    file = KeptFile("east", "gpt", "batch", b"{}", until_unix_s=int(NOW) + 10)
    await store.put("acme", "f1", file, NOW)
    assert await store.get("acme", "f1", NOW + 9) == file
    assert await store.get("acme", "f1", NOW + 10) is None
    assert (await store.list("acme", NOW + 10, limit=9)).files == []
    await store.close()


async def test_files_of_others_are_told_from_own_and_unknown_ones(databases: Databases) -> None:
    store = FileStore(databases())
    file = KeptFile("east", "gpt", "batch", b"{}")
    for tenant, id in (("acme", "f1"), ("acme", "both"), ("other", "both"), ("other", "f2")):
        await store.put(tenant, id, file, NOW)
    many = [f"unknown-{n}" for n in range(1200)]
    assert await store.of_others("acme", [*many, "f1", "both"]) is None
    assert await store.of_others("acme", [*many, "f1", "f2", "both"]) == "f2"
    assert await store.of_others("third", ["both"]) == "both"
    assert await store.of_others("acme", []) is None
    await store.close()

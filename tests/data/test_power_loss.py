"""T32: the loss of power at every write of the ledger's writer. What was acknowledged is there, the
file is sound, and the writer goes on where it was: each call once."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from data.test_draining import bound, drained, small
from headrace.data.draining import Drain, chain_name
from headrace.data.journal import Journal
from headrace.data.ledger import Ledger
from headrace.data.ledger_verify import verify
from headrace.data.records import Settlement
from headrace.data.segments import DRAINED, records, segments
from headrace.data.sqlite import Sqlite
from support.ledger_records import Scribe
from support.power_loss import Event, Outage, Sync, recorded_disk

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
TURNS = 16 if SOAK else 4
CALLS_A_TURN = 9
SEEDS = range(5 if SOAK else 1)
STORE = "ledger.sqlite"
PAGE = mmap.PAGESIZE


class Story(NamedTuple):
    """What a writer did, and what it was given to do it with."""

    events: list[Event]
    calls: list[str]
    """In the order of their rows."""
    journal: Path
    """All of its files, none put away, with the chain's name."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Two lives of a gateway, whole calls and one that is cut off, drained as they come."""
    folder = tmp_path_factory.mktemp("writer")
    with recorded_disk() as disk:
        database = Sqlite(folder / STORE)
        drain = Drain(folder, Ledger(database, chain_name(folder)), bound)
        for life in range(2):
            scribe = Scribe(small(folder))
            cut = scribe.intend(f"cut-{life}")
            assert cut
            for turn in range(TURNS):
                late = scribe.intend(f"late-{life}-{turn}", team="search")
                for n in range(CALLS_A_TURN):
                    scribe.whole(f"call-{life}-{turn}-{n}", user=f"u{n}", tags=(("env", "x"),))
                drained(drain)
                scribe.settle(late, f"late-{life}-{turn}", team="search")
                (rows,) = database.read("SELECT COUNT(*) FROM ledger")[0]
                assert isinstance(rows, int)
                disk.acknowledged(rows)
            scribe.journal.close()
        drained(drain)
        calls = _kept(database)
        disk.acknowledged(len(calls))
        database.close()
    for file in segments(folder / DRAINED):
        file.path.rename(folder / file.path.name)
    for path in folder.glob(STORE + "*"):
        path.unlink()
    assert len(calls) == 2 * (TURNS * (CALLS_A_TURN + 1) + 1)
    return Story(disk.events, calls, folder)


def _kept(database: Sqlite) -> list[str]:
    assert database.read("PRAGMA integrity_check") == [("ok",)]
    if not database.read("SELECT 1 FROM sqlite_schema WHERE name = 'ledger'"):
        return []
    return [str(call) for (call,) in database.read("SELECT call FROM ledger ORDER BY position")]


def _power_comes_back(story: Story, outage: Outage, folder: Path, at: int) -> None:
    """With the journal as it was."""
    shutil.copytree(story.journal, folder, dirs_exist_ok=True)
    database = Sqlite(folder / STORE)
    database.read("PRAGMA synchronous = OFF")  # it stays: nothing is shown by waiting for the disk
    found = _kept(database)
    assert len(found) >= outage.promised, f"event {at}: acknowledged rows are lost"
    assert found == story.calls[: len(found)], f"event {at}"
    drained(Drain(folder, Ledger(database, chain_name(folder)), bound))
    assert sorted(_kept(database)) == sorted(story.calls), f"event {at}"
    assert verify(database, folder, lambda _: None).findings == [], f"event {at}"
    database.close()


def _at_each(
    story: Story, tmp_path: Path, leaves: Callable[[Outage, Path], None], *, only_syncs: bool
) -> int:
    outage, moments = Outage(), 0
    for at, event in enumerate(story.events):
        if isinstance(event, Sync) or (not only_syncs and outage.anything_pending):
            folder = tmp_path / f"{at}"
            folder.mkdir()
            leaves(outage, folder)
            _power_comes_back(story, outage, folder, at)
            shutil.rmtree(folder)
            moments += 1
        outage.passes(event)
    print(f"\n{moments} losses of power in {len(story.events)} events, {len(story.calls)} calls")
    return moments


def test_all_that_was_not_synced_is_gone(story: Story, tmp_path: Path) -> None:
    """Just before each sync: between two of them the disk does not change."""
    assert _at_each(story, tmp_path, Outage.leaves, only_syncs=True) > 2 * TURNS


@pytest.mark.parametrize("seed", SEEDS)
def test_some_of_what_was_not_synced_is_there_and_torn(
    story: Story, tmp_path: Path, seed: int
) -> None:
    """After every single write."""
    rng = Random(seed)
    moments = _at_each(story, tmp_path, lambda o, f: o.leaves_some(f, rng), only_syncs=False)
    assert moments > 10 * TURNS


@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", [(1,)]), ("NORMAL", [])])
def test_a_store_that_does_not_sync_is_found_out(
    tmp_path: Path, synchronous: str, kept: list[object]
) -> None:
    """These tests can fail: one word less, and what was acknowledged is gone."""
    with recorded_disk() as disk:
        database = Sqlite(tmp_path / STORE)
        with database.transaction() as transaction:
            transaction.run("CREATE TABLE kept (n)")
        database.read(f"PRAGMA synchronous = {synchronous}")
        with database.transaction() as transaction:
            transaction.run("INSERT INTO kept VALUES (1)")
        disk.acknowledged(1)
        database.close()
    outage, after = Outage(), tmp_path / "after"
    after.mkdir()
    for event in disk.events:
        if outage.promised:
            break
        outage.passes(event)
    outage.leaves(after)
    survivor = Sqlite(after / STORE)
    assert survivor.read("SELECT n FROM kept") == kept
    survivor.close()


@pytest.mark.parametrize("seed", range(200 if SOAK else 20))
def test_pages_of_the_journal_that_were_lost(tmp_path: Path, seed: int) -> None:
    """Which pages of it came to the disk is chance. Nothing becomes a row that was not written
    so, what is missing is counted, and a call without its end is flagged."""
    rng = Random(seed)
    scribe = Scribe(Journal(tmp_path, segment_bytes=16 * PAGE, window_bytes=4 * PAGE))
    for n in range(150):
        scribe.whole(f"call-{n}", input_tokens=n, user="u" * rng.randrange(600))
    scribe.journal.close()
    written = records(tmp_path)
    settled = {r.call: r.input_tokens for r in written if isinstance(r, Settlement)}
    for file in segments(tmp_path):
        content = bytearray(file.path.read_bytes())
        for at in range(0, len(content), PAGE):
            if rng.random() < 0.3:
                content[at : at + PAGE] = bytes(len(content[at : at + PAGE]))
        file.path.write_bytes(content[: rng.randrange(0, len(content) + 1, PAGE)])
    database = Sqlite(tmp_path / STORE)
    drained(Drain(tmp_path, Ledger(database, chain_name(tmp_path)), bound))
    rows = database.read("SELECT call, input_tokens, orphan FROM ledger")
    assert len({call for call, *_ in rows}) == len(rows)
    for call, tokens, orphan in rows:
        assert orphan == 1 or tokens == settled[str(call)]
    (lost,) = database.read("SELECT lost FROM ledger_runs")[0]
    assert isinstance(lost, int)
    assert len(rows) + lost <= len(written)
    database.close()

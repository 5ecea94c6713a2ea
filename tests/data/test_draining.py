"""Each record of the journal comes into the store once, whatever is killed; both databases."""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from data.conftest import Databases
from headrace.data.database import Database, DatabaseAway
from headrace.data.draining import Drain, chain_name, remove_drained, unfinished
from headrace.data.journal import Journal
from headrace.data.ledger import Ledger
from headrace.data.ledger_rows import Bound
from headrace.data.records import Intent
from headrace.data.segments import DRAINED, segments
from support.ledger_records import Scribe

PAGE = mmap.PAGESIZE


def bound(intent: Intent) -> Bound:
    return Bound(intent.input_tokens + 100, 1000, 777, "bound")


def drain_of(folder: Path, database: Database) -> Drain:
    return Drain(folder, Ledger(database, chain_name(folder)), bound)


def drained(drain: Drain) -> int:
    """Turns until there is no more; the number of rows."""
    rows = 0
    while True:
        turn = drain.turn()
        rows += turn.rows
        if not turn.more:
            return rows


def read(database: Database, *columns: str) -> list[tuple[Any, ...]]:
    return list(database.read(f"SELECT {', '.join(columns)} FROM ledger ORDER BY position"))


def small(folder: Path) -> Journal:
    return Journal(folder, segment_bytes=3 * PAGE, window_bytes=PAGE)


def test_a_call_becomes_a_row_with_all_of_it(databases: Databases, tmp_path: Path) -> None:
    scribe = Scribe(Journal(tmp_path))
    number = scribe.intend("call-aaaa", backend="first")
    scribe.intend("call-aaaa", number, attempt=2, backend="second")
    scribe.settle(
        number, "call-aaaa", attempts=2, backend="second", region="westus", used_model="gpt-4o",
        team="search", user="ann", tags=(("env", "prod"), ("app", "bot")), stream=True,
        input_tokens=10, output_tokens=20, cached_tokens=3, reasoning_tokens=4,
        audio_input_tokens=5, audio_output_tokens=6, cache_write_tokens=8, cost_microusd=None,
        saved_microusd=7, ttft_us=80, reason="stream_incomplete", finish="incomplete",
    )  # fmt: skip
    database = databases()
    assert drain_of(tmp_path, database).turn().rows == 1
    columns = (
        "call, attempts, tried, backend, region, used_model, team, user_id, tags, stream, "
        "input_tokens, output_tokens, cached_tokens, reasoning_tokens, audio_input_tokens, "
        "audio_output_tokens, cost_microusd, saved_microusd, ttft_us, reason, finish, "
        "latency_us, settled_us, price_version, dialect, operation, usage_source, orphan, number, "
        "cache_write_tokens"
    )
    assert read(database, columns) == [
        (
            "call-aaaa", 2, '["first","second"]', "second", "westus", "gpt-4o", "search", "ann",
            '[["env","prod"],["app","bot"]]', 1, 10, 20, 3, 4, 5, 6, None, 7, 80,
            "stream_incomplete", "incomplete", 4500, 2_000_000, "test", "openai", "chat",
            "upstream", 0, 1, 8,
        )
    ]  # fmt: skip
    hours = database.read(
        "SELECT hour, tenant, team, user_id, key_id, model, backend, calls, failed, unpriced, "
        "cost_microusd, input_tokens, ttft_us, ttft_calls, cache_write_tokens FROM ledger_hours"
    )
    assert hours == [(0, "t", "search", "ann", "k", "m", "second", 1, 1, 1, 0, 10, 80, 1, 8)]
    tags = database.read("SELECT hour, tenant, tag, value, calls FROM ledger_tags ORDER BY tag")
    assert tags == [(0, "t", "app", "bot", 1), (0, "t", "env", "prod", 1)]


def test_a_request_id_used_twice_is_two_calls(databases: Databases, tmp_path: Path) -> None:
    scribe = Scribe(Journal(tmp_path))
    one, other = scribe.intend("call-same"), scribe.intend("call-same")
    scribe.settle(other, "call-same", input_tokens=5)
    scribe.settle(one, "call-same", input_tokens=6)
    database = databases()
    drain_of(tmp_path, database).turn()
    assert read(database, "number", "call", "input_tokens") == [
        (2, "call-same", 5),
        (1, "call-same", 6),
    ]


def test_texts_and_numbers_that_a_database_has_no_place_for(
    databases: Databases, tmp_path: Path
) -> None:
    """What a hostile client or upstream says must not stop the ledger."""
    scribe = Scribe(Journal(tmp_path))
    scribe.whole(model="a\0b", tags=(("x\0", "y%_!"),), user="\U0001f600'; DROP TABLE ledger;--")
    scribe.whole(input_tokens=10**30, output_tokens=-5, cost_microusd=10**40)
    scribe.whole(cost_microusd=-5)
    scribe.whole()
    database = databases()
    assert drain_of(tmp_path, database).turn().rows == 4
    found = read(database, "model", "user_id", "input_tokens", "output_tokens", "cost_microusd")
    assert found[0][:2] == ("a\ufffdb", "\U0001f600'; DROP TABLE ledger;--")
    assert found[1][2:] == (10**13, 0, 10**15)
    assert found[2][2:] == (1, 2, 0)
    assert found[3][2:] == (1, 2, 3)


def test_orphans_are_settled_at_their_bound_and_flagged(
    databases: Databases, tmp_path: Path
) -> None:
    """A call that is open while its process lives is left alone, across restarts of the writer."""
    journal = Journal(tmp_path)
    scribe = Scribe(journal)
    scribe.whole("call-done")
    cut = scribe.intend("call-cut1", input_tokens=50, team="search")
    scribe.intend("call-cut1", cut, attempt=2, backend="other", input_tokens=50, team="search")
    late = scribe.intend("call-late")
    database = databases()
    assert drain_of(tmp_path, database).turn().rows == 1
    scribe.settle(late, "call-late")
    assert drain_of(tmp_path, databases()).turn().rows == 1
    assert len(database.read("SELECT * FROM ledger_open")) == 2
    journal.close()  # as the end of a process, whatever ended it
    assert unfinished(tmp_path)
    turn = drain_of(tmp_path, databases()).turn()
    assert (turn.rows, turn.orphans) == (1, 1)
    columns = ("call", "finish", "orphan", "input_tokens", "output_tokens", "cost_microusd")
    assert read(database, *columns, "attempts", "tried", "team", "usage_source")[-1] == (
        "call-cut1", "orphan", 1, 50 + 100, 1000, 777, 2, '["b","other"]', "search", "estimated",
    )  # fmt: skip
    assert database.read("SELECT * FROM ledger_open") == []
    assert database.read("SELECT SUM(orphans) FROM ledger_hours") == [(1,)]
    assert drain_of(tmp_path, databases()).turn().rows == 0
    assert not unfinished(tmp_path)


def test_files_are_put_away_when_they_are_stored_and_removed_in_time(
    databases: Databases, tmp_path: Path
) -> None:
    journal = small(tmp_path)
    scribe = Scribe(journal)
    for _ in range(100):
        scribe.whole()
    there = len(segments(tmp_path))
    assert there > 3
    assert drained(drain_of(tmp_path, databases())) == 100
    assert len(segments(tmp_path)) == 1  # which is being written
    assert len(segments(tmp_path / DRAINED)) == there - 1
    journal.close()
    drained(drain_of(tmp_path, databases()))
    kept = segments(tmp_path / DRAINED)
    assert (len(segments(tmp_path)), len(kept)) == (0, there)
    now = kept[0].path.stat().st_mtime
    remove_drained(tmp_path, 3600, 10 * PAGE, now)
    assert 0 < len(segments(tmp_path / DRAINED)) < there
    remove_drained(tmp_path, 3600, 2**40, now + 3601)
    assert segments(tmp_path / DRAINED) == []


class Breaking:
    """A database that breaks off, before or after the commit, by dice."""

    def __init__(self, database: Database, dice: random.Random) -> None:
        self.words = database.words
        self._database = database
        self._dice = dice
        self.broke = 0

    def read(self, statement: str, values: Any = ()) -> Any:
        self._perhaps()
        return self._database.read(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self._perhaps()
        with self._database.transaction() as transaction:
            yield transaction
            self._perhaps()
        self._perhaps()

    def snapshot(self) -> Any:
        return self._database.snapshot()

    def faults(self) -> list[str]:
        return self._database.faults()

    def exclusively(self, transaction: Any) -> None:
        self._database.exclusively(transaction)

    def close(self) -> None:
        self._database.close()

    def _perhaps(self) -> None:
        if self._dice.random() < 0.15:
            self.broke += 1
            raise DatabaseAway("by dice")


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_doubled_whatever_breaks(
    databases: Databases, tmp_path: Path, seed: int
) -> None:
    """Several runs at once that begin, end and are cut; a writer that dies; a database that breaks
    off between any two steps. Sums and rows say the same."""
    dice = random.Random(seed)
    database = Breaking(databases(), dice)
    wanted: dict[tuple[str, int], str] = {}
    scribes: list[Scribe] = []
    open_calls: list[tuple[Scribe, int]] = []
    drain = drain_of(tmp_path, database)
    for _ in range(1500):
        what = dice.random()
        if not scribes or what < 0.01:
            scribes.append(Scribe(small(tmp_path)))
        scribe = dice.choice(scribes)
        if what < 0.45:
            open_calls.append((scribe, scribe.intend(f"call-{dice.randrange(50):05}")))
        elif what < 0.9 and open_calls:
            scribe, number = open_calls.pop(dice.randrange(len(open_calls)))
            if scribe in scribes:
                scribe.settle(number)
            wanted[scribe.journal.run, number] = "complete" if scribe in scribes else "orphan"
        elif what < 0.91:
            scribes.remove(scribe)
            scribe.journal.close()
        elif what < 0.92:
            drain = drain_of(tmp_path, database)  # as after a kill of the writer
        elif what < 0.97:
            _turn_or_break(drain)
    for scribe in scribes:
        scribe.journal.close()
    for scribe, number in open_calls:
        wanted.setdefault((scribe.journal.run, number), "orphan")
    for _ in range(200):
        _turn_or_break(drain)
    assert database.broke > 10
    kept = databases()
    found = kept.read("SELECT r.name, l.number, l.finish FROM ledger l, ledger_runs r "
                      "WHERE l.run = r.run")  # fmt: skip
    assert len(found) == len(wanted)
    assert {(run, number): finish for run, number, finish in found} == wanted
    positions = [position for (position,) in kept.read("SELECT position FROM ledger ORDER BY 1")]
    assert positions == list(range(1, len(wanted) + 1))
    calls, orphans = kept.read("SELECT SUM(calls), SUM(orphans) FROM ledger_hours")[0]
    assert int(calls or 0) == len(wanted)
    assert int(orphans or 0) == sum(finish == "orphan" for finish in wanted.values())
    assert kept.read("SELECT COUNT(*) FROM ledger_open") == [(0,)]
    assert not unfinished(tmp_path)


def _turn_or_break(drain: Drain) -> None:
    with suppress(DatabaseAway):
        drain.turn()


def test_two_gateways_share_a_database_and_have_a_chain_each(
    databases: Databases, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        scribe = Scribe(Journal(tmp_path / name))
        for _ in range(5):
            scribe.whole()
        assert drain_of(tmp_path / name, databases()).turn().rows == 5
    chains = databases().read("SELECT chain, COUNT(*), MAX(position) FROM ledger GROUP BY chain")
    assert sorted(chains) == [(1, 5, 5), (2, 5, 5)]


def test_the_chain_has_one_name_for_ever(tmp_path: Path) -> None:
    assert chain_name(tmp_path) == chain_name(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["ledger-chain"]

"""The registry's stores: all twins pass the same."""

from __future__ import annotations

import itertools
import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.data.postgres import Postgres
from headrace.data.registry.rows import Kind, Row, Rows, Stale, Wanted
from headrace.data.registry.server import ServerRows
from headrace.data.registry.sqlite import SqliteRows
from support.postgres_process import PostgresProcess

_names = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rows]:
    made: Rows = SqliteRows(tmp_path / "store" / "registry.db")
    if request.param == "postgresql":
        server: PostgresProcess = request.getfixturevalue("postgres")
        made = ServerRows(Postgres(server.new_database(f"registry{next(_names)}")))
    yield made
    made.close()


def row(
    id: str = "a", tenant: str = "acme", kind: Kind = "key", revision: int = 0, body: bytes = b"{}"
) -> Row:
    return Row(kind, tenant, id, f"name of {id}", "red", None, body, revision)


def test_nothing_is_there_before_the_first_change(rows: Rows) -> None:
    assert rows.revision() == 0
    assert rows.since(0) == []
    assert rows.page(Wanted("key"), None, 10) == []


def test_each_change_takes_the_next_revision(rows: Rows) -> None:
    assert rows.put([row("a"), row("b")]) == 1
    assert rows.put([row("c")]) == 2
    assert rows.revision() == 2
    assert [one.id for one in rows.since(0)] == ["a", "b", "c"]
    assert [(one.id, one.revision) for one in rows.since(1)] == [("c", 2)]
    assert rows.since(2) == []


def test_a_changed_row_comes_again_and_only_as_it_is_now(rows: Rows) -> None:
    rows.put([row("a")])
    rows.put([row("a", revision=1, body=b'{"x":1}')])
    assert [(one.id, one.body, one.revision) for one in rows.since(0)] == [("a", b'{"x":1}', 2)]


def test_who_read_an_old_row_changes_nothing(rows: Rows) -> None:
    rows.put([row("a")])
    rows.put([row("a", revision=1, body=b'"second"')])
    for stale in (row("a", revision=1), row("a", revision=0), row("never", revision=1)):
        with pytest.raises(Stale):
            rows.put([stale])
    assert rows.revision() == 2, "a refused change takes no revision"
    assert rows.since(0)[0].body == b'"second"'


def test_all_or_none_of_a_change_is_kept(rows: Rows) -> None:
    rows.put([row("a")])
    with pytest.raises(Stale):
        rows.put([row("b"), row("a")])
    assert [one.id for one in rows.since(0)] == ["a"]


def test_tenants_are_kept_apart(rows: Rows) -> None:
    rows.put([row("a", "acme"), row("b", "bolt"), row("c", "cog")])
    seen = [one.id for one in rows.page(Wanted("key", frozenset({"acme", "cog"})), None, 10)]
    assert seen == ["a", "c"]
    assert rows.page(Wanted("key", frozenset({"acme"}), id="b"), None, 10) == []
    assert rows.page(Wanted("key", frozenset()), None, 10) == []
    hostile = frozenset({"acme' OR '1'='1", '"', "%"})
    assert rows.page(Wanted("key", hostile), None, 10) == []


def test_rows_are_found_by_what_they_are_found_by(rows: Rows) -> None:
    rows.put([row("a"), row("b", kind="admin_key")])
    assert [one.id for one in rows.page(Wanted("key"), None, 10)] == ["a"]
    assert rows.page(Wanted("key", label="name of a", team="red"), None, 10)
    assert not rows.page(Wanted("key", label="name of a", team="blue"), None, 10)
    assert not rows.page(Wanted("key", user="ann"), None, 10)


def test_pages_give_each_row_once(rows: Rows) -> None:
    rows.put([row(f"{n:03}", tenant) for n in range(50) for tenant in ("acme", "bolt")])
    seen: list[tuple[str, str]] = []
    after = None
    while page := rows.page(Wanted("key"), after, 7):
        assert len(page) <= 7
        seen += [(one.tenant, one.id) for one in page]
        after = seen[-1]
    assert seen == sorted(seen) and len(set(seen)) == len(seen) == 100


def test_threads_may_share_a_store(rows: Rows) -> None:
    def write(name: str) -> None:
        for n in range(20):
            rows.put([row(f"{name}{n}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows.revision() == 60
    assert sorted(one.revision for one in rows.since(0)) == list(range(1, 61))


# --- of the file


def write_by_itself(path: Path, name: str) -> None:
    store = SqliteRows(path)
    for n in range(30):
        store.put([row(f"{name}{n}")])
    store.close()


def test_processes_may_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    reader = SqliteRows(path)
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_by_itself, args=(path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        now = reader.revision()
        assert now >= seen
        seen = now
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert reader.revision() == 90
    assert sorted(one.revision for one in reader.since(0)) == list(range(1, 91))
    reader.close()


def test_only_its_owner_may_open_the_file(tmp_path: Path) -> None:
    store = SqliteRows(tmp_path / "new" / "registry.db")
    store.put([row()])
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    store.close()


def test_looking_makes_no_file(tmp_path: Path) -> None:
    store = SqliteRows(tmp_path / "registry.db")
    store.revision()
    store.page(Wanted("key"), None, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_put_in_its_place_is_read(tmp_path: Path) -> None:
    store, other = SqliteRows(tmp_path / "registry.db"), SqliteRows(tmp_path / "copy.db")
    store.put([row("a")])
    store.put([row("b")])
    other.put([row("z")])
    other.close()
    (tmp_path / "copy.db").replace(tmp_path / "registry.db")
    assert store.revision() == 1
    assert [one.id for one in store.since(0)] == ["z"]
    store.close()


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OSError, match="later version"):
        SqliteRows(path).revision()


def test_what_is_no_registry_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    store = SqliteRows(path)
    with pytest.raises(OSError, match=r"registry\.db"):
        store.revision()
    with pytest.raises(OSError, match=r"registry\.db"):
        store.put([row()])

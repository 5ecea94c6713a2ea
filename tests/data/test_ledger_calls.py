"""A call is found by its id wherever it lies in the ledger, without reading all rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.conftest import Databases
from data.test_draining import drain_of, drained
from headrace.data.database import Database, Row, Value
from headrace.data.journal import Journal
from headrace.data.ledger_calls import Calls
from headrace.data.sqlite import Sqlite
from support.ledger_records import Scribe

HOUR_US = 3_600_000_000
BEGAN_US = 480_000 * HOUR_US


@pytest.fixture
def database(databases: Databases, tmp_path: Path) -> Database:
    """Some calls in each of many hours; one id was used three times, by two tenants."""
    scribe = Scribe(Journal(tmp_path))
    for hour in range(50):
        at_us = BEGAN_US + hour * HOUR_US
        for n in range(3):
            scribe.whole(f"call-{hour:02}-{n}", at_us=at_us + n)
        if hour in (3, 20, 49):
            scribe.whole("call-again", at_us=at_us + 9, tenant="acme" if hour == 20 else "globex")
    assert drained(drain_of(tmp_path, databases())) == 153
    return databases()


def found(database: Database, call: str, **asked: Any) -> list[int]:
    """The hours in which it is."""
    told = {"tenants": None, "since_us": 0, "until_us": None, "before": None, "limit": 10} | asked
    rows = Calls(database).page({"call": call}, **told)
    assert all(row.call == call for row in rows)
    return [(row.settled_us - BEGAN_US) // HOUR_US for row in rows]


def test_a_call_is_found_by_its_id(database: Database) -> None:
    assert found(database, "call-17-2") == [17]
    assert found(database, "call-nowhere") == []
    assert found(database, "call-again") == [49, 20, 3], "the newest first"
    assert found(database, "call-again", tenants=["acme"]) == [20]
    since = {"since_us": BEGAN_US + 4 * HOUR_US}
    assert found(database, "call-again", **since, until_us=BEGAN_US + 49 * HOUR_US) == [20]
    assert found(database, "call-again", since_us=BEGAN_US + 60 * HOUR_US) == []
    (last,) = Calls(database).page({"call": "call-again"}, None, 0, None, None, 1)
    assert found(database, "call-again", before=last.place) == [20, 3]


def test_an_empty_ledger_has_none(databases: Databases, tmp_path: Path) -> None:
    drained(drain_of(tmp_path, databases()))
    assert found(databases(), "call-again") == []


class Watched(Sqlite):
    """Keeps how each statement is carried out."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plans: list[str] = []

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        plan = super().read(f"EXPLAIN QUERY PLAN {statement}", values)
        self.plans += [str(row[-1]) for row in plan]
        return super().read(statement, values)


def test_the_index_is_used(tmp_path: Path) -> None:
    """It holds only where the query's text is the index's."""
    drained(drain_of(tmp_path, Sqlite(tmp_path / "ledger.sqlite")))
    Scribe(Journal(tmp_path)).whole("call-0001")
    drained(drain_of(tmp_path, Sqlite(tmp_path / "ledger.sqlite")))
    watched = Watched(tmp_path / "ledger.sqlite")
    assert len(Calls(watched).page({"call": "call-0001"}, None, 0, None, None, 10)) == 1
    searches = [plan for plan in watched.plans if plan.startswith("SEARCH ledger USING INDEX")]
    assert searches == ["SEARCH ledger USING INDEX ledger_ids (<expr>=? AND call=?)"]

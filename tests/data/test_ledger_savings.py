"""What was saved is what the rows say, however it is asked; both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.conftest import Databases
from data.test_draining import bound, drained
from headrace.data.database import Database
from headrace.data.draining import Drain, chain_name
from headrace.data.journal import Journal
from headrace.data.ledger import Ledger
from headrace.data.ledger_savings import Saved, Savings, added_up
from headrace.data.ledger_sums import UnknownDimension
from headrace.data.ledger_verify import verify
from support.ledger_records import Scribe

DAY = 86_400
BEGAN = 20_000 * DAY
AGAIN: dict[str, Any] = {"cost_microusd": 0, "usage_source": "none", "input_tokens": 0,
                         "output_tokens": 0}  # fmt: skip


def cached(tier: str | None, saved: int, **more: Any) -> dict[str, Any]:
    fields = {**AGAIN, "answered_by": "cache", "cache_tier": tier, "saved_microusd": saved}
    return {**fields, **more}


CALLS: list[dict[str, Any]] = [
    {"cost_microusd": 1000, "team": "search"},
    {"cost_microusd": 500, "team": "chat", "at_us": (BEGAN + DAY) * 1_000_000},
    cached("exact", 100, team="search"),
    cached("exact", 0, team="search"),
    cached("semantic", 30, team="chat", tags=(("env", "prod"),)),
    cached(None, 7, team="chat"),
    cached("kept", 900, team="chat"),
    {**AGAIN, "answered_by": "shared", "saved_microusd": 50, "team": "search"},
    {**AGAIN, "answered_by": "replay", "saved_microusd": 60, "team": "search"},
    {**AGAIN, "answered_by": "shared", "saved_microusd": 0, "finish": "client_gone"},
    {"cost_microusd": 10, "cut_at": 100, "cut_tokens": 400, "cut_microusd": 80, "team": "search"},
    {"cost_microusd": 10, "cut_at": 100, "team": "search"},
]


class Kept:
    """A ledger with the calls in it."""

    def __init__(self, databases: Databases, folder: Path) -> None:
        self.databases, self.folder = databases, folder
        self.scribe = Scribe(Journal(folder))
        self.ledger = Ledger(databases(), chain_name(folder))
        self.drain = Drain(folder, self.ledger, bound)
        self.savings = Savings(databases())

    def store(self) -> None:
        for fields in CALLS:
            self.scribe.whole(**{"at_us": BEGAN * 1_000_000, **fields})
        assert drained(self.drain) == len(CALLS)
        assert verify(self.databases(), self.folder, lambda _: None).findings == []


@pytest.fixture
def kept(databases: Databases, tmp_path: Path) -> Kept:
    kept = Kept(databases, tmp_path)
    kept.store()
    return kept


@pytest.fixture
def savings(kept: Kept) -> Savings:
    return kept.savings


def told(line: Saved) -> dict[str, tuple[int, int, int]]:
    return {n: (s.calls, s.saved_microusd, s.without_cost) for n, s in line.patterns.items()}


def test_each_pattern_has_what_its_rows_say(savings: Savings) -> None:
    (line,) = savings.lines((), {}, 0, None)
    assert told(line) == {
        "exact": (2, 100, 1), "semantic": (1, 30, 0), "cache": (1, 7, 0), "shared": (1, 50, 0),
        "replay": (1, 60, 0),
    }  # fmt: skip
    assert (line.cost_microusd, line.saved_microusd) == (1520, 247)
    assert line.kept == 1, "an answer kept for an outage saves nothing"
    assert (line.caps.calls, line.caps.most_microusd, line.caps.unbounded) == (2, 80, 1)


def test_savings_are_asked_as_usage_is(savings: Savings) -> None:
    teams = {line.group: line for line in savings.lines(["team"], {}, 0, None)}
    assert teams[("search",)].saved_microusd == 210
    assert told(teams[("chat",)]) == {"semantic": (1, 30, 0), "cache": (1, 7, 0)}
    assert teams[("chat",)].caps.calls == 0
    (prod,) = savings.lines(["tag:env"], {"tag:env": "prod"}, 0, None)
    assert (prod.group, prod.saved_microusd) == (("prod",), 30)
    days = savings.lines(["team"], {"team": "chat"}, BEGAN, BEGAN + 2 * DAY, DAY)
    assert [(d.group, d.cost_microusd, d.saved_microusd) for d in days] == [
        ((str(BEGAN), "chat"), 0, 37), ((str(BEGAN + DAY), "chat"), 500, 0),
    ]  # fmt: skip
    assert savings.lines((), {}, BEGAN + 2 * DAY, None) == []
    with pytest.raises(UnknownDimension):
        savings.lines(["colour"], {}, 0, None)


def test_numbers_that_have_no_place_are_bounded(databases: Databases, tmp_path: Path) -> None:
    """Of a client that asked for more tokens than there are."""
    scribe = Scribe(Journal(tmp_path))
    scribe.whole(cut_at=1, cut_tokens=10**21, cut_microusd=10**21)
    assert drained(Drain(tmp_path, Ledger(databases(), chain_name(tmp_path)), bound)) == 1
    (line,) = Savings(databases()).lines((), {}, 0, None)
    assert line.caps.most_microusd == 10**15


def test_lines_are_added_up(savings: Savings) -> None:
    (whole,) = added_up(savings.lines(["team", "key"], {}, 0, None), lambda _: ())
    (asked,) = savings.lines((), {}, 0, None)
    assert whole == asked


NEWER = ["ledger_model_hours", "ledger_model_days", "ledger_saved_hours", "ledger_saved_days"]


def as_before_there_were_sums(database: Database) -> None:
    with database.transaction() as transaction:
        for table in NEWER:
            transaction.run(f"DROP TABLE {table}")
        transaction.run("DROP INDEX ledger_ids")
        transaction.run("UPDATE headrace_parts SET version = 3 WHERE part = 'ledger'")


@pytest.mark.parametrize("closed_days", [0, 1, 2])
def test_sums_say_what_the_rows_say(kept: Kept, closed_days: int) -> None:
    """Of hours and days, also for calls that came when their day was added up already, and of a
    ledger that is older than the sums. A dimension that has none is added up from the rows."""
    kept.ledger.close_days(BEGAN + (closed_days + 1) * DAY)
    kept.store()
    for old in (False, True):
        if old:
            as_before_there_were_sums(kept.databases())
            kept.ledger.open()
            assert verify(kept.databases(), kept.folder, lambda _: None).findings == []
        for since_s, until_s, step_s in SPANS:
            rows = kept.savings.lines(["region", "team"], {}, since_s, until_s, step_s)
            without = added_up(rows, lambda g: (*g[:-2], g[-1]))
            assert kept.savings.lines(["team"], {}, since_s, until_s, step_s) == without
    (line,) = kept.savings.lines((), {}, 0, None)
    assert (line.saved_microusd, line.kept, line.caps.most_microusd) == (2 * 247, 2, 160)


SPANS: list[tuple[float, float | None, int]] = [
    (0, None, 0), (0, None, DAY), (BEGAN, BEGAN + DAY, 3600), (BEGAN - 1800, BEGAN + 1800, 0),
    (BEGAN + DAY / 2, None, DAY),
]  # fmt: skip

"""What was used, however it is asked: the same as adding up the calls by hand; both databases."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from data.conftest import Databases
from data.test_draining import bound, drained
from headrace.data.draining import Drain, chain_name
from headrace.data.journal import Journal
from headrace.data.ledger import Ledger
from headrace.data.ledger_sums import UnknownDimension
from headrace.data.ledger_usage import Usage, Used
from headrace.data.ledger_verify import verify
from support.ledger_records import Scribe

HOUR, DAY = 3600, 86_400
BEGAN = 20_000 * DAY  # a midnight in 2024


class Spent(NamedTuple):
    at_s: float
    fields: dict[str, Any]


class House:
    """A ledger of some days, and the calls that are in it."""

    def __init__(self, databases: Databases, folder: Path) -> None:
        self.dice = random.Random(7)
        self.calls: list[Spent] = []
        self.folder = folder
        self.scribe = Scribe(Journal(folder))
        self.database = databases()
        self.ledger = Ledger(self.database, chain_name(folder))
        self.drain = Drain(folder, self.ledger, bound)
        self.usage = Usage(databases())

    def call(self, at_s: float) -> None:
        dice = self.dice
        fields: dict[str, Any] = {
            "tenant": dice.choice(["acme", "globex"]),
            "team": dice.choice([None, "search", "chat"]),
            "user": dice.choice([None, "ann", "bob"]),
            "key": dice.choice(["k1", "k2"]),
            "model": dice.choice(["m1", "m2"]),
            "backend": dice.choice(["east", "west"]),
            "region": dice.choice([None, "eu"]),
            "tags": dice.choice([(), (("env", "prod"),), (("env", "p%d_"), ("app", "a"))]),
            "input_tokens": dice.randrange(100),
            "output_tokens": dice.randrange(100),
            "cost_microusd": dice.choice([None, dice.randrange(1000)]),
        }
        self.calls.append(Spent(at_s, fields))
        self.scribe.whole(at_us=round(at_s * 1e6), **fields)

    def store(self) -> None:
        drained(self.drain)

    def by_hand(
        self, key: Callable[[Spent], tuple[str, ...]], counts: Callable[[Spent], bool]
    ) -> dict[tuple[str, ...], tuple[int, int, int, int]]:
        """Calls, tokens, cost and unpriced calls by group."""
        found: dict[tuple[str, ...], tuple[int, int, int, int]] = defaultdict(lambda: (0, 0, 0, 0))
        for spent in filter(counts, self.calls):
            fields, before = spent.fields, found[key(spent)]
            cost = fields["cost_microusd"]
            found[key(spent)] = (
                before[0] + 1,
                before[1] + fields["input_tokens"] + fields["output_tokens"],
                before[2] + (cost or 0),
                before[3] + (cost is None),
            )
        return dict(found)

    def asked(
        self, by: list[str], where: dict[str, str], since_s: float, until_s: float | None, step: int
    ) -> dict[tuple[str, ...], tuple[int, int, int, int]]:
        return {
            line.group: (
                line.sums["calls"],
                line.sums["input_tokens"] + line.sums["output_tokens"],
                line.sums["cost_microusd"],
                line.sums["unpriced"],
            )
            for line in self.usage.lines(by, where, since_s, until_s, step)
        }


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> House:
    house = House(databases, tmp_path)
    for _ in range(600):
        house.call(BEGAN + house.dice.uniform(0, 6 * DAY))
    house.store()
    return house


QUESTIONS: list[tuple[list[str], dict[str, str], float, float | None, int]] = [
    ([], {}, 0, None, 0),
    (["tenant"], {}, 0, None, 0),
    (["team", "model"], {"tenant": "acme"}, BEGAN + DAY, BEGAN + 4 * DAY, 0),
    (["user"], {"team": ""}, BEGAN + 12_345.678, BEGAN + 300_000.5, 0),
    (["key"], {}, BEGAN + 3 * DAY + 100, BEGAN + 3 * DAY + 900, 0),
    (["backend"], {}, BEGAN + 1.5 * HOUR, BEGAN + 2.5 * HOUR, 0),
    (["model"], {}, BEGAN + DAY / 2, None, DAY),
    (["model"], {"user": "ann"}, BEGAN + HOUR, BEGAN + 2 * DAY, HOUR),
    (["region"], {}, BEGAN + DAY, None, 0),
    (["region"], {"region": "eu", "team": "chat"}, 0, None, DAY),
    (["tag:env"], {"tag:env": "prod"}, BEGAN + 5000, None, 0),
    (["tenant"], {"tag:env": "p%d_"}, BEGAN, BEGAN + 3 * DAY, DAY),
    (["team"], {"tag:env": "prod"}, BEGAN, None, 0),
    ([], {"tenant": "nobody' OR '1'='1"}, 0, None, 0),
]


def _value(spent: Spent, name: str) -> str:
    if name.startswith("tag:"):
        return str(dict(spent.fields["tags"]).get(name[4:], ""))
    return spent.fields[name] or ""


@pytest.mark.parametrize("closed_days", [0, 4])
def test_answers_are_those_of_adding_up_by_hand(house: House, closed_days: int) -> None:
    """Sums of days and hours, and rows at the edges, in any mixture; also of calls that came when
    their day was added up already."""
    house.ledger.close_days(BEGAN + (closed_days + 1) * DAY)
    for _ in range(100):
        house.call(BEGAN + house.dice.uniform(0, 6 * DAY))
    house.store()
    for by, where, since_s, until_s, step in QUESTIONS:

        def group(spent: Spent, by: list[str] = by, step: int = step) -> tuple[str, ...]:
            names = tuple(_value(spent, name) for name in by)
            return (str(int(spent.at_s // step * step)), *names) if step else names

        def counts(
            spent: Spent,
            where: dict[str, str] = where,
            since_s: float = since_s,
            until_s: float | None = until_s,
        ) -> bool:
            return since_s <= round(spent.at_s, 6) < (until_s or 2**50) and all(
                _value(spent, name) == value for name, value in where.items()
            )

        wanted = house.by_hand(group, counts)
        assert house.asked(by, where, since_s, until_s, step) == wanted, (by, where)
    assert verify(house.database, house.folder, lambda _: None).findings == []


def test_what_counts_against_a_budget(house: House) -> None:
    since_s = BEGAN + 2 * DAY + 19_800  # as a day begins in a zone of half an hour
    wanted = house.by_hand(
        lambda _: (), lambda s: s.at_s >= since_s and s.fields["team"] == "search"
    )[()]
    used = house.usage.used({"team": "search"}, since_s)
    assert used == Used(cost_microusd=wanted[2], tokens=wanted[1])
    assert house.usage.used({"team": "nobody"}, since_s) == Used(0, 0)


def test_a_dimension_that_there_is_not(house: House) -> None:
    for ask in (
        lambda: house.usage.used({"hash": "x"}, 0),
        lambda: house.usage.lines(["1; DROP TABLE ledger"], {}, 0, None),
    ):
        with pytest.raises(UnknownDimension):
            ask()

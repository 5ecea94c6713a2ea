"""What was spent is right, and the ledger is asked seldom."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from headrace.console import spending as module
from headrace.console.page import Visit
from headrace.console.spending import DAYS, Spending
from headrace.data.ledger_tables import SUMS
from headrace.edge.admin.used import UsageLine, UsageView
from headrace.gateway.administration.grants import Grant, Role


def sums(**told: int) -> dict[str, int]:
    return dict.fromkeys(SUMS, 0) | told


class Visitor:
    """Answers as the admin API would, and counts."""

    def __init__(self, tenants: frozenset[str] | None = None) -> None:
        self.by = Grant(actor="key:a", role=Role.VIEWER, tenants=tenants)
        self.asked: list[dict[str, str]] = []

    async def ask(self, name: str, *, query: dict[str, str]) -> UsageView:
        assert name == "usage"
        self.asked.append(query)
        if "by" in query:
            return UsageView(lines=[
                UsageLine(group={"model": "small"}, sums=sums(calls=2, cost_microusd=5)),
                UsageLine(group={"model": "large"}, sums=sums(calls=1, cost_microusd=70,
                                                              saved_microusd=9)),
            ])  # fmt: skip
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        at = int(datetime(yesterday.year, yesterday.month, yesterday.day, tzinfo=UTC).timestamp())
        return UsageView(lines=[UsageLine(group={"time": str(at)}, sums=sums(cost_microusd=100))])


async def of(spending: Spending, visitor: Visitor) -> module.Spent:
    return await spending.of(cast(Visit, cast(Any, visitor)))


async def test_days_and_models_are_added_up() -> None:
    spent = await of(Spending(), Visitor())
    assert (spent.today_microusd, spent.yesterday_microusd) == (75, 100)
    assert (spent.days_microusd, spent.saved_microusd, spent.calls) == (175, 9, 3)
    assert [name for name, _ in spent.models] == ["large", "small"]
    assert spent.days.svg.count("<rect") == 2
    assert len(spent.days.labels) == 2 and DAYS == 30


async def test_tabs_share_one_answer_and_scopes_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    spending, one = Spending(), Visitor()
    await asyncio.gather(*(of(spending, one) for _ in range(20)))
    assert len(one.asked) == 2
    other = Visitor(frozenset({"acme"}))
    await of(spending, other)
    assert len(other.asked) == 2
    monkeypatch.setattr(module, "TODAY_KEPT_S", -1.0)
    await of(spending, one)
    assert [("by" in query) for query in one.asked[2:]] == [True], "days that are over are kept"

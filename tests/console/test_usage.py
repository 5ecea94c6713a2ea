"""Usage by any dimension, as a chart, a table and CSV."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest

from console.world import HOSTILE, World
from headrace.console.pages.usage import wanted
from headrace.edge.admin.asked import Refusal


def test_what_was_used_is_shown_and_can_be_downloaded(world: World) -> None:
    person = world.person("viewer")
    for by in ("model", "team", "tenant", "key", "backend", "status", "region"):
        page = person.look(f"/console/usage?by={by}&period=1&measure=calls")
        assert page.status_code == 200, page.text
        assert "<rect" in page.text
    answer = person.look("/console/usage.csv?by=model&period=1")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["model"] for row in rows} >= {"large", "small"}
    lines = world.api("GET", "/v1/usage?by=model")["lines"]
    calls = {line["group"]["model"]: line["sums"]["calls"] for line in lines}
    assert sum(int(row["calls"]) for row in rows if row["model"] == "small") == calls["small"]


def test_a_tenant_sees_its_own(world: World) -> None:
    text = world.person("acme").look("/console/usage.csv?by=tenant&period=7").text
    assert {row["tenant"] for row in csv.DictReader(io.StringIO(text))} == {"acme"}


@pytest.mark.parametrize("query", [f"by={HOSTILE}", f"tenant={HOSTILE}", "measure=x",
                                   "period=own&since=x", "by=tag&tag=<b>",
                                   "period=own&since=2026-02-02&until=2026-01-01"])  # fmt: skip
def test_what_does_not_fit_is_told(world: World, query: str) -> None:
    answer = world.person("viewer").look(f"/console/usage?{query}")
    assert answer.status_code == 400
    assert "<script>" not in answer.text and "<b>" not in answer.text


def test_periods() -> None:
    today = date(2026, 3, 10)
    assert wanted({}, today).since == date(2026, 3, 4)
    assert (wanted({"period": "1"}, today).since, wanted({"period": "1"}, today).step) == (
        today, "hour")  # fmt: skip
    own = wanted({"period": "own", "since": "2026-01-01", "until": "2026-01-31"}, today)
    assert own.query() == {"by": "model", "since": "2026-01-01", "until": "2026-02-01"}
    assert "until=2026-01-31" in own.link()
    with pytest.raises(Refusal):
        wanted({"measure": "nothing"}, today)

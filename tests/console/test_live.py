"""Live figures: right, and taken once for all who watch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from console.world import World
from headrace.console import live as module
from headrace.console.live import Live
from headrace.console.readings import KEPT_S, Readings
from headrace.console.table import live_parts
from headrace.console.templating import Assets, Templates
from headrace.edge.gathering import Gathered
from headrace.gateway.telemetry.snapshot import BackendNow, BudgetNow, Counted, Moment, new_flow


def gathered(calls: int, failed: int = 0) -> Gathered:
    flow = new_flow("large", "east")
    flow.statuses = {200: calls - failed, 503: failed}
    flow.durations.counts[4] = calls
    flow.tokens = {"input": 10 * calls, "output": 5 * calls}
    flow.cost_microusd = 100 * calls
    backend = BackendNow("east", "closed", 2, 8.0, 0.1)
    moment = Moment(running=2, backends=[backend], budgets=[BudgetNow("team", "usd", 0.5)])
    return Gathered(Counted([flow]), {"w1": moment, "w2": moment}, 0, 1.0)


def test_rates_are_of_ten_seconds_and_errors_of_a_minute() -> None:
    readings = Readings()
    first = readings.take(gathered(1000, 500), 100.0)
    assert (first.calls_per_s, first.window_s, first.error_share) == (None, None, 0.5)
    for step in range(1, 61):
        now = readings.take(gathered(1000 + 20 * step, 500 + step), 100.0 + 2 * step)
    assert now.calls_per_s == pytest.approx(10.0)
    assert now.window_s == pytest.approx(60.0)
    assert now.calls == 600
    assert now.error_share == pytest.approx(0.05)
    assert now.tokens_per_s == pytest.approx(150.0)
    assert now.usd_per_hour == pytest.approx(10 * 100 * 3600 / 1e6)
    assert now.p50_s is not None and 0.05 < now.p50_s < 0.1
    assert (now.workers, now.running) == (2, 4)
    assert now.backends[0].running == 4 and now.backends[0].limit == 16
    assert now.budgets == [("team", "usd", 0.5)]
    assert now.models[0].error_share == pytest.approx(0.05)


def test_redis_that_does_not_answer_is_told() -> None:
    away = gathered(1)
    away.moments["w2"] = Moment(redis_up=False)
    away.moments["w1"] = Moment(redis_up=True)
    now = Readings().take(away, 1.0)
    assert now.without_redis == 1
    page = live_parts(Templates(Assets()), now)["overview"]
    assert "Redis does not answer 1 of 2 workers" in page
    assert (
        "Redis"
        not in live_parts(Templates(Assets()), Readings().take(gathered(1), 1.0))["overview"]
    )


def test_proxies_that_nobody_trusts_are_told_once_and_escaped() -> None:
    known = gathered(1)
    known.moments["w1"] = known.moments["w2"] = Moment(untrusted_proxy="10.0.0.1 sends <it>")
    page = live_parts(Templates(Assets()), Readings().take(known, 1.0))["overview"]
    assert page.count('<p class="notice warn">10.0.0.1 sends &lt;it&gt;.</p>') == 1


def test_the_past_is_bounded_and_gaps_are_shown() -> None:
    readings = Readings()
    for step in range(1000):
        now = readings.take(gathered(step), 2.0 * step)
    assert now.points[0].at >= now.at - KEPT_S
    after = readings.take(gathered(1000), now.at + 120)
    assert after.points[-2].calls_per_s is None


class Counting:
    """Stands for the workers, and counts how often they are asked."""

    def __init__(self, folder: Path) -> None:
        self.asked = 0

    def gather(self) -> Gathered:
        self.asked += 1
        return gathered(self.asked)


async def test_twenty_tabs_ask_as_often_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Gatherer", Counting)
    rendered = 0

    def render(now: object) -> dict[str, str]:
        nonlocal rendered
        rendered += 1
        return {"part": str(rendered)}

    live = Live(Path(), render, every_s=0.02)
    workers = live._gatherer
    assert isinstance(workers, Counting)

    async def watch() -> list[str]:
        seen = []
        async for event in live.events():
            seen.append(event)
            if len(seen) == 5:
                break
        return seen

    seen = await asyncio.gather(*(watch() for _ in range(20)))
    assert all(len(events) == 5 for events in seen)
    assert rendered <= 8
    assert workers.asked <= 8
    live.stop()
    assert [event async for event in live.events()] == []


def test_a_tab_gets_events_and_the_end_of_its_session_ends_them(world: World) -> None:
    person = world.person("viewer")
    with person.http.stream("GET", "/console/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        events = []
        for line in lines:
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
            if len(events) == 2:
                break
    assert all("Calls a second" in event["overview"] for event in events)

"""T39: the wall clock jumps by a day, repeats a second, stands still. What waits, waits as long as
ever; what is out is out as long as ever; the journal keeps its order."""

from __future__ import annotations

import email.utils
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.data.records import Intent, Settlement
from headrace.data.segments import records
from headrace.operate.control_client import ask_workers
from support.accounts import settled
from support.commands import executed
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, own_script, scripted_thread
from support.wall_clock import DAY_S, WallClock

PATIENCE_S = 30.0
CONFIG = """
resilience:
  breaker: {{open_s: 4, open_cap_s: 4, open_jitter: 0}}
  shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}
backends:
  failing: {{provider: openai, url: "{url}/v1"}}
  throttled: {{provider: openai, url: "{url}/v1"}}
  silent: {{provider: openai, url: "{url}/v1", timeouts: {{first_token_s: 1, whole_s: 1}}}}
  steady: {{provider: openai, url: "{url}/v1"}}
models:
  failing: {{pools: [[failing]], retry: {{attempts: 1}}}}
  throttled: {{pools: [[throttled]], retry: {{attempts: 1}}}}
  silent: {{pools: [[silent]], retry: {{attempts: 1}}}}
  steady: {{pools: [[steady]], fallback: {{cache: true}}}}
"""
Weather = Callable[[WallClock], None]
WEATHERS: dict[str, Weather] = {
    "a day ahead": lambda clock: clock.jump(DAY_S),
    "a day back": lambda clock: clock.jump(-DAY_S),
    "a second again": lambda clock: clock.jump(-1.0),
    "frozen": lambda clock: clock.freeze(),
}


class House:
    def __init__(self, gateway: Gateway, clock: WallClock, upstream: ScriptedThread) -> None:
        self.gateway, self.clock, self.upstream = gateway, clock, upstream

    def ask(
        self, model: str, script: dict[str, Any] | None = None, stream: bool = False, **headers: str
    ) -> httpx.Response:
        body: dict[str, Any] = {"model": model, "stream": stream, "temperature": 0}
        body["messages"] = [{"role": "user", "content": "Hello"}]
        if script is not None:
            body["user"] = own_script(**script)
        return httpx.post(
            f"{self.gateway.url}/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {self.gateway.key}", **headers},
            timeout=PATIENCE_S,
        )

    def backend(self, name: str) -> dict[str, Any]:
        ((_, rows),) = ask_workers(self.gateway.folder / ".headrace", "GET", "/backends")
        (row,) = (row for row in rows if row["name"] == name)
        return dict(row)

    def told_time_s(self) -> float:
        """By how much the gateway's own Date differs from the true time."""
        date = httpx.get(f"{self.gateway.root}/healthz").headers["date"]
        return email.utils.parsedate_to_datetime(date).timestamp() - time.time()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    clock = WallClock(tmp_path)
    # Executed: a fork has begun by the true clock.
    with (
        scripted_thread() as upstream,
        running_gateway(
            CONFIG.format(url=upstream.url), tmp_path, clock.env(), start=executed
        ) as gateway,
    ):
        yield House(gateway, clock, upstream)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture(params=WEATHERS)
def weather(request: pytest.FixtureRequest) -> Weather:
    return WEATHERS[request.param]


def test_the_gateway_goes_by_the_clock_that_these_tests_set(house: House) -> None:
    house.clock.jump(DAY_S)
    until(lambda: abs(house.told_time_s() - DAY_S) < 60)
    house.clock.jump(-DAY_S)
    until(lambda: abs(house.told_time_s() + DAY_S) < 60)
    answer = house.ask("steady")
    settlement = settled(house.gateway.folder / ".headrace", [answer.headers["x-request-id"]])
    (account,) = settlement.values()
    assert abs(account.settlement.at_us / 1e6 - (time.time() - DAY_S)) < 60


def test_a_breaker_is_open_as_long_as_ever(house: House, weather: Weather) -> None:
    tripped = 0.0
    for _ in range(5):
        tripped = time.monotonic()
        assert house.ask("failing", {"status": 500}).status_code == 503
    weather(house.clock)
    row = house.backend("failing")
    assert row["state"] == "open"
    assert 0 < row["in_s"] <= 4
    seen = len(house.upstream.seen)
    until(lambda: house.ask("failing").status_code == 200)
    assert time.monotonic() - tripped >= 4.0
    assert len(house.upstream.seen) == seen + 1


@pytest.mark.parametrize("hint", ["retry_after", "retry_after_date_s"])
def test_a_pause_is_as_long_as_it_was_asked_for(house: House, weather: Weather, hint: str) -> None:
    """`Retry-After` as a date goes by the Date beside it, not by this clock."""
    weather(house.clock)
    house.ask("throttled", {"fault": {"kind": "rate_limited", hint: 300}})
    row = house.backend("throttled")
    assert row["why"] == "throttled"
    assert 200 < row["in_s"] <= 301
    house.clock.set_right()
    refused = house.ask("throttled")
    assert refused.status_code == 503
    assert 200 < float(refused.headers["retry-after"]) <= 302
    house.clock.jump(7 * DAY_S)
    assert 200 < house.backend("throttled")["in_s"] <= 301


@pytest.mark.parametrize("stream", [False, True])
def test_a_deadline_comes_when_it_comes(house: House, weather: Weather, stream: bool) -> None:
    change = threading.Timer(0.3, weather, [house.clock])
    change.start()
    began = time.monotonic()
    answer = house.ask("silent", {"fault": "silent"}, stream)
    took_s = time.monotonic() - began
    change.join()
    assert answer.status_code in (503, 504)
    assert 1.0 <= took_s < 15.0


def test_what_is_kept_is_kept_as_long_as_ever(house: House, weather: Weather) -> None:
    key: dict[str, Any] = {"Idempotency-Key": "order-4711"}
    first = house.ask("steady", **key)
    kept = house.ask("steady")
    weather(house.clock)
    again = house.ask("steady", **key)
    assert again.headers["x-headrace-answered-by"] == "replay"
    assert again.content == first.content
    assert len(house.upstream.seen) == 2
    house.upstream.always(status=500)
    from_cache = house.ask("steady")
    assert from_cache.headers["x-headrace-answered-by"] == "cache"
    assert from_cache.content == kept.content


def test_the_journal_keeps_its_order(house: House) -> None:
    """By the place of its lines, whatever their times say."""
    calls: list[str] = []
    for change in (*WEATHERS.values(), WallClock.set_right):
        change(house.clock)
        calls += [house.ask("steady").headers["x-request-id"] for _ in range(5)]
    folder = house.gateway.folder / ".headrace"
    settled(folder, calls)
    written = records(folder)
    assert [record.call for record in written] == [call for call in calls for _ in (1, 2)]
    assert [type(record) for record in written] == [Intent, Settlement] * len(calls)
    assert any(a.at_us > b.at_us for a, b in itertools.pairwise(written))
    for record in written:
        if isinstance(record, Settlement):
            assert 0 < record.latency_us < 60_000_000

"""The bar: one region dead at 50 calls a second, and nobody notices; all dead, and everybody gets
the friendly message in time, while no backend is hit by a storm."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chaos.pairs import OPENAI
from chaos.wire import Answer, ask
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
PER_S = 50.0
BEFORE_S = 1.0
OUTAGE_S = 60.0 if SOAK else 4.0
MESSAGE = "Our assistant takes a short break. Please come back in a minute."
DEADLINE_S = 4.0
"""Of a whole answer, over all attempts; of a stream's first token as long as two may take."""
PATIENT_S = 8.0
NOISE_S = 10.0
CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
backends:
  east: {{provider: openai, url: "{east}/v1"}}
  west: {{provider: openai, url: "{west}/v1"}}
models:
  pool:
    pools: [[east, west]]
    timeouts: {{first_token_s: 2, whole_s: 4, idle_s: 2}}
    fallback: {{message: "{message}"}}
  tiers: {{pools: [[east], [west]], timeouts: {{whole_s: 8}}}}
"""
DEATHS: dict[str, dict[str, Any]] = {
    "resets": {"fault": {"kind": "cut", "after": -1, "how": "rst"}},
    "503": {"status": 503},
    "silent": {"fault": "silent"},
}


class Ended(NamedTuple):
    """One call: how it was answered, and after how long."""

    answer: Answer
    streamed: bool
    took_s: float


@pytest.fixture
def regions() -> Iterator[dict[str, ScriptedThread]]:
    with scripted_thread() as east, scripted_thread() as west:
        yield {"east": east, "west": west}


@pytest.fixture
def gateway(regions: dict[str, ScriptedThread], tmp_path: Path) -> Iterator[Gateway]:
    urls = {name: region.url for name, region in regions.items()}
    with running_gateway(CONFIG.format(message=MESSAGE, **urls), tmp_path) as running:
        yield running


async def calls(gateway: Gateway, seconds: float) -> list[Ended]:
    """Calls at their own rate, whatever becomes of those before: half of them stream."""

    async def one(number: int) -> Ended:
        streamed, began = bool(number % 2), time.monotonic()
        answer = await ask(gateway, OPENAI, stream=streamed, model="pool")
        return Ended(answer, streamed, time.monotonic() - began)

    start, tasks = time.monotonic(), []
    for number in range(int(seconds * PER_S)):
        await asyncio.sleep(max(0.0, start + number / PER_S - time.monotonic()))
        tasks.append(asyncio.create_task(one(number)))
    return await asyncio.gather(*tasks)


def is_good(ended: Ended) -> bool:
    answer = ended.answer
    if ended.streamed:
        return answer.status == 200 and answer.error is None and answer.events[-1] == b"[DONE]"
    return answer.status == 200 and answer.error is None


def seen(regions: dict[str, ScriptedThread]) -> dict[str, int]:
    return {name: len(region.seen) for name, region in regions.items()}


@pytest.mark.parametrize("death", DEATHS)
async def test_one_region_dead(
    gateway: Gateway, regions: dict[str, ScriptedThread], death: str
) -> None:
    assert all(map(is_good, await calls(gateway, BEFORE_S)))
    before = seen(regions)
    regions["east"].always(**DEATHS[death])
    ends = await calls(gateway, OUTAGE_S)
    assert [end.answer.raw for end in ends if not is_good(end)] == []
    after = seen(regions)
    attempts = {name: after[name] - before[name] for name in regions}
    assert sum(attempts.values()) <= 1.2 * len(ends), attempts


@pytest.mark.parametrize("death", DEATHS)
async def test_all_dead(gateway: Gateway, regions: dict[str, ScriptedThread], death: str) -> None:
    assert all(map(is_good, await calls(gateway, BEFORE_S)))
    before = seen(regions)
    for region in regions.values():
        region.always(**DEATHS[death])
    ends = await calls(gateway, OUTAGE_S)
    for end in ends:
        assert end.answer.status == 503
        assert end.answer.error is not None
        assert end.answer.error["message"].startswith(MESSAGE)
        assert end.answer.header("retry-after")
        assert end.answer.header("x-should-retry") == "false"
        assert end.took_s <= DEADLINE_S + NOISE_S
    after = seen(regions)
    attempts = {name: after[name] - before[name] for name in regions}
    assert all(count <= 1.2 * len(ends) for count in attempts.values()), attempts
    if death != "silent" or SOAK:  # of silence nothing is known for a time limit's length
        assert sum(attempts.values()) <= 1.2 * len(ends), attempts


@pytest.mark.parametrize(
    "also_west",
    [True, pytest.param(False, marks=pytest.mark.soak)],
    ids=["both silent", "one silent"],
)
async def test_a_whole_call_has_one_deadline(
    gateway: Gateway, regions: dict[str, ScriptedThread], also_west: bool
) -> None:
    """A silent backend leaves time for another, and two of them no longer wait than one time limit.
    With a limit for each attempt alone it would be twice that."""
    for name, region in regions.items():
        if name == "east" or also_west:
            region.always(fault="silent")
    began = time.monotonic()
    answer = await ask(gateway, OPENAI, stream=False, model="tiers")
    took_s = time.monotonic() - began
    assert answer.status == (503 if also_west else 200)
    assert [len(region.seen) for region in regions.values()] == [1, 1]
    assert took_s < 2 * PATIENT_S - 1

"""A second backend is asked for a whole answer that is late, and the first good answer is given."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from headrace.gateway.hedging import LEAST_TIMES
from headrace.operate.control_client import ask_workers
from support.accounts import Account, settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
NEVER_MS = 60_000
"""Far longer than a test waits: what is answered was answered by the other."""
CONFIG = """
resilience:
  retry_budget: {{{budget}}}
  shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}
backends:
  east: {{provider: openai, url: "{east}/v1", priced_as: openai/gpt-4o}}
  west: {{provider: openai, url: "{west}/v1", priced_as: openai/gpt-4o}}
models:
  hedged:
    pools: [[east, west]]
    balance: {{method: weighted, weights: {{east: 1, west: 0}}}}
    hedge: {{enabled: true, share: {share}}}
    retry: {{attempts: 2}}
  plain:
    pools: [[east, west]]
    balance: {{method: weighted, weights: {{east: 1, west: 0}}}}
"""
PLENTY = "burst: 10, per_s: 1000"


class House:
    """East gets all calls, west only what is asked beside it. `warmed`: what is late is known."""

    def __init__(self, gateway: Gateway, east: ScriptedThread, west: ScriptedThread) -> None:
        self.gateway = gateway
        self.east = east
        self.west = west
        self.client = openai.OpenAI(
            base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=40
        )

    def warmed(self, calls: int = LEAST_TIMES) -> House:
        for _ in range(calls):
            self.ask()
        self.east.reset()
        self.west.reset()
        return self

    def ask(self, call: str | None = None, model: str = "hedged", **more: Any) -> Any:
        headers = {} if call is None else {"x-request-id": call}
        return self.client.chat.completions.with_raw_response.create(
            model=model, messages=ASK, extra_headers=headers | more.pop("headers", {}), **more
        )

    def account(self, call: str) -> Account:
        return settled(self.gateway.folder / ".headrace", [call])[call]

    def why(self, call: str) -> list[tuple[str, str | None, str]]:
        (answer,) = ask_workers(self.gateway.folder / ".headrace", "GET", f"/calls/{call}")
        assert answer[0] == 200, answer
        return [(d["did"], d.get("backend"), d["why"]) for d in answer[1] if d["did"] != "skipped"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from _house(tmp_path, share=0.5, budget=PLENTY)


def _house(folder: Path, *, share: float, budget: str) -> Iterator[House]:
    with scripted_thread() as east, scripted_thread() as west:
        config = CONFIG.format(east=east.url, west=west.url, share=share, budget=budget)
        with running_gateway(config, folder) as gateway:
            house = House(gateway, east, west)
            with house.client:
                yield house


def test_the_second_wins(house: House) -> None:
    house.warmed()
    house.east.always(ttft_ms=NEVER_MS)
    house.west.always(text="from the west")
    answer = house.ask("second-wins", headers={"x-headrace-explain": "1"})
    assert answer.parse().choices[0].message.content == "from the west"
    assert answer.headers["x-headrace-backend"] == "west"
    assert answer.headers["x-headrace-attempts"] == "2"
    house.east.wait_for(lambda stats: stats.client_gone == 1)
    told = [("first", "east", "lost"), ("hedge", "west", "ok")]
    assert house.why("second-wins") == told
    explained = json.loads(answer.headers["x-headrace-explain"])
    assert [(d["did"], d["backend"], d["why"]) for d in explained] == told
    account = house.account("second-wins")
    assert [(i.backend, i.attempt) for i in account.intents] == [("east", 1), ("west", 2)]
    (settlement,) = account.settlements
    assert (settlement.backend, settlement.attempts) == ("west", 2)
    assert (settlement.finish, settlement.usage_source) == ("complete", "estimated")
    usage = answer.parse().usage
    assert settlement.input_tokens == 2 * usage.prompt_tokens
    assert settlement.output_tokens == 2 * usage.completion_tokens
    cost = 2 * (usage.prompt_tokens * 2.5 + usage.completion_tokens * 10)
    assert settlement.cost_microusd is not None
    assert cost <= settlement.cost_microusd <= cost + 2
    assert float(answer.headers["x-headrace-cost-usd"]) == settlement.cost_microusd / 1e6


def test_the_first_wins(house: House) -> None:
    house.warmed()
    house.east.always(ttft_ms=700, text="from the east")
    house.west.always(ttft_ms=NEVER_MS)
    answer = house.ask("first-wins")
    assert answer.parse().choices[0].message.content == "from the east"
    assert answer.headers["x-headrace-backend"] == "east"
    house.west.wait_for(lambda stats: stats.client_gone == 1)
    assert house.why("first-wins") == [("first", "east", "ok"), ("hedge", "west", "lost")]
    account = house.account("first-wins")
    assert [i.backend for i in account.intents] == ["east", "west"]
    (settlement,) = account.settlements
    assert (settlement.backend, settlement.attempts) == ("east", 2)
    assert settlement.usage_source == "estimated"


@pytest.mark.parametrize("fault", [{"status": 503}, {"fault": "reset"}, {"fault": "money"}])
@pytest.mark.parametrize("failing", ["east", "west"])
def test_one_fails_and_the_other_answers(house: House, failing: str, fault: Any) -> None:
    house.warmed()
    bad, good = (house.east, house.west) if failing == "east" else (house.west, house.east)
    bad.always(ttft_ms=300, head_ms=300, **fault)
    good.always(ttft_ms=900, text="good")
    answer = house.ask("one-fails")
    assert answer.parse().choices[0].message.content == "good"
    results = {backend: why for _, backend, why in house.why("one-fails")}
    assert results.pop(failing) not in ("ok", "lost")
    assert list(results.values()) == ["ok"]
    (settlement,) = house.account("one-fails").settlements
    # A backend that failed used nothing that we know of.
    assert settlement.usage_source == "upstream"
    assert settlement.output_tokens == answer.parse().usage.completion_tokens
    assert failing in house.gateway.log_lines("one-fails")[-1]["cause"]


def test_both_fail(house: House) -> None:
    house.warmed()
    house.east.always(head_ms=400, status=503)
    house.west.always(head_ms=200, status=500)
    with pytest.raises(openai.InternalServerError) as caught:
        house.ask("both-fail")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(house.east.seen) == len(house.west.seen) == 1
    account = house.account("both-fail")
    assert len(account.intents) == 2
    (settlement,) = account.settlements
    assert (settlement.finish, settlement.usage_source) == ("refused", "none")
    told = [(did, why) for did, _, why in house.why("both-fail")]
    assert told[:-1] == [("first", "server"), ("hedge", "server"), ("gives up", "no attempts left")]
    assert told[-1][0] == "refused"
    assert told[-1][1] in caught.value.message


def test_a_client_that_leaves_takes_both_with_it(house: House) -> None:
    house.warmed()
    house.east.always(ttft_ms=NEVER_MS)
    house.west.always(ttft_ms=NEVER_MS)
    body = json.dumps({"model": "hedged", "messages": ASK}).encode()
    with socket.create_connection(("127.0.0.1", house.gateway.port)) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: both-gone\r\n"
            b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
            % (str(house.gateway.key).encode(), len(body), body)
        )
        house.west.wait_for(lambda stats: stats.in_flight == 1)
    left = time.monotonic()
    for region in (house.east, house.west):
        region.wait_for(lambda stats: stats.client_gone == 1)
    assert time.monotonic() - left < 5
    (settlement,) = house.account("both-gone").settlements
    assert (settlement.finish, settlement.attempts) == ("client_gone", 2)
    assert settlement.usage_source == "estimated"
    assert settlement.input_tokens == 2 * (len(body) // 4)
    told = house.why("both-gone")
    assert told == [("first", "east", "cancelled"), ("hedge", "west", "lost")]
    # Nothing of the two is left running: the next calls are answered.
    house.east.reset()
    assert house.ask().headers["x-headrace-backend"] == "east"


async def test_the_async_sdk_with_many_at_once(house: House) -> None:
    house.warmed(40)  # ten hedges are saved up
    house.east.always(ttft_ms=NEVER_MS)
    house.west.always(text="from the west")
    client = openai.AsyncOpenAI(base_url=house.gateway.url, api_key=house.gateway.key)
    async with client:
        answers = await asyncio.gather(
            *(client.chat.completions.create(model="hedged", messages=ASK) for _ in range(8))
        )
    assert {answer.choices[0].message.content for answer in answers} == {"from the west"}
    house.east.wait_for(lambda stats: stats.client_gone == 8 and stats.in_flight == 0)


def test_streams_and_other_models_are_not_hedged(house: House) -> None:
    house.warmed()
    house.east.always(ttft_ms=400)
    house.ask(model="plain")
    stream = house.client.chat.completions.create(model="hedged", messages=ASK, stream=True)
    assert sum(1 for _ in stream) > 1
    assert not house.west.seen


def test_at_most_the_share_is_hedged(tmp_path: Path) -> None:
    """Every call is late, and still no more than two of a hundred are asked twice."""
    for house in _house(tmp_path, share=0.02, budget=PLENTY):
        house.warmed(50)
        for number in range(60):
            house.east.reset()
            house.east.always(ttft_ms=3 * number)
            house.ask()
        assert 1 <= len(house.west.seen) <= 2  # of 110


@pytest.mark.soak
def test_a_spent_budget_ends_it(tmp_path: Path) -> None:
    for house in _house(tmp_path, share=0.5, budget="burst: 2, per_s: 0, per_success: 0"):
        house.warmed()
        for number in range(6):
            house.east.reset()
            house.east.always(ttft_ms=200 + 200 * number)
            house.ask(f"spent-{number:03}")
        assert len(house.west.seen) == 2

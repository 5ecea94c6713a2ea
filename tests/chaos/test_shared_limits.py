"""Gateways that count together, by a real Redis: several workers, a reload, the server away, a
kill (T12, T36 of the reliability plan, on the real port)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.conftest import SOAK
from support.accounts import settled
from support.commands import run
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread
from support.steady_client import SteadyClient, raw_request
from support.valkey_process import ValkeyProcess, valkey_process

AWAY_S = 60.0 if SOAK else 1.0
ROOM = 100
ANSWER = 20
BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": ANSWER}
).encode()
COST = len(BODY) + ANSWER
CONFIG = """
server: {{workers: {workers}}}
redis: {{url: "{redis}", timeout_s: 2}}
backends:
  a: {{provider: openai, url: "{url}/v1"}}
models:
  m: {{pools: [[a]], retry: {{attempts: 1}}}}
  strict: {{pools: [[a]]}}
  lenient: {{pools: [[a]]}}
  rated: {{pools: [[a]]}}
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
limits:
  - {{per: key, only: {{model: rated}}, requests: 6000}}
budgets:
  - {{name: race, per: key, only: {{model: m}}, tokens: {race}}}
  - {{name: strict, per: key, only: {{model: strict}}, tokens: 100_000}}
  - {{name: lenient, per: key, only: {{model: lenient}}, tokens: 100_000, away_share: 0.5}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as running:
        yield running


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(scope="module")
def house(
    upstream: ScriptedThread, valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    text = CONFIG.format(url=upstream.url, redis=valkey.url, workers=2, race=ROOM * COST)
    with running_gateway(text, tmp_path_factory.mktemp("shared")) as running:
        _until_found(running, workers=2)
        yield running


def _until_found(house: Gateway, workers: int) -> None:
    """Each worker has found the server of Redis."""
    until = time.monotonic() + 30
    while (house.folder / "log.jsonl").read_text().count("redis answers") < workers:
        assert time.monotonic() < until
        time.sleep(0.02)


def ask(house: Gateway, model: str, **members: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    headers = {"authorization": f"Bearer {house.key}"}
    url = f"{house.url}/chat/completions"
    return httpx.post(url, json=body | members, headers=headers, timeout=30)


async def test_a_thousand_at_once_on_two_workers(house: Gateway, upstream: ScriptedThread) -> None:
    upstream.reset()
    upstream.always(tokens=ANSWER, usage={"input": COST - ANSWER, "output": ANSWER})
    assert house.key is not None
    request = raw_request(house.key, BODY)
    clients = [await SteadyClient.of(house) for _ in range(1000)]
    answers = await asyncio.gather(*(one.ask(request) for one in clients))
    for one in clients:
        one.close()
    assert Counter(answer.status for answer in answers) == {200: ROOM, 429: 1000 - ROOM}
    assert len(upstream.seen) == ROOM
    upstream.reset()


def test_the_server_away(house: Gateway, valkey: ValkeyProcess) -> None:
    """Stopped as by a hung host: nothing tells the gateway of it."""
    for model in ("strict", "lenient", "rated"):
        assert ask(house, model).status_code == 200
    valkey.pause()
    try:
        assert [ask(house, "rated").status_code for _ in range(10)] == [200] * 10
        refused = ask(house, "strict")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "budget_unavailable"
        assert "'strict'" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) >= 1
        assert [ask(house, "lenient").status_code for _ in range(5)] == [200] * 5
        until = time.monotonic() + AWAY_S
        while time.monotonic() < until:
            assert ask(house, "rated").status_code == 200
            assert ask(house, "strict").status_code == 503
            time.sleep(0.5)
    finally:
        valkey.go_on()
    until = time.monotonic() + 30
    while ask(house, "strict").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_several_workers_need_the_server(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, redis="redis://127.0.0.1:1", workers=1, race=10)
    without = "\n".join(line for line in text.splitlines() if not line.startswith("redis"))
    (tmp_path / "headrace.yaml").write_text(without)
    done = run(["serve", "--port", "0", "--workers", "2"], tmp_path, {})
    assert done.returncode != 0
    assert "2 workers would each count limits and budgets alone" in done.stderr + done.stdout


def test_a_kill_loses_nothing_of_a_budget(upstream: ScriptedThread, tmp_path: Path) -> None:
    """One worker without Redis: the sums are on disk with every call."""
    text = f"""
backends: {{a: {{provider: openai, url: "{upstream.url}/v1"}}}}
models: {{m: {{pools: [[a]]}}}}
budgets: [{{per: key, tokens: 1000, soft_share: 0.001}}]
"""
    upstream.always(usage={"input": 100, "output": 50})
    with running_gateway(text, tmp_path) as first:
        calls = []
        for _ in range(3):
            answer = ask(first, "m")
            assert answer.status_code == 200
            calls.append(answer.headers["x-request-id"])
        settled(tmp_path / ".headrace", calls)  # an answer is out a moment before
        os.kill(first.pid, signal.SIGKILL)
    with running_gateway(text, tmp_path) as second:
        answer = ask(second, "m")
        assert "used=450 tokens" in answer.headers["x-headrace-budget-warning"]
    with running_gateway(text, tmp_path) as third:
        answer = ask(third, "m")
        assert "used=600 tokens" in answer.headers["x-headrace-budget-warning"]
    upstream.reset()

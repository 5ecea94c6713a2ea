"""Prices that the operator writes hold at the port, at once, and the ledger's rows name them."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from headrace.data.records import Settlement
from headrace.gateway.prices import PriceBook
from operate.test_ledger_commands import usage
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CONFIG = """
store: {{drain_every_s: 0.02}}
prices:
  GPT-4o: {{input: {dollars}, output: 10, cached_input: 0.1}}
  vllm/own: {{input: 0.3, output: 0.30}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
  own: {{provider: openai, url: "{url}/v1", priced_as: vllm/own}}
  odd: {{provider: openai, url: "{url}/v1"}}
models:
  up: {{pools: [[up]]}}
  own: {{pools: [[own]]}}
  odd: {{pools: [[odd]]}}
"""
SHIPPED = PriceBook.shipped().version


def ask(gateway: Gateway, model: str) -> str:
    """The call's id."""
    answer = httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "Hello"}]},
        headers={"authorization": f"Bearer {gateway.key}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.headers["x-request-id"]


def row(folder: Path, call: str) -> Settlement:
    return settled(folder / ".headrace", [call])[call].settlement


def test_own_prices_hold_at_the_port_and_change_with_the_file(tmp_path: Path) -> None:
    with scripted_thread(usage={"input": 1000, "output": 100, "cached": 200}) as upstream:
        text = CONFIG.format(url=upstream.url, dollars="2.50")
        with running_gateway(text, tmp_path) as gateway:
            before = row(tmp_path, ask(gateway, "up"))
            assert before.cost_microusd == 800 * 2.5 + 20 + 1000
            assert row(tmp_path, ask(gateway, "own")).cost_microusd == 330
            assert row(tmp_path, ask(gateway, "odd")).cost_microusd is None
            assert before.price_version.startswith(f"{SHIPPED}+own:")

            changed = CONFIG.format(url=upstream.url, dollars="5")
            (tmp_path / "headrace.yaml").write_text(changed)
            until = time.monotonic() + 30
            while (now := row(tmp_path, ask(gateway, "up"))).cost_microusd != 4000 + 20 + 1000:
                assert time.monotonic() < until
                time.sleep(0.1)
            assert now.price_version.startswith(f"{SHIPPED}+own:")
            assert now.price_version != before.price_version
        by_version = usage(tmp_path, "--by", "price_version")
        assert {r["price_version"] for r in by_version} == {
            now.price_version,
            before.price_version,
        }


def test_a_call_that_was_cut_off_is_bound_by_own_prices(tmp_path: Path) -> None:
    """Nothing reserved its cost: no budget concerns it."""
    with scripted_thread(head_ms=50_000) as upstream:
        text = CONFIG.format(url=upstream.url, dollars="1000000")
        with running_gateway(text, tmp_path) as gateway:
            _ask_and_kill(gateway, upstream)
        with running_gateway(text, tmp_path):
            until = time.monotonic() + 30
            while not (rows := usage(tmp_path, "--by", "price_version")):
                assert time.monotonic() < until
                time.sleep(0.1)
    assert rows[0]["price_version"].startswith(f"{SHIPPED}+own:")
    assert rows[0]["orphans"] == 1
    assert rows[0]["cost_microusd"] > 1_000_000  # a few tokens at a dollar each


def _ask_and_kill(gateway: Gateway, upstream: ScriptedThread) -> None:
    def cut_off() -> None:
        with pytest.raises(httpx.HTTPError):
            ask(gateway, "up")

    with ThreadPoolExecutor() as pool:
        asked = pool.submit(cut_off)
        upstream.wait_for(lambda stats: stats.calls == 1)
        os.kill(gateway.pid, signal.SIGKILL)
        asked.result(30)

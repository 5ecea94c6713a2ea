"""What patterns saved, as a person sees it: a real gateway, real calls, the command and the API."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx

from support.commands import run
from support.gateway_process import Gateway, running_gateway
from support.scripted import scripted_thread

PATIENCE_S = 30.0
ENV = {"APP": "app0123456789abcdef0123456789", "ADMIN": "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"}
CONFIG = """
admin: {{port: 0, key: env:ADMIN}}
store: {{drain_every_s: 0.02}}
keys:
  app: {{secret: env:APP, team: search}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  plain: {{pools: [[up]]}}
  again: {{pools: [[up]], cache: {{answers: exact}}}}
token_caps:
  - {{only: {{model: plain, type: short}}, most: 100}}
"""
PRICE = 2500 + 1000
"""1000 input and 100 output tokens of gpt-4o, at 2.5 and 10 dollars a million."""


def headrace(folder: Path, *arguments: str) -> str:
    done = run(arguments, folder, ENV)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(gateway: Gateway, model: str, headers: dict[str, str], **members: Any) -> None:
    answer = httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "Hello"}], **members},
        headers={"authorization": f"Bearer {ENV['APP']}", **headers},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200, answer.text


def answered(gateway: Gateway, query: str) -> httpx.Response:
    return httpx.get(
        f"{gateway.serving['admin_url']}/v1/savings?{query}",
        headers={"authorization": f"Bearer {ENV['ADMIN']}"},
        timeout=PATIENCE_S,
    )


def lines(gateway: Gateway, query: str) -> list[dict[str, Any]]:
    answer = answered(gateway, query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["lines"])


def test_savings_are_those_of_the_calls_that_were_made(tmp_path: Path) -> None:
    folder = tmp_path
    short = {"x-headrace-request-type": "short"}
    with scripted_thread(usage={"input": 1000, "output": 100}) as upstream:
        text = CONFIG.format(url=upstream.url)
        with running_gateway(text, folder, env=ENV) as gateway:
            for _ in range(3):
                ask(gateway, "again", {})
            for _ in range(2):
                ask(gateway, "plain", {"idempotency-key": "one"})
            ask(gateway, "plain", short, max_tokens=1100)
            ask(gateway, "plain", short)
            ask(gateway, "plain", {}, max_tokens=100)
            end = time.monotonic() + PATIENCE_S
            while sum(line["cost_microusd"] for line in lines(gateway, "")) < 5 * PRICE:
                assert time.monotonic() < end
                time.sleep(0.05)
            by_model = {line["group"]["model"]: line for line in lines(gateway, "by=model")}
    again, plain = by_model["again"], by_model["plain"]
    assert again["patterns"] == {
        "exact": {"calls": 2, "saved_microusd": 2 * PRICE, "without_cost": 0}
    }
    assert (again["cost_microusd"], again["without_microusd"]) == (PRICE, 3 * PRICE)
    assert plain["patterns"] == {"replay": {"calls": 1, "saved_microusd": PRICE, "without_cost": 0}}
    assert plain["caps"] == {
        "calls": 2, "least_microusd": 0, "most_microusd": 10_000, "unbounded": 1,
    }, "1000 tokens more at 10 dollars a million; the other named no number"  # fmt: skip

    (whole,) = json.loads(headrace(folder, "savings", "--json", "--by", "team"))
    assert (whole["team"], whole["saved_microusd"]) == ("search", 3 * PRICE)
    assert whole["caps"]["calls"] == 2
    (day,) = json.loads(headrace(folder, "savings", "--json", "--period", "month"))
    assert day["without_microusd"] == day["cost_microusd"] + 3 * PRICE
    shown = headrace(folder, "savings", "--by", "model")
    assert "exact cache" in shown
    assert "$0 to $0.01" in shown
    assert "Measured: $0.01 saved" in shown

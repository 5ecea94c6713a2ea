"""A gateway whose steps are in C and one whose are in Python: the same answers, the same ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.commands import run
from support.gateway_process import running_gateway
from support.scripted import ScriptedThread, scripted_thread

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps

KEY = "app0123456789abcdef0123456789"
CONFIG = """
store: {{drain_every_s: 0.02}}
keys:
  app: {{secret: env:APP, team: search, user: ann, tenant: acme, tags: {{env: prod, app: shop}}}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o, region: eu}}
models:
  one: {{pools: [[up]]}}
limits:
  - {{per: key, requests: 9, every_s: 86400, burst_s: 86400}}
  - {{per: tenant, tokens: 1_000_000}}
  - {{per: key, concurrent: 5}}
budgets:
  - {{per: team, usd: "50", every: month}}
"""
TIMES = ("x-request-id", "date", "x-ratelimit-reset", "ratelimit", "retry-after")


@pytest.fixture
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread(usage={"input": 1000, "output": 100}) as made:
        yield made


def calls(url: str) -> list[Any]:
    """Whole ones, streams, with and without a bound, one that is malformed, one too many."""
    bodies: list[dict[str, Any]] = [
        {"max_tokens": 50},
        {"max_completion_tokens": 50, "stream": True},
        {},
        {"n": 2, "max_tokens": 5},
        {"max_tokens": "many"},
        {"model": "two"},
        {"user": "naïve \\ \"quoted\""},
        *[{"max_tokens": 7}] * 4,
    ]  # fmt: skip
    told = []
    with httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
        for body in bodies:
            messages = [{"role": "user", "content": "Hello"}]
            whole = {"model": "one", "messages": messages} | body
            answer = client.post(f"{url}/chat/completions", json=whole)
            lines = {
                name: value
                for name, value in answer.headers.items()
                if not name.startswith(TIMES) and "remaining" not in name
            }
            left = answer.headers.get("x-ratelimit-remaining-requests")
            told.append((answer.status_code, lines, left))
    return told


def accounted(folder: Path) -> Any:
    done = run(["usage", "--by", "key,model,backend,team", "--json"], folder, {})
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return [
        {name: value for name, value in row.items() if not name.startswith("mean_")} for row in rows
    ]


def test_both_are_one(steps: Steps, upstream: ScriptedThread, tmp_path: Path) -> None:
    seen = []
    for name, more in (("c", {}), ("python", {"HEADRACE_COMPILED": "0"})):
        folder = tmp_path / name
        folder.mkdir()
        with running_gateway(CONFIG.format(url=upstream.url), folder, {"APP": KEY, **more}) as it:
            told = calls(it.url)
        log = (folder / "log.jsonl").read_text()
        assert ("steps are taken in Python" in log) is (name == "python")
        verified = run(["ledger", "verify"], folder, {})
        assert verified.returncode == 0, verified.stdout + verified.stderr
        seen.append((told, accounted(folder)))
    assert seen[0] == seen[1]
    statuses = [status for status, _, _ in seen[0][0]]
    assert statuses.count(200) >= 7
    assert statuses[-1] == 429

"""Settings of retries, tiers and time limits have their effect at the port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CONFIG = """
resilience:
  breaker: {{min_calls: 100000, failures_in_a_row: {in_a_row}}}
  retry_budget: {budget}
backends:
  a: {{provider: openai, url: "{a}/v1", timeouts: {{first_token_s: 0.5}}}}
  b: {{provider: openai, url: "{b}/v1"}}
models:
  alone: {{pools: [[a]], retry: {{backoff_s: 0.01}}}}
  once: {{pools: [[a], [b]], retry: {{attempts: 1}}}}
  partly: {{pools: [[a]], retry: {{attempts: 1}}, timeouts: {{idle_s: 100}}}}
"""
NONE = "{burst: 0, per_success: 0, per_s: 0}"


class House:
    def __init__(self, gateway: Gateway, a: ScriptedThread, b: ScriptedThread) -> None:
        self.gateway, self.a, self.b = gateway, a, b

    def ask(self, model: str, stream: bool = False) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        return httpx.post(
            f"{self.gateway.url}/chat/completions",
            json={**body, "stream": stream},
            headers={"authorization": f"Bearer {self.gateway.key}"},
            timeout=60,
        )

    def attempts(self, calls: int) -> int:
        """Of so many calls that all fail."""
        before = len(self.a.seen)
        for _ in range(calls):
            assert self.ask("alone").status_code == 503
        return len(self.a.seen) - before


@contextmanager
def house(folder: Path, budget: str, in_a_row: int = 100_000) -> Iterator[House]:
    with scripted_thread() as a, scripted_thread() as b:
        text = CONFIG.format(a=a.url, b=b.url, budget=budget, in_a_row=in_a_row)
        with running_gateway(text, folder) as gateway:
            yield House(gateway, a, b)


@pytest.mark.parametrize(
    ("budget", "attempts"), [(NONE, 10), ("{burst: 3, per_success: 0, per_s: 0}", 13), ("{}", 20)]
)
def test_the_retry_budget_bounds_retries(tmp_path: Path, budget: str, attempts: int) -> None:
    with house(tmp_path, budget) as made:
        made.a.always(status=500)
        assert made.attempts(10) == attempts


def test_a_changed_budget_is_taken_up(tmp_path: Path) -> None:
    with house(tmp_path, NONE) as made:
        made.a.always(status=500)
        assert made.attempts(5) == 5
        file = tmp_path / "headrace.yaml"
        file.write_text(file.read_text().replace(NONE, "{burst: 100, per_s: 1000}"))
        end = time.monotonic() + 20
        while "configuration reloaded" not in (tmp_path / "log.jsonl").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.05)  # fills the budget
        assert made.attempts(5) == 10


def test_a_tier_past_the_attempts_answers_while_those_before_are_out(tmp_path: Path) -> None:
    with house(tmp_path, "{}", in_a_row=3) as made:
        made.a.always(status=500)
        statuses = [made.ask("once").status_code for _ in range(6)]
        assert statuses == [503, 503, 503, 200, 200, 200]
        warning = "models.once.pools[1]: a call that failed in the tiers before does not reach"
        assert warning in (tmp_path / "log.jsonl").read_text()


def test_a_models_time_limits_leave_the_others_to_the_backend(tmp_path: Path) -> None:
    """The backend waits half a second for a first token; the default would be 15."""
    with house(tmp_path, NONE) as made:
        made.a.always(fault="silent")
        began = time.monotonic()
        assert made.ask("partly", stream=True).status_code in (503, 504)
        assert time.monotonic() - began < 10

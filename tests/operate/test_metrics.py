"""The page of metrics of a gateway that runs, read by Prometheus' own parser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from operate.test_admin_api import Api
from operate.test_keys import headrace, until
from support.commands import executed
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, own_script
from support.valkey_process import valkey_process

CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
server: {{workers: {workers}, drain_s: 2}}
admin: {{port: 0}}
keys:
  own: {{secret: env:OWN_KEY}}
  poor: {{secret: env:POOR_KEY, tenant: poor, limits: [{{per: key, requests: 1, every_s: 3600}}]}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
  down: {{provider: openai, url: "http://127.0.0.1:9/v1"}}
models:
  one: {{pools: [[up]]}}
  two: {{pools: [[down], [up]]}}
{more}
"""
ENV = {"OWN_KEY": "o" * 40, "POOR_KEY": "p" * 40}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def call(gateway: Gateway, model: str, key: str = ENV["OWN_KEY"], **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=30)


def scraped(api: Api) -> Samples:
    answer = api("GET", "/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of what has these labels."""
    wanted = set(labels.items())
    return sum(v for (n, has), v in samples.items() if n == name and wanted <= has)


def test_redis_that_is_away_is_told(upstream: ScriptedThread, tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    with valkey_process(tmp_path / "valkey") as valkey:
        more = f'redis: {{url: "{valkey.url}", timeout_s: 2}}'
        text = CONFIG.format(url=upstream.url, workers=1, more=more)
        with running_gateway(text, tmp_path, ENV) as gateway:
            api = Api(gateway.serving)

            def without() -> float:
                return value(scraped(api), "headrace_workers_without_redis")

            until(lambda: without() == 0)
            valkey.kill()
            until(lambda: without() == 1)
            valkey.start()
            until(lambda: without() == 0)


def test_what_a_silent_caller_used_of_a_budget_stays_on_the_page(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    """With Redis it was gone when the worker forgot its share, before an alert could see it."""
    (tmp_path / "valkey").mkdir()
    with valkey_process(tmp_path / "valkey") as valkey:
        more = (
            f'redis: {{url: "{valkey.url}", timeout_s: 2}}\n'
            "budgets: [{name: small, per: key, usd: '0.00001', every: month, stop: false}]"
        )
        text = CONFIG.format(url=upstream.url, workers=1, more=more)
        with running_gateway(text, tmp_path, ENV) as gateway:
            api = Api(gateway.serving)

            def beats() -> float:
                return value(scraped(api), "headrace_event_loop_lag_seconds_count")

            def share() -> float:
                return value(scraped(api), "headrace_budget_used_ratio", budget="small")

            slow = own_script(head_ms=1500)  # the share is forgotten before the call ends
            assert call(gateway, "one", user=slow).status_code == 200
            until(lambda: share() > 1.2)
            seen, forgotten = share(), beats() + 40
            until(lambda: beats() > forgotten)
            assert share() == seen
            assert call(gateway, "one").status_code == 200
            until(lambda: share() > seen)


def test_a_budget_is_told_after_a_restart_and_by_the_rules_of_a_reload(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    """Before its caller calls again, who may have no reason to."""

    def text(budgets: str) -> str:
        return CONFIG.format(url=upstream.url, workers=1, more=budgets)

    def ratios(api: Api) -> dict[str, float]:
        wanted = "headrace_budget_used_ratio"
        return {dict(has)["budget"]: v for (n, has), v in scraped(api).items() if n == wanted}

    small = "budgets: [{{name: small, per: key, usd: '{usd}', every: month, stop: false}}]"
    with running_gateway(text(small.format(usd="0.00001")), tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        assert call(gateway, "one").status_code == 200
        until(lambda: ratios(api).get("small", 0) > 1.2)
        seen = ratios(api)
    with running_gateway(text(small.format(usd="0.00001")), tmp_path, ENV) as gateway:
        api = Api(gateway.serving, api.key)
        until(lambda: ratios(api) == seen)
        (tmp_path / "headrace.yaml").write_text(text(small.format(usd="0.00002")))
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: ratios(api) == {"small": pytest.approx(seen["small"] / 2)})
        (tmp_path / "headrace.yaml").write_text(text("budgets: [{per: key, usd: 7}]"))
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: ratios(api) == {})


def test_every_call_is_counted_once(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, more="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        for _ in range(3):
            assert call(gateway, "one").status_code == 200
        for _ in range(2):
            assert call(gateway, "one", stream=True).status_code == 200
        assert call(gateway, "two").status_code == 200
        assert call(gateway, "none").status_code == 404
        assert call(gateway, "one", key="wrong").status_code == 401
        assert call(gateway, "one", key=ENV["POOR_KEY"]).status_code == 200
        assert call(gateway, "one", key=ENV["POOR_KEY"]).status_code == 429
        found = scraped(Api(gateway.serving))
    calls = "headrace_calls_total"
    assert value(found, calls, model="one", backend="up", status="200") == 6
    assert value(found, calls, model="two", backend="up", status="200") == 1
    assert value(found, calls, model="other", status="404") == 1
    assert value(found, calls, model="one", status="429") == 1
    assert value(found, calls) == 9
    refused = "headrace_refused_total"
    assert value(found, refused, reason="invalid_api_key") == 1
    assert value(found, refused, reason="rate_limit_exceeded") == 1
    assert value(found, "headrace_call_duration_seconds_count", model="one") == 6
    assert value(found, "headrace_call_duration_seconds_bucket", model="one", le="+Inf") == 6
    assert value(found, "headrace_time_to_first_token_seconds_count", model="one") == 2
    assert value(found, "headrace_inter_token_seconds_count", model="one") == 2
    slow = {"model": "one", "percentile": "95"}
    assert value(found, "headrace_call_duration_quantile_seconds", **slow) > 0
    assert value(found, "headrace_tokens_total", model="one", kind="output") > 0
    assert value(found, "headrace_cost_usd_total", model="one") > 0
    assert value(found, "headrace_tenant_calls_total", tenant="poor") == 2
    assert value(found, "headrace_retries_total", model="two") >= 1
    assert value(found, "headrace_attempt_failures_total", backend="down", kind="unreachable") >= 1
    assert value(found, "headrace_backend_breaker_state", backend="up", state="closed") == 1
    assert value(found, "headrace_backend_limit", backend="up") > 0
    assert value(found, "headrace_event_loop_lag_seconds_count") > 0
    assert value(found, "headrace_workers") == 1


def test_the_page_needs_a_key_and_passes_promtool(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(
        url=upstream.url,
        workers=1,
        more="budgets: [{name: all, per: gateway, usd: '0.05', every: day}]",
    )
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert call(gateway, "one", stream=True).status_code == 200
        api = Api(gateway.serving)
        assert httpx.get(f"{api.url}/metrics").status_code == 401
        pages = [api("GET", "/metrics").text]  # as they are before there was a look before
        assert "quantile_seconds{" in pages[0]
        until(lambda: value(scraped(api), "headrace_budget_used_ratio", budget="all") > 0)
        until(lambda: ("headrace_ledger_behind_seconds", frozenset()) in scraped(api))
        scores = [{"model": "one", "measure": "groundedness", "points": p} for p in (3, 4.5)]
        assert api("POST", "/v1/scores", {"scores": scores}).json() == {"taken": 2}
        scores[0]["points"] = 6
        assert api("POST", "/v1/scores", {"scores": scores}).status_code == 400
        pages.append(api("GET", "/metrics").text)
        judged = {"model": "one", "measure": "groundedness"}
        assert value(scraped(api), "headrace_evaluation_scores_total", **judged) == 2
        assert value(scraped(api), "headrace_evaluation_points_total", **judged) == 7.5
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (of Debian's package prometheus) is not on this machine")
    for page in pages:
        done = subprocess.run(
            [promtool, "check", "metrics"], input=page, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_workers_are_added_up_and_no_sum_falls_when_one_dies(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=2, more="")
    text = text.replace(", limits: [{per: key, requests: 1, every_s: 3600}]", "")
    with running_gateway(text, tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        for _ in range(20):  # each over a connection of its own
            assert call(gateway, "one").status_code == 200
        before = scraped(api)
        assert value(before, "headrace_calls_total") == 20
        assert value(before, "headrace_workers") == 2
        assert value(before, "headrace_backend_breaker_state", backend="up", state="closed") == 2
        for pid in gateway.workers():
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: pid not in gateway.workers())  # type: ignore[misc]
        until(lambda: value(scraped(api), "headrace_workers") == 2)
        for _ in range(5):
            assert call(gateway, "one").status_code == 200
        assert value(scraped(api), "headrace_calls_total") == 25


def test_top_shows_what_runs(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, more="")
    assert "headrace serve" in headrace("top", "--once", folder=tmp_path).stderr
    with running_gateway(text, tmp_path, ENV) as gateway:
        for _ in range(3):
            assert call(gateway, "one").status_code == 200
        done = headrace("top", "--once", "--every", "0.2", folder=tmp_path, env=ENV)
        lines = headrace("top", "--once", "--json", "--every", "0.2", folder=tmp_path, env=ENV)
        piped = looks_of_top(tmp_path, 2)
        # Without a URL: the gateway took a free port, which is in no file.
        asked = {**ENV, "HEADRACE_KEY": ENV["OWN_KEY"]}
        said = headrace("chat", "Hello", "--model", "one", folder=tmp_path, env=asked)
    assert done.returncode == 0, done.stderr
    assert "calls/s" in done.stdout
    assert "1 worker\n" in re.sub(" +\n", "\n", done.stdout)
    assert done.stdout.endswith("\n")
    (line,) = [x.split() for x in done.stdout.splitlines() if x.startswith("one ")]
    assert line[1] == "up"
    assert line[-1] == "3"
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.strip()
    assert [line.split()[-2:] for line in piped] == [[b"1", b"worker"]] * 2
    told = json.loads(lines.stdout)
    assert (told["workers"], told["running"], told["calls_per_s"]) == (1, 0, 0)
    (model,) = [one for one in told["models"] if one["backend"] == "up"]
    assert (model["model"], model["calls"], model["p95_ms"]) == ("one", 3, None)
    up = next(one for one in told["backends"] if one["name"] == "up")
    assert up["states"] == ["closed"]


def looks_of_top(folder: Path, number: int) -> list[bytes]:
    """The first lines of so many looks, as a pipe gets them while it goes on."""
    with (folder / "errors").open("wb") as errors:
        process, out = executed(("top", "--every", "0.2"), folder, ENV, errors)
        with process:
            try:
                return list(islice((line for line in out if b"calls/s" in line), number))
            finally:
                process.kill()


def test_nothing_is_counted_where_nobody_wants_it(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, more="telemetry: {metrics: false}")
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert call(gateway, "one").status_code == 200
        found = scraped(Api(gateway.serving))
    assert value(found, "headrace_calls_total") == 0
    assert value(found, "headrace_workers") == 0

"""A proxy in front that nobody named, where something goes by the client's address."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from headrace.edge.gathering import Gatherer
from headrace.edge.metrics import MetricsPage
from support.commands import run
from support.gateway_process import Gateway, running_gateway

PATIENCE_S = 30.0
CONFIG = """
server: {workers: 1, drain_s: 2}
telemetry: {metrics: true}
keys: {app: {secret: "env:APP"}}
backends: {up: {provider: openai, url: "http://127.0.0.1:9/v1"}}
models: {one: {pools: [[up]]}}
"""
BY_ADDRESS = "limits: [{per: ip, requests: 1000}]\n"
ENV = {"APP": "app-key-0123456789abcdef0123"}


def told(folder: Path, event: str = "clients may share an address") -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def counted(folder: Path) -> list[str]:
    """What Prometheus is given."""
    page = MetricsPage(folder / ".headrace").text().splitlines()
    return [line for line in page if line.startswith("headrace_workers_with_untrusted_proxy")]


def noticed(folder: Path) -> list[str | None]:
    """What the console is given."""
    moments = Gatherer(folder / ".headrace").gather().moments.values()
    return [moment.untrusted_proxy for moment in moments]


def ask(gateway: Gateway, key: str = ENV["APP"], **headers: str) -> int:
    given = {"authorization": f"Bearer {key}", **headers}
    return httpx.get(f"{gateway.url}/models", headers=given).status_code


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def test_it_is_told_once_and_only_where_addresses_decide(tmp_path: Path) -> None:
    forwarded = {"x-forwarded-for": "192.0.2.7"}
    with running_gateway(CONFIG, tmp_path, env=ENV) as gateway:
        assert ask(gateway, **forwarded) == 200
        assert noticed(tmp_path) == [None], "nothing goes by addresses"
        made = run(["keys", "create", "near", "--ip", "127.0.0.0/8"], tmp_path, ENV)
        until(lambda: ask(gateway, made.stdout.strip()) == 200)
        assert noticed(tmp_path) == [None], "nobody speaks for others"
        assert counted(tmp_path) == ["headrace_workers_with_untrusted_proxy 0"]
        for _ in range(3):
            assert ask(gateway, **forwarded) == 200
        (line,) = told(tmp_path)
        assert line["level"] == "warning"
        assert "127.0.0.1 sends x-forwarded-for" in line["detail"]
        assert "`server: {trusted_proxies: [127.0.0.1]}`" in line["detail"]
        assert "192.0.2.7" not in line["detail"]
        assert noticed(tmp_path) == [line["detail"]]
        assert counted(tmp_path) == ["headrace_workers_with_untrusted_proxy 1"]
        looked = run(["top", "--once", "--json"], tmp_path, ENV)
        assert json.loads(looked.stdout)["untrusted_proxies"] == [line["detail"]]
        trusting = CONFIG.replace("drain_s: 2", "drain_s: 2, trusted_proxies: [127.0.0.1]")
        (tmp_path / "headrace.yaml").write_text(trusting + BY_ADDRESS)
        until(lambda: "configuration reloaded" in (tmp_path / "log.jsonl").read_text())
        assert ask(gateway, **forwarded) == 200
        assert noticed(tmp_path) == [None]
        assert not told(tmp_path, "configuration")
        (tmp_path / "headrace.yaml").write_text(CONFIG + BY_ADDRESS)
        until(lambda: ask(gateway, forwarded="for=192.0.2.7") == 200 and len(told(tmp_path)) == 2)
        assert "client_address_header: forwarded" in told(tmp_path)[1]["detail"]
        checked = json.loads(run(["config", "check", "--json"], tmp_path, ENV).stdout)
        (warning,) = checked["warnings"]
        assert ": limits[0]: it goes by clients' addresses, but all who come to 127." in warning
        assert [line["detail"] for line in told(tmp_path, "configuration")] == [warning]

"""Calls of a real gateway come to a real broker's topic, though their sender is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from headrace.data.export import kafka
from headrace.errors import Setup
from operate.test_ledger_commands import PATIENCE_S, headrace
from operate.test_own_prices import ask
from support.gateway_process import Gateway, running_gateway
from support.kafka_process import TOPIC, kafka_process, messages
from support.scripted import scripted_thread

CONFIG = """
store: {{drain_every_s: 0.02}}
export:
  lake: {{to: kafka, servers: ["{server}"], topic: {topic}, tls: false, batch: 3, timeout_s: 5}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
"""


def test_each_call_comes_to_the_topic_though_the_sender_is_killed(tmp_path: Path) -> None:
    with scripted_thread() as upstream, kafka_process(tmp_path) as broker:
        text = CONFIG.format(server=broker.server, topic=TOPIC, url=upstream.url)
        with running_gateway(text, tmp_path) as gateway:
            calls = []
            for n in range(30):
                calls.append(ask(gateway, "up"))
                if n % 10 == 5:
                    _kill_writer(gateway)
            told = messages(broker.server, len(calls))
    assert {row["call"] for _, row in told} == set(calls)
    assert len({key for key, _ in told}) == len(calls)
    assert all(key == row["id"] and row["cost_microusd"] > 0 for key, row in told)


def _kill_writer(gateway: Gateway) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(writers := gateway.ledger_writers()) != 1:
        assert time.monotonic() < end, f"{writers}: {(gateway.folder / 'log.jsonl').read_text()}"
        time.sleep(0.05)
    os.kill(writers[0], signal.SIGKILL)


def test_a_password_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(
        "backends: {a: {provider: openai, url: 'http://127.0.0.1:1/v1'}}\n"
        "export: {k: {to: kafka, servers: ['localhost:9093'], topic: t, username: u, "
        "password: env:NOT_SET}}\n"
    )
    done = headrace(tmp_path, "serve", "--port", "0")
    assert done.returncode == 3
    assert "NOT_SET" in done.stderr


def test_a_client_that_is_not_installed_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.setattr(sys, "path", [])
    sys.path_importer_cache.clear()
    with pytest.raises(Setup, match="kafka"):
        kafka.require_client()

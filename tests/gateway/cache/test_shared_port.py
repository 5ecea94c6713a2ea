"""Two gateways that share answers, through their ports; one is killed, then the server."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx

from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread
from support.valkey_process import valkey_process

CONFIG = """
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  near: {{pools: [[up]], cache: {{answers: semantic}}}}
keys:
  one: {{secret: env:ONE, tenant: a}}
  stranger: {{secret: env:STRANGER, tenant: b}}
redis: {{url: "{redis}"}}
resilience: {{kept_answers: {{shared_by: redis}}}}
"""
KEYS = {name: f"sk-{name.lower()}-0123456789abcdef" for name in ("ONE", "STRANGER")}
PATIENCE_S = 60.0
SAME = "How do I reset my password?", "I forgot my password, how can I reset it?"


def ask(gateway: Gateway, question: str, key: str = "ONE") -> httpx.Response:
    response = asked(gateway, question, key)
    assert response.status_code == 200, response.text
    return response


def asked(gateway: Gateway, question: str, key: str = "ONE") -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"authorization": f"Bearer {KEYS[key]}"},
        json={"model": "near", "messages": [{"role": "user", "content": question}]},
        timeout=60,
    )


def given(gateway: Gateway, up: ScriptedThread, question: str) -> httpx.Response:
    """From what the other kept, when it has told. Meanwhile the provider refuses, lest this one
    keep an answer of its own."""
    up.always(status=400)
    end = time.monotonic() + PATIENCE_S
    while True:
        response = asked(gateway, question)
        if "x-headrace-cache" in response.headers:
            up.reset()
            return response
        assert response.status_code == 400, response.text
        assert time.monotonic() < end


def test_replicas_share_answers_and_outlive_each_other_and_the_server(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other", "valkey")]
    for folder in folders:
        folder.mkdir()
    with scripted_thread() as up, valkey_process(folders[2]) as server:
        config = CONFIG.format(url=up.url, redis=server.url)
        with running_gateway(config, folders[0], env=KEYS) as one:
            paid = ask(one, SAME[0]).headers["x-request-id"]
            end = time.monotonic() + PATIENCE_S
            while not server.ask("XLEN", "headrace:answers"):
                assert time.monotonic() < end
            with running_gateway(config, folders[1], env=KEYS) as other:
                near = given(other, up, SAME[0])
                assert near.headers["x-headrace-cache-call"] == paid
                assert "x-headrace-cache" not in ask(other, SAME[0], "STRANGER").headers
                os.kill(one.pid, signal.SIGKILL)
                assert given(other, up, SAME[1]).headers["x-headrace-cache"] == "semantic"
                server.kill()
                assert given(other, up, SAME[0]).headers["x-headrace-cache-call"] == paid
                assert ask(other, "What is never asked?").headers.get("x-headrace-cache") is None

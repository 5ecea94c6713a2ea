"""The line that a gateway logs for each call."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from operate.test_keys import until
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

CONFIG = """
server: {{workers: {workers}, drain_s: 2}}
keys: {{own: {{secret: env:OWN_KEY, team: search}}}}
backends:
  up: {{provider: openai, url: "{url}/v1", credential: env:UP_KEY, priced_as: openai/gpt-4o}}
models: {{"*": {{pools: [[up]]}}}}
telemetry: {{logs: {form}}}
"""
ENV = {"OWN_KEY": "own-key-" + "o" * 40, "UP_KEY": "upstreams-credential-of-this-test"}
CANARY = "canary-word-of-the-prompt"


def post(gateway: Gateway, model: str, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {ENV['OWN_KEY']}"}
    body = {"model": model, "messages": [{"role": "user", "content": CANARY}], **more}
    url = f"{gateway.url}/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=30)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_call_is_one_line_of_json(
    upstream: ScriptedThread, tmp_path: Path, workers: int
) -> None:
    text = CONFIG.format(url=upstream.url, workers=workers, form="json")
    with running_gateway(text, tmp_path, ENV) as gateway:
        ids = [
            post(gateway, "gpt-4o", stream=n % 2 == 0).headers["x-request-id"] for n in range(40)
        ]
        for secret in ENV.values():  # in the place of a model's name
            assert post(gateway, secret).status_code == 200
    said = (tmp_path / "log.jsonl").read_text()
    lines = [json.loads(line) for line in said.splitlines() if line]  # the terminal has a blank
    calls = {line["call"]: line for line in lines if line["event"] == "call"}
    assert len([line for line in lines if line["event"] == "call"]) == len(calls) == 42
    for n, call in enumerate(ids):
        line = calls[call]
        assert (line["status"], line["finish"], line["model"]) == (200, "complete", "gpt-4o")
        assert (line["key"], line["team"], line["backend"]) == ("own", "search", "up")
        assert line["output_tokens"] > 0
        assert line["cost_usd"] > 0
        assert line["took_ms"] > 0
        assert ("first_token_ms" in line) == (n % 2 == 0)
        assert line["time"].endswith("+00:00")
    assert CANARY not in said
    for secret in ENV.values():
        assert secret not in said


def test_lines_for_eyes(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, form="text")
    with running_gateway(text, tmp_path, ENV) as gateway:
        call = post(gateway, "gpt-4o\n200 forged").headers["x-request-id"]
        until(lambda: call in (tmp_path / "log.jsonl").read_text())  # without another call
    said = (tmp_path / "log.jsonl").read_text()
    (line,) = [x for x in said.splitlines() if call in x]
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} 200 complete chat 'gpt-4o\\n200 forged' by up ", line)
    assert CANARY not in said


def test_without_it_there_is_no_line(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, form="json").partition("telemetry:")[0]
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert post(gateway, "gpt-4o").status_code == 200
    assert '"event":"call"' not in (tmp_path / "log.jsonl").read_text()

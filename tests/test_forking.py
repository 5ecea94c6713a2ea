"""A command that is forked is as one that is executed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from support.commands import Start, executed, forked, run
from support.gateway_process import running_gateway

CONFIG = """
keys: {app: {secret: "env:APP"}}
backends: {up: {provider: openai, url: "http://127.0.0.1:9/v1"}}
models: {one: {pools: [[up]]}}
"""
ENV = {"APP": "app-key-0123456789abcdef0123"}


def test_arguments_folder_and_environment_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(CONFIG)
    done = run(["config", "check", "--json"], tmp_path, ENV)
    assert (done.returncode, json.loads(done.stdout)["problems"]) == (0, [])
    done = run(["config", "check"], tmp_path, {})
    assert done.returncode == 3
    assert "APP" in done.stderr
    assert run(["config", "checks"], tmp_path, {}).returncode == 2


@pytest.mark.parametrize("start", [forked, executed])
def test_a_process_ends_as_it_is_told_to(start: Start, tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(CONFIG)
    for number, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with (tmp_path / "log.jsonl").open("wb") as log:
            process, output = start(["serve", "--json", "--port", "0"], tmp_path, ENV, log)
        assert output.readline()
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == code
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)
        output.close()


def test_gateways_at_once_give_ids_of_their_own(tmp_path: Path) -> None:
    """What a fork has of its parent's dice must not be what it throws."""
    ids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with running_gateway(CONFIG, tmp_path / name, ENV) as gateway:
            answers = [httpx.get(f"{gateway.url}/models") for _ in range(3)]
        ids += [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 6

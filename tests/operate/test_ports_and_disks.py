"""What a gateway's surroundings may do to it: ports of others, full disks, damaged files."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from headrace.data.records import Intent, Settlement
from headrace.data.segments import records
from support.commands import run
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

PATIENCE_S = 20.0
CONFIG = """
server: {{workers: {workers}, drain_s: 2}}
keys: {{app: {{secret: "env:APP"}}}}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]]}}
"""
ENV = {"APP": "app-key-0123456789abcdef0123"}
MEBIBYTE = 1024 * 1024


def ask(client: httpx.Client, gateway: Gateway) -> httpx.Response:
    body = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {ENV['APP']}"}
    return client.post(f"{gateway.url}/chat/completions", json=body, headers=headers)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.mark.parametrize("theirs", [1, 2])
@pytest.mark.parametrize("ours", [1, 2])
def test_one_port_is_one_gateway_s(
    upstream: ScriptedThread, tmp_path: Path, theirs: int, ours: int
) -> None:
    """SO_REUSEPORT lets workers share a port: two gateways must not, each with other models."""
    text = CONFIG.format(url=upstream.url, workers=theirs)
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        command = ["serve", "--port", str(gateway.port), "--workers", str(ours)]
        second = run(command, tmp_path, ENV)
        assert second.returncode == 3
        assert "Choose another port" in second.stderr
        assert "is also used by the gateway of process" in second.stderr


def test_a_port_is_taken_again_at_once(upstream: ScriptedThread, tmp_path: Path) -> None:
    """Connections that the server closed keep the port in TIME_WAIT for a minute."""
    text = CONFIG.format(url=upstream.url, workers=2)
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        port = gateway.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while connection.recv(4096):
                pass
    again = text.replace("workers: 2", f"workers: 2, port: {port}")
    command = [sys.executable, "-m", "headrace", "serve", "--json"]
    (tmp_path / "headrace.yaml").write_text(again)
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **ENV}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["url"].endswith(f":{port}/v1")
        finally:
            process.terminate()
    assert process.returncode == 0


def test_a_full_disk_stops_calls_and_loses_none(upstream: ScriptedThread, tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk's end, set while the gateway runs. A call
    that cannot be accounted is not made; with room there are calls again."""
    text = CONFIG.format(url=upstream.url, workers=1)
    with running_gateway(text, tmp_path, env=ENV) as gateway, httpx.Client(timeout=20) as client:
        _, most = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (MEBIBYTE, most))
        answered: set[str] = set()
        for _ in range(20_000):
            answer = ask(client, gateway)
            if answer.status_code != 200:
                break
            answered.add(answer.headers["x-request-id"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "5"
        seen = len(upstream.seen)
        for _ in range(8):  # more than the failures that take a backend out
            assert ask(client, gateway).status_code == 503
        assert len(upstream.seen) == seen == len(answered)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (most, most))
        answer = ask(client, gateway)
        assert answer.status_code == 200
        answered.add(answer.headers["x-request-id"])
        assert "-> open" not in (tmp_path / "log.jsonl").read_text()
    found = records(tmp_path / ".headrace")
    intents = [record.call for record in found if isinstance(record, Intent)]
    settled = [r.call for r in found if isinstance(r, Settlement) and r.finish == "complete"]
    assert sorted(intents) == sorted(settled) == sorted(answered)  # each once


@pytest.mark.parametrize("kept", [b"\xff\xfe\x00", b"", b"short"])
def test_a_damaged_key_file_is_made_anew_and_private(
    upstream: ScriptedThread, tmp_path: Path, kept: bytes
) -> None:
    path = tmp_path / ".headrace" / "key"
    path.parent.mkdir()
    path.write_bytes(kept)
    path.chmod(0o644)
    text = CONFIG.format(url=upstream.url, workers=1).replace("keys:", "#")
    with running_gateway(text, tmp_path) as gateway:
        assert gateway.key is not None
        assert path.read_text().strip() == gateway.key
        assert path.stat().st_mode & 0o777 == 0o600


def test_workers_stop_for_good_while_one_is_being_replaced(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    """A stop that waits for calls to end starts no successor of a worker that died before it."""
    upstream.always(tokens=1000, gap_ms=100)
    text = CONFIG.format(url=upstream.url, workers=2)
    with running_gateway(text, tmp_path, env=ENV) as gateway, ExitStack() as held:
        for _ in range(16):  # so many that both have some
            held.enter_context(begun_stream(gateway))
        os.kill(gateway.workers()[0], signal.SIGKILL)
        until(lambda: "a worker ended" in (tmp_path / "log.jsonl").read_text())
        os.kill(gateway.pid, signal.SIGTERM)
        until(lambda: state(gateway.pid) == "Z")
        store = tmp_path / ".headrace"
        assert len(list(store.rglob("journal-*"))) == 2


@contextmanager
def begun_stream(gateway: Gateway) -> Iterator[None]:
    """A connection whose answer has begun and will last."""
    body = json.dumps({"model": "one", "stream": True, "messages": []}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: Bearer {ENV['APP']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        yield


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

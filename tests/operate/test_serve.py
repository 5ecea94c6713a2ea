"""The gateway as a person or an orchestrator runs it: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.commands import run
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

PATIENCE_S = 20.0
CONFIG = """
server: {{workers: {workers}, drain_s: 2}}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]]}}
"""


def ask(
    gateway: Gateway, model: str = "one", text: str = "Hello", **body: object
) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": text}], **body},
        headers={"authorization": f"Bearer {gateway.key}"},
        timeout=PATIENCE_S,
    )


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def headrace(
    *arguments: str, folder: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return run(arguments, folder, env or {})


def test_a_changed_file_is_taken_up_and_a_bad_one_is_not(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=1)
    with running_gateway(text, tmp_path) as gateway:
        assert ask(gateway, "two").status_code == 404
        (tmp_path / "headrace.yaml").write_text(text + "  two: {pools: [[up]]}\n")
        until(lambda: ask(gateway, "two").status_code == 200)
        (tmp_path / "headrace.yaml").write_text(text + "  two: {pools: [[nowhere]]}\n")
        log = tmp_path / "log.jsonl"
        until(lambda: "not taken up" in log.read_text())
        assert "nowhere" in log.read_text()
        assert ask(gateway, "two").status_code == 200  # the old configuration goes on
        keyed = 'provider: openai, credential: "{}", url'
        lines = [text.replace("provider: openai, url", keyed.format("env:NOT_THERE"))]
        lines.append("keys:\n  late: {secret: file:gone.txt}\n")
        (tmp_path / "headrace.yaml").write_text("".join(lines))
        until(lambda: "NOT_THERE" in log.read_text())
        told = [json.loads(line) for line in log.read_text().splitlines() if "NOT_THERE" in line]
        at_variable, at_file = told[-1]["detail"].splitlines()
        assert "headrace.yaml:4: backends.up.credential: The environment var" in at_variable
        assert "does not see new variables: start it again" in at_variable
        assert "headrace.yaml:8: keys.late.secret: There is no secret file" in at_file
        assert ask(gateway, "two").status_code == 200


def test_sighup_reloads(upstream: ScriptedThread, tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path) as gateway:
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: "configuration reloaded" in (tmp_path / "log.jsonl").read_text())
        assert ask(gateway).status_code == 200


def test_sigterm_drains(upstream: ScriptedThread, tmp_path: Path) -> None:
    """A call that ends in time is whole; a stream past the limit gets an error event."""
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path) as gateway:
        body = {"model": "one", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        headers = {"authorization": f"Bearer {gateway.key}"}
        slow = {"user": 'script:{"tokens": 5, "gap_ms": 100}'}
        endless = {"user": 'script:{"tokens": 1000, "gap_ms": 100}'}
        with httpx.Client(timeout=PATIENCE_S, headers=headers) as client:
            url = f"{gateway.url}/chat/completions"
            with (
                client.stream("POST", url, json=body | slow) as first,
                client.stream("POST", url, json=body | endless) as second,
            ):
                lines = [first.iter_lines(), second.iter_lines()]
                assert next(lines[0]).startswith("data: ")
                assert next(lines[1]).startswith("data: ")
                os.kill(gateway.pid, signal.SIGTERM)
                told = [[line for line in each if line] for each in lines]
        assert told[0][-1] == "data: [DONE]"
        assert json.loads(told[1][-1].removeprefix("data: "))["error"]["code"] == "draining"
        until(lambda: not Path(f"/proc/{gateway.pid}").exists() or exited(gateway.pid))
        with pytest.raises(httpx.ConnectError):
            ask(gateway)


def exited(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_workers_share_the_port_and_a_killed_one_comes_back(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=2), tmp_path) as gateway:
        workers = gateway.workers()
        assert len(workers) == 2
        assert all(ask(gateway).status_code == 200 for _ in range(10))
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: len(gateway.workers()) == 2 and gateway.workers() != workers)
        until(lambda: "a worker ended" in (tmp_path / "log.jsonl").read_text())
        for _ in range(10):
            assert ask(gateway).status_code == 200
        seen: set[str] = set()  # the ledger's writer moves files that are done

        def three() -> bool:
            with suppress(FileNotFoundError):
                seen.update(path.name for path in (tmp_path / ".headrace").rglob("journal-*"))
            return len(seen) == 3

        until(three)


def test_workers_end_with_their_parent(upstream: ScriptedThread, tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=2), tmp_path) as gateway:
        workers = gateway.workers()
        os.kill(gateway.pid, signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() and not exited(pid) for pid in workers))


def test_the_generated_key_is_private_and_kept(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1) + "  alpha: {pools: [[up]]}\n"
    with running_gateway(text, tmp_path) as gateway:
        first = gateway.key
        path = tmp_path / ".headrace" / "key"
        assert path.stat().st_mode & 0o777 == 0o600
    with running_gateway(text, tmp_path) as gateway:
        assert gateway.key == first
        assert ask(gateway).status_code == 200
        chat = headrace("chat", "Hello", "--url", gateway.url, folder=tmp_path)
        assert chat.returncode == 0, chat.stderr
        assert chat.stdout.strip()
        assert upstream.seen[-1].json()["model"] == "one"
        wrong = headrace(
            "chat", "Hello", "--url", gateway.url, folder=tmp_path, env={"HEADRACE_KEY": "hr_wrong"}
        )
        assert wrong.returncode != 0
        assert "not as it was given out" in wrong.stderr


def test_readiness_follows_the_backends(upstream: ScriptedThread, tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path) as gateway:
        assert httpx.get(f"{gateway.root}/healthz").json() == {"status": "alive"}
        assert httpx.get(f"{gateway.root}/readyz").status_code == 200
        upstream.always(status=500)
        until(
            lambda: (
                ask(gateway).status_code == 503
                and httpx.get(f"{gateway.root}/readyz").status_code == 503
            )
        )
        assert httpx.get(f"{gateway.root}/readyz").json()["missing"] == ["no usable backend"]
        assert httpx.get(f"{gateway.root}/healthz").status_code == 200


def test_a_taken_port_and_nothing_to_serve_are_told_of(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path) as gateway:
        for workers in ("1", "2"):
            taken = headrace(
                "serve", "--port", str(gateway.port), "--workers", workers, folder=tmp_path
            )
            assert taken.returncode == 3
            assert "Choose another port" in taken.stderr
    (tmp_path / "headrace.yaml").write_text("models: {a: {pools: [[b]]}}\n")
    bad = headrace("serve", folder=tmp_path)
    assert bad.returncode == 3
    assert "headrace.yaml:1" in bad.stderr


def test_commands_for_machines(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text("server: {port: eighty}\n")
    checked = headrace("config", "check", "--json", folder=tmp_path)
    assert checked.returncode == 3
    (problem,) = json.loads(checked.stdout)["problems"]
    assert (problem["line"], problem["key"]) == (1, "server.port")
    assert json.loads(headrace("config", "schema", folder=tmp_path).stdout)["title"]
    assert json.loads(headrace("version", "--json", folder=tmp_path).stdout)["version"]
    listed = json.loads(headrace("models", "list", "--json", folder=tmp_path).stdout)
    assert {"smollm2-135m-instruct", "all-minilm-l6-v2"} <= {m["name"] for m in listed["models"]}
    assert headrace("serve", "--nonsense", folder=tmp_path).returncode not in (0, 3)
    assert "Exit codes" in headrace("--help", folder=tmp_path).stdout


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_backends_are_isolated_and_restored_by_hand(
    upstream: ScriptedThread, tmp_path: Path, workers: int
) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=workers), tmp_path) as gateway:
        rows = json.loads(headrace("backends", "list", "--json", folder=tmp_path).stdout)
        assert [row["state"] for row in rows] == ["closed"] * workers
        for path in (tmp_path / ".headrace").glob("control-*.sock"):
            assert path.stat().st_mode & 0o777 == 0o600
        assert headrace("backends", "isolate", "up", folder=tmp_path).stdout == "up: isolated\n"
        refused = [ask(gateway) for _ in range(4)]
        assert {answer.status_code for answer in refused} == {503}
        assert upstream.seen == []
        call = refused[0].headers["x-request-id"]
        told = headrace("why", call, folder=tmp_path)
        assert "up skipped: isolated" in told.stdout, told.stderr
        said = refused[0].json()["error"]["message"].partition(" (request id")[0]
        assert told.stdout.endswith(f"refused: {said}\n")
        lines = headrace("why", call, "--json", folder=tmp_path).stdout.splitlines()
        assert {json.loads(line)["did"] for line in lines} >= {"skipped", "gives up", "refused"}
        restored = json.loads(
            headrace("backends", "restore", "up", "--json", folder=tmp_path).stdout
        )
        assert restored == {"name": "up", "state": "closed", "workers": workers}
        good = ask(gateway)
        assert good.status_code == 200
        wrong = headrace("backends", "isolate", "down", folder=tmp_path)
        assert wrong.returncode == 3
        assert "There is no backend 'down'" in wrong.stderr
        events = backend_events(tmp_path)
        assert [(event["action"], event["target"]) for event in events] == [
            ("backends.isolate", "up"), ("backends.restore", "up"),
        ]  # fmt: skip
        assert all(event["actor"].startswith("local:") for event in events)
        assert headrace("audit", "verify", folder=tmp_path).returncode == 0
        lost = headrace("why", "no-such-call", folder=tmp_path)
        assert lost.returncode == 3 and "the ledger does not have it" in lost.stderr
        recorded = ("why", good.headers["x-request-id"])  # by its writer, a moment later
        until(lambda: "200, complete" in headrace(*recorded, folder=tmp_path).stdout)
    for verb in (("list",), ("isolate", "up")):
        nobody = headrace("backends", *verb, folder=tmp_path)
        assert nobody.returncode == 3
        assert "No gateway runs" in nobody.stderr
    assert backend_events(tmp_path) == events  # nothing is told of what no gateway did


def backend_events(folder: Path) -> list[Any]:
    """What the audit log says was done to backends."""
    listed = headrace("audit", "list", "--action", "backends", "--json", folder=folder)
    return [json.loads(line) for line in listed.stdout.splitlines()]

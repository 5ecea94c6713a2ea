"""The admin API beside a gateway that runs: its process, its first key, what it changes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from operate.test_keys import ask, headrace, made, until
from support.gateway_process import running_gateway
from support.scripted import ScriptedThread

STRONG = "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"
CONFIG = """
server: {{workers: {workers}, drain_s: 2}}
admin: {{port: 0{admin}}}
keys: {{own: {{secret: env:OWN_KEY}}}}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
  other: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up, other]]}}
"""
ENV = {"OWN_KEY": "o" * 40, "ADMIN_KEY": STRONG}


class Api:
    def __init__(self, serving: dict[str, Any], key: str | None = None) -> None:
        self.url = str(serving["admin_url"])
        self.key = key or str(serving["admin_key"])

    def __call__(self, method: str, path: str, json: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.request(method, self.url + path, json=json, headers=headers, timeout=20)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def admin_pid(pid: int) -> int:
    def words(child: int) -> str:
        return Path(f"/proc/{child}/cmdline").read_text()

    (found,) = [child for child in children(pid) if "admin_process" in words(child)]
    return found


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_what_is_changed_there_holds_on_the_port(
    upstream: ScriptedThread, tmp_path: Path, workers: int
) -> None:
    text = CONFIG.format(url=upstream.url, workers=workers, admin="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        assert api.key.startswith("hra_")
        new = api("POST", "/v1/keys", {"name": "shop"}).json()
        until(lambda: all(ask(gateway, new["secret"]).status_code == 200 for _ in range(8)))
        path = f"/v1/keys/{new['key']['id']}"
        rotated = api("POST", f"{path}/rotate", {"grace_s": 0}).json()["secret"]
        until(lambda: all(ask(gateway, rotated).status_code == 200 for _ in range(8)))
        until(lambda: all(ask(gateway, new["secret"]).status_code == 401 for _ in range(8)))
        assert api("POST", f"{path}/revoke").status_code == 200
        until(lambda: all(ask(gateway, rotated).status_code == 401 for _ in range(8)))
        backends = api("GET", "/v1/backends").json()
        assert {told["name"] for told in backends} == {"up", "other"}
        assert len(backends) == 2 * workers
        changed = api("POST", "/v1/backends/up/isolate").json()
        assert (changed["state"], changed["workers"]) == ("isolated", workers)
        for _ in range(6):
            assert ask(gateway, ENV["OWN_KEY"]).headers["x-headrace-backend"] == "other"
        assert api("POST", "/v1/backends/up/restore").json()["workers"] == workers
        assert api("GET", "/v1/health").json()["workers"] == workers
        assert api("GET", "/v1/calls/nothing-of-it").status_code == 404
        events = made("audit", "list", "--json", folder=tmp_path).splitlines()
        actions = [json.loads(event)["action"] for event in events]
        for action in ("keys.create", "keys.rotate", "keys.revoke", "backends.isolate"):
            assert action in actions
        assert headrace("audit", "verify", folder=tmp_path).returncode == 0
        texts = (tmp_path / "log.jsonl").read_text() + (
            tmp_path / ".headrace" / "audit.jsonl"
        ).read_text()
        for secret in (api.key, new["secret"], rotated):
            assert secret not in texts


def test_the_first_key_is_made_and_told_once(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, admin="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        first = Api(gateway.serving)
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert gateway.serving["admin_key"] is None
        again = Api(gateway.serving, first.key)
        assert again("GET", "/v1/keys").status_code == 200
        revoked = made("admin", "revoke", first.key.split("_")[1], "--json", folder=tmp_path)
        assert json.loads(revoked)["state"] == "revoked"
        until(lambda: again("GET", "/v1/keys").status_code == 401)


def test_a_key_of_the_configuration_is_all_there_is(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, admin=", key: env:ADMIN_KEY")
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert gateway.serving["admin_key"] is None
        assert Api(gateway.serving, STRONG)("GET", "/v1/admin-keys").json()["items"] == []


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("tiny-key", "shorter than 32"),
        ("a" * 40, "different characters"),
        ("abcdefghijklmnop" * 3, "repeats itself"),
        ("password-admin-changeme-0123456789-secret", "words that many use"),
    ],
)
def test_a_weak_admin_key_stops_the_start(tmp_path: Path, key: str, why: str) -> None:
    text = CONFIG.format(url="http://127.0.0.1:9", workers=1, admin=", key: env:ADMIN_KEY")
    (tmp_path / "headrace.yaml").write_text(text)
    done = headrace(
        "serve", "--port", "0", folder=tmp_path, env={"OWN_KEY": "o" * 40, "ADMIN_KEY": key}
    )
    assert done.returncode == 3
    assert why in done.stderr
    assert key not in done.stderr + done.stdout


def test_the_process_is_started_again_and_ends_with_the_gateway(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, admin="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        pid = admin_pid(gateway.pid)
        os.kill(pid, signal.SIGKILL)
        until(lambda: answers(lambda: api("GET", "/v1/keys").status_code == 200))
        again = admin_pid(gateway.pid)
        assert again != pid
        assert ask(gateway, ENV["OWN_KEY"]).status_code == 200
        os.kill(gateway.pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{again}").exists() or zombie(again))


def answers(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except httpx.TransportError:
        return False


def zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_port_that_is_taken_is_told(upstream: ScriptedThread, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = CONFIG.format(url=upstream.url, workers=1, admin="").replace(
            "port: 0", f"port: {port}"
        )
        (tmp_path / "headrace.yaml").write_text(text)
        done = headrace("serve", "--port", "0", folder=tmp_path, env=ENV)
    assert done.returncode == 3
    assert f"{port}" in done.stderr and "admin.port" in done.stderr
    assert json.loads(made("admin", "list", "--json", folder=tmp_path)) == [], "no key was lost"


def test_nothing_of_it_is_imported_without_it(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, admin="").replace("admin: {port: 0}", "")
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert "admin_process" not in "".join(
            Path(f"/proc/{child}/cmdline").read_text() for child in children(gateway.pid)
        )
    script = (
        "import sys, headrace.cli, headrace.operate.serve, headrace.operate.worker_process\n"
        "print(*[m for m in sys.modules if m.split('.')[0] in ('starlette', 'uvicorn', 'h11')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""


def test_limits_of_a_team_hold_over_its_keys(upstream: ScriptedThread, tmp_path: Path) -> None:
    """Also when the gateway had nobody with limits at its start."""
    text = CONFIG.format(url=upstream.url, workers=1, admin="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        rule = {"per": "team", "requests": 4, "every_s": 3600, "burst_s": 3600}
        team = api("POST", "/v1/tenants/default/teams", {"name": "red", "limits": [rule]})
        assert team.status_code == 201, team.text
        keys = [
            api("POST", "/v1/keys", {"name": f"k{n}", "team": "red"}).json()["secret"]
            for n in range(2)
        ]
        until(lambda: ask(gateway, keys[1], "none").status_code == 404)
        time.sleep(0.1)
        statuses = [ask(gateway, keys[n % 2]).status_code for n in range(8)]
        assert statuses.count(200) == 4, statuses
        assert statuses[4:] == [429] * 4
        assert ask(gateway, ENV["OWN_KEY"]).status_code == 200


def test_workers_that_cannot_count_together_have_no_keys_with_limits(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=2, admin="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        new = {"name": "k", "limits": [{"per": "key", "requests": 4}]}
        assert "redis" in api("POST", "/v1/keys", new).json()["error"]["message"]
    limited = ("keys", "create", "k", "--requests-per-minute", "5")
    refused = headrace(*limited, folder=tmp_path, env=ENV)
    assert refused.returncode == 3
    assert "redis" in refused.stderr
    single = text.replace("workers: 2", "workers: 1")
    (tmp_path / "headrace.yaml").write_text(single)
    made(*limited, folder=tmp_path)
    (tmp_path / "headrace.yaml").write_text(text)
    done = headrace("serve", "--port", "0", folder=tmp_path, env=ENV)
    assert done.returncode == 3
    assert "redis" in done.stderr


def test_usage_is_shown_to_those_whose_it_is(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, admin="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        api = Api(gateway.serving)
        for tenant in ("acme", "bolt"):
            assert api("POST", "/v1/tenants", {"name": tenant}).status_code == 201
            key = api("POST", "/v1/keys", {"name": "k", "tenant": tenant}).json()["secret"]
            until(lambda key=key: ask(gateway, key).status_code == 200)  # type: ignore[misc]
        until(lambda: len(api("GET", "/v1/usage?by=tenant").json()["lines"]) == 2)
        lines = api("GET", "/v1/usage?by=tenant,model&step=day").json()["lines"]
        assert {line["group"]["tenant"] for line in lines} == {"acme", "bolt"}
        assert all(line["sums"]["calls"] >= 1 for line in lines)
        new = {"name": "v", "role": "viewer", "tenants": ["acme"]}
        own = Api(gateway.serving, api("POST", "/v1/admin-keys", new).json()["secret"])
        lines = own("GET", "/v1/usage?by=tenant").json()["lines"]
        assert [line["group"]["tenant"] for line in lines] == ["acme"]
        assert own("GET", "/v1/usage?by=model").json()["lines"][0]["sums"] == lines[0]["sums"]
        assert own("GET", "/v1/usage?by=key&tenant=bolt").json()["lines"] == []
        assert own("GET", "/v1/usage?by=colour").status_code == 400

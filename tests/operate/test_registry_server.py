"""The registry on a real PostgreSQL that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from operate.test_keys import ask, headrace, until
from support.gateway_process import Gateway, running_gateway
from support.postgres_process import PostgresProcess, postgres_process
from support.scripted import ScriptedThread

CONFIG = """
server: {{drain_s: 2}}
store: {{url_secret: env:STORE_URL}}
keys: {{own: {{secret: env:OWN_KEY}}}}
backends: {{up: {{provider: openai, url: "{url}/v1"}}}}
models: {{one: {{pools: [[up]]}}}}
"""


@pytest.fixture
def server() -> Iterator[PostgresProcess]:
    with postgres_process() as running:
        yield running


def missing(gateway: Gateway) -> list[str]:
    told: list[str] = httpx.get(f"{gateway.root}/readyz", timeout=20).json()["missing"]
    return told


@pytest.mark.soak
def test_keys_outlive_their_server(
    upstream: ScriptedThread, server: PostgresProcess, tmp_path: Path
) -> None:
    url = server.new_database("headrace").reveal()
    env = {"STORE_URL": url, "OWN_KEY": "o" * 40}
    text = CONFIG.format(url=upstream.url)
    (tmp_path / "headrace.yaml").write_text(text)

    def command(*arguments: str) -> str:
        done = headrace(*arguments, folder=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with running_gateway(text, tmp_path, env) as gateway:
        key = command("keys", "create", "shop")
        until(lambda: ask(gateway, key).status_code == 200)
        revoked = command("keys", "create", "old")
        until(lambda: ask(gateway, revoked).status_code == 200)
        command("keys", "revoke", "old")
        until(lambda: ask(gateway, revoked).status_code == 401)
        server.kill()
        log = tmp_path / "log.jsonl"
        until(lambda: "the registry cannot be read" in log.read_text())
        assert ask(gateway, key).status_code == 200, "what is known goes on"
        assert ask(gateway, revoked).status_code == 401
        refused = headrace("keys", "create", "more", folder=tmp_path, env=env)
        assert refused.returncode == 3
        assert url not in refused.stderr
    with running_gateway(text, tmp_path, env) as gateway:
        assert any("registry" in what for what in missing(gateway))
        assert ask(gateway, env["OWN_KEY"]).status_code == 200
        assert ask(gateway, key).status_code == 401
        server.start_again()
        until(lambda: ask(gateway, key).status_code == 200)
        assert not any("registry" in what for what in missing(gateway))
        assert ask(gateway, revoked).status_code == 401
        assert not (tmp_path / ".headrace" / "registry.db").exists()
        assert url not in (tmp_path / "log.jsonl").read_text()

"""The registry on a real PostgreSQL that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.world import Person
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


def test_who_watches_sees_that_the_server_is_away(
    upstream: ScriptedThread, server: PostgresProcess, tmp_path: Path
) -> None:
    env = {"STORE_URL": server.new_database("headrace").reveal(), "OWN_KEY": "o" * 40}
    text = CONFIG.format(url=upstream.url) + "admin: {port: 0, key: env:OWN_ADMIN}\n"
    own = "3f9c1a7e5b2d8046c9e1f7a3b5d20864"
    with running_gateway(text, tmp_path, env | {"OWN_ADMIN": own}) as gateway:
        url = str(gateway.serving["admin_url"])

        def admin(method: str, path: str, key: str, **more: Any) -> httpx.Response:
            headers = {"authorization": f"Bearer {key}"}
            return httpx.request(method, url + path, headers=headers, timeout=30, **more)

        made = admin("POST", "/v1/admin-keys", own, json={"name": "ops", "role": "operator"})
        key = made.json()["secret"]
        assert admin("GET", "/metrics", key).status_code == 200
        server.kill()
        until(lambda: admin("GET", "/v1/keys", own).status_code == 503)
        for path in ("/metrics", "/v1/backends", "/v1/alerts"):
            assert admin("GET", path, key).status_code == 200, path
        person = Person(url)
        with person.http:
            overview = person.signed_in(key).look("/console/")
        assert overview.status_code == 200
        assert "Calls a second" in overview.text
        assert "The ledger cannot be read just now" in overview.text
        refused = admin("POST", "/v1/backends/up/isolate", key)
        assert refused.status_code == 503
        assert "Until it can" in refused.json()["error"]["message"]
        assert admin("GET", "/metrics", made.json()["key"]["id"]).status_code == 503
        assert admin("POST", "/v1/backends/up/isolate", own).status_code == 200
        told = headrace("keys", "list", folder=tmp_path, env=env | {"OWN_ADMIN": own})
        assert told.returncode == 3
        assert "Connection refused" in told.stderr
        assert "See that the database server is up" in told.stderr
        server.start_again()
        until(lambda: admin("POST", "/v1/backends/up/restore", key).status_code == 200)


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

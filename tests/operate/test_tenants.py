"""Tenants and teams of the file and of the registry hold for all keys under them, at the port."""

from __future__ import annotations

import time
from pathlib import Path

from operate.test_keys import ask, headrace, made, until
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

ENV = {"FILED_KEY": "f" * 40, "BLUE_KEY": "b" * 40, "FREE_KEY": "e" * 40}
FILED, BLUE, FREE = ENV.values()
CONFIG = """
keys:
  filed: {{secret: env:FILED_KEY, tenant: acme, team: red}}
  blue: {{secret: env:BLUE_KEY, team: blue}}
  free: {{secret: env:FREE_KEY}}
tenants:
  acme:
    models: [one, three]
    limits: [{{per: tenant, requests: 4, every_s: 3600, burst_s: 3600}}]
    teams:
      red: {{regions: [eu]}}
    suspended: {suspended}
teams:
  blue:
    budgets: [{{per: team, tokens: 10}}]
backends:
  up: {{provider: openai, url: "{url}/v1", region: eu}}
  over: {{provider: openai, url: "{url}/v1", region: us}}
models:
  one: {{pools: [[over], [up]]}}
  two: {{pools: [[over]]}}
  three: {{pools: [[over]]}}
"""


def code(gateway: Gateway, key: str, model: str = "one") -> str | int:
    answer = ask(gateway, key, model)
    return 200 if answer.status_code == 200 else str(answer.json()["error"]["code"])


def test_what_the_file_says_of_a_tenant_holds_for_its_keys_and_the_registry_s(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, suspended="false")
    with running_gateway(text, tmp_path, ENV) as gateway:
        answer = ask(gateway, FILED, **{"x-headrace-explain": "1"})
        assert answer.headers["x-headrace-backend"] == "up", "the first tier is of another region"
        assert code(gateway, FILED, "two") == "model_not_allowed"
        assert code(gateway, FILED, "three") == "region_not_allowed"
        assert code(gateway, FREE, "two") == 200

        virtual = made("keys", "create", "virtual", "--tenant", "acme", folder=tmp_path)
        until(lambda: code(gateway, virtual, "two") == "model_not_allowed")
        assert code(gateway, virtual, "three") == 200, "it is of no team"
        found = [code(gateway, key) for key in (FILED, virtual) * 3]
        assert found.count(200) == 2, "four calls together"
        refused = ask(gateway, virtual)
        assert refused.status_code == 429
        assert "requests per tenant" in refused.json()["error"]["message"]
        assert code(gateway, FREE) == 200

        assert code(gateway, BLUE) == 200, "the first call may use more than is left"
        assert ask(gateway, BLUE).status_code == 429
        assert "tokens per team" in ask(gateway, BLUE).json()["error"]["message"]


def test_what_the_registry_says_holds_for_keys_of_the_file(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    """Beside what the file says of the same tenant."""
    text = CONFIG.format(url=upstream.url, suspended="false")
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert code(gateway, FILED) == 200
        made("tenants", "create", "acme", "--model", "two,three", folder=tmp_path)
        until(lambda: code(gateway, FILED) == "model_not_allowed")
        assert code(gateway, FILED, "two") == "model_not_allowed", "it is not of the file's"
        assert code(gateway, FREE) == 200
        made("tenants", "suspend", "acme", folder=tmp_path)
        until(lambda: ask(gateway, FILED).status_code == 401)
        assert "suspended" in ask(gateway, FILED).json()["error"]["message"]
        made("tenants", "resume", "acme", folder=tmp_path)
        until(lambda: code(gateway, FILED) == "model_not_allowed")


def test_a_changed_file_holds_for_the_registry_s_keys_within_a_second_or_so(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, suspended="false")
    with running_gateway(text, tmp_path, ENV) as gateway:
        virtual = made("keys", "create", "virtual", "--tenant", "acme", folder=tmp_path)
        until(lambda: code(gateway, virtual) == 200)
        changed = CONFIG.format(url=upstream.url, suspended="true")
        (tmp_path / "headrace.yaml").write_text(changed)
        for key in (FILED, virtual):
            until(lambda key=key: ask(gateway, key).status_code == 401)  # type: ignore[misc]
        assert code(gateway, FREE) == 200


def test_a_suspended_tenant_of_the_file_is_so_from_the_first_call(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, suspended="true")
    (tmp_path / "headrace.yaml").write_text(text)
    virtual = made("keys", "create", "virtual", "--tenant", "acme", folder=tmp_path)
    with running_gateway(text, tmp_path, ENV) as gateway:
        began = time.monotonic()
        while time.monotonic() < began + 1.5:  # two looks at the registry
            assert ask(gateway, virtual).status_code == 401
            assert ask(gateway, FILED).status_code == 401


def test_a_key_can_be_made_under_what_the_file_says_and_gets_no_more(tmp_path: Path) -> None:
    text = CONFIG.format(url="http://127.0.0.1:1", suspended="false")
    (tmp_path / "headrace.yaml").write_text(text)
    beyond = headrace("keys", "create", "k", "--tenant", "acme", "--model", "two", folder=tmp_path)
    assert beyond.returncode == 3
    assert "may not use two" in beyond.stderr
    nowhere = headrace("keys", "create", "k", "--tenant", "acne", folder=tmp_path)
    assert "There is no tenant 'acne'" in nowhere.stderr
    assert made("keys", "create", "k", "--team", "blue", folder=tmp_path)

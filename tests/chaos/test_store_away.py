"""T36: the ledger's database is away for a minute while calls go on. Of Redis see
`test_shared_limits.py`."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from chaos.conftest import SOAK, STEADY
from headrace.config.storing import Store
from headrace.data.database import DatabaseAway
from headrace.data.databases import database
from headrace.data.ledger_verify import verify
from support.gateway_process import Gateway, running_gateway
from support.postgres_process import postgres_process
from support.scripted import ScriptedThread

AWAY_S = 60.0 if SOAK else 2.0
PATIENCE_S = 60.0
KEY = "app0123456789abcdef0123456789"
CONFIG = (
    STEADY
    + """
store: {{drain_every_s: 0.05, journal_keep_hours: 24, url_secret: env:DATABASE_URL}}
keys:
  app: {{secret: env:APP}}
limits:
  - {{per: key, requests: 1_000_000}}
budgets:
  - {{per: key, usd: "1000", every: day}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  plain: {{pools: [[up]]}}
"""
)


def _called(gateway: Gateway, client: httpx.Client, for_s: float) -> list[str]:
    """Calls one after the other; the ids of all, each of which was answered."""
    ids = []
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        body = {"model": "plain", "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {KEY}"}
        answer = client.post(f"{gateway.url}/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        ids.append(answer.headers["x-request-id"])
    return ids


def test_nothing_is_lost_while_the_database_is_away(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    with postgres_process() as postgres:
        url = postgres.new_database("away")
        env = {"APP": KEY, "DATABASE_URL": url.reveal()}
        with (
            running_gateway(CONFIG.format(url=upstream.url), tmp_path, env) as gateway,
            httpx.Client() as client,
        ):
            ids = _called(gateway, client, 0.5)
            postgres.kill()
            ids += _called(gateway, client, AWAY_S)
            assert client.get(f"{gateway.url.removesuffix('/v1')}/readyz").status_code == 200
            postgres.start_again()
            ids += _called(gateway, client, 0.5)
        folder = tmp_path / Store().folder
        kept = database(folder, url)
        until = time.monotonic() + PATIENCE_S
        rows: list[str] = []
        while len(rows) < len(ids) and time.monotonic() < until:
            try:
                rows = [str(call) for (call,) in kept.read("SELECT call FROM ledger")]
            except DatabaseAway:
                time.sleep(0.1)
        assert sorted(rows) == sorted(ids)
        assert verify(kept, folder, lambda _: None).findings == []
        kept.close()

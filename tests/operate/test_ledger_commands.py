"""The ledger as a person sees it: a real gateway, real calls, the real commands."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from headrace.config.storing import Store
from headrace.data.journal import Journal
from headrace.edge.backlog import Backlog
from headrace.errors import Reason, Refused
from headrace.gateway.metering import Metering
from headrace.gateway.prices import PriceBook
from support.commands import run
from support.gateway_process import Gateway, running_gateway
from support.ledger_records import Scribe
from support.scripted import ScriptedThread, scripted_thread

PATIENCE_S = 30.0
ENV = {"APP": "app0123456789abcdef0123456789", "BOT": "bot0123456789abcdef0123456789",
       "HOOK": "whsec-0123456789abcdef"}  # fmt: skip
CONFIG = """
store: {{drain_every_s: 0.02{more}}}
keys:
  app: {{secret: env:APP, team: search}}
  bot: {{secret: env:BOT, team: chat, tenant: acme}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o, region: eu}}
  odd: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]]}}
  odd: {{pools: [[odd]]}}
"""


@pytest.fixture
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread(usage={"input": 1000, "output": 100}) as made:
        yield made


def ask(gateway: Gateway, key: str, model: str = "one") -> int:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "Hello"}]},
        headers={"authorization": f"Bearer {ENV[key]}"},
        timeout=PATIENCE_S,
    ).status_code


def headrace(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(arguments, folder, ENV)


def usage(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = headrace(folder, "usage", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@pytest.fixture
def folder(upstream: ScriptedThread, tmp_path: Path) -> Path:
    """Where a gateway answered 3 calls of the app, 2 of the bot, 1 of unknown price, refused 1."""
    (tmp_path / "headrace.yaml").write_text(CONFIG.format(url=upstream.url, more=""))
    text = (tmp_path / "headrace.yaml").read_text()
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        statuses = [ask(gateway, "APP") for _ in range(3)] + [ask(gateway, "BOT") for _ in range(2)]
        statuses += [ask(gateway, "BOT", "odd"), ask(gateway, "APP", "none")]
        assert statuses == [200] * 6 + [404]
        until(lambda: headrace(tmp_path, "usage").returncode == 0)  # its writer is up
        until(lambda: bool(usage(tmp_path)) and usage(tmp_path)[0]["calls"] == 7)
    return tmp_path


def test_usage_in_all_forms(folder: Path) -> None:
    price = 5000  # 1000 input and 100 output tokens of gpt-4o, at 2.5 and 10 dollars a million
    teams = {row["team"]: row for row in usage(folder, "--by", "team")}
    assert (teams["search"]["calls"], teams["search"]["failed"]) == (4, 1)
    assert teams["search"]["cost_microusd"] == 3 * (2500 + 1000) == 3 * price - 4500
    assert (teams["chat"]["calls"], teams["chat"]["unpriced"]) == (3, 1)
    assert teams["chat"]["input_tokens"] == 3000
    assert teams["search"]["mean_latency_ms"] > 0
    rows = usage(folder, "--by", "tenant,backend", "--where", "team=chat", "--since", "1h")
    assert {(r["tenant"], r["backend"], r["calls"]) for r in rows} == {
        ("acme", "up", 2), ("acme", "odd", 1),
    }  # fmt: skip
    (by_region,) = usage(folder, "--by", "region", "--where", "region=eu", "--period", "day")
    assert by_region["calls"] == 5
    assert len(by_region["day"]) == len("2026-11-24")
    assert usage(folder, "--until", "2020-01-01", "--since", "2019-01-01") == []
    assert "No calls with the tag env." in headrace(folder, "usage", "--by", "tag:env").stdout
    table = headrace(folder, "usage", "--by", "team").stdout
    assert "search" in table
    assert "of unknown price" in table
    assert "█" in table
    text = headrace(folder, "usage", "--by", "team", "--csv").stdout
    assert {row["team"] for row in csv.DictReader(io.StringIO(text))} == {"search", "chat"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--by", "colour"], "tag:NAME"),
        (["--period", "year"], "month"),
        (["--since", "yesterday"], "7d"),
        (["--where", "team"], "NAME=VALUE"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "later"),
    ],
)
def test_usage_says_what_to_write_instead(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = headrace(tmp_path, "usage", *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_why_tells_what_the_ledger_has_where_nobody_remembers(folder: Path) -> None:
    """All gateways have ended here, and most of these calls met with no trouble."""
    database = apsw.Connection(str(folder / ".headrace/ledger.sqlite"))
    calls = dict(database.execute("SELECT model || ':' || tenant, call FROM ledger"))
    database.close()
    good = headrace(folder, "why", calls["one:acme"])
    assert good.returncode == 0, good.stderr
    assert "200, complete, in " in good.stdout and ", first content after " in good.stdout
    assert "chat of one, by key bot, tenant acme, team chat\n" in good.stdout
    assert "answered  by up, 1 attempt\n" in good.stdout
    assert "1,000 tokens in, 100 out, $0.003500\n" in good.stdout
    assert "at no known price" in headrace(folder, "why", calls["odd:acme"]).stdout
    refused = headrace(folder, "why", calls["none:default"]).stdout
    assert "404, refused (model_not_found)" in refused and "no backend was asked" in refused
    (line,) = headrace(folder, "why", calls["one:acme"], "--json").stdout.splitlines()
    row = json.loads(line)["ledger"]
    assert (row["call"], row["cost_microusd"]) == (calls["one:acme"], 3500)
    unknown = headrace(folder, "why", "no-such-call")
    assert unknown.returncode == 3 and "No gateway runs" in unknown.stderr


def test_verify_finds_what_was_changed(folder: Path) -> None:
    good = headrace(folder, "ledger", "verify", "--json")
    assert good.returncode == 0, good.stdout
    report = json.loads(good.stdout)
    assert (report["rows"], report["journal_calls"], report["findings"]) == (7, 7, [])
    kept = apsw.Connection(str(folder / ".headrace" / "ledger.sqlite"))
    kept.execute("UPDATE ledger SET cost_microusd = 1 WHERE position = 2")
    kept.close()
    bad = headrace(folder, "ledger", "verify")
    assert bad.returncode == 1
    assert "row 2 was changed" in bad.stdout
    assert "Something is wrong." in bad.stdout


def test_without_a_ledger(tmp_path: Path) -> None:
    for command in (["usage"], ["ledger", "verify"]):
        done = headrace(tmp_path, *command)
        assert done.returncode == 3
        assert "There is no ledger" in done.stderr


@pytest.mark.soak
def test_calls_go_on_while_the_database_is_away(upstream: ScriptedThread, tmp_path: Path) -> None:
    """And nobody waits for it, at the start or at the end."""
    more = ', url: "postgresql://127.0.0.1:1/none"'
    text = CONFIG.format(url=upstream.url, more=more)
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        assert [ask(gateway, "APP") for _ in range(3)] == [200] * 3
        log = tmp_path / "log.jsonl"
        until(lambda: "the store is away" in log.read_text())
    assert len(list((tmp_path / ".headrace").glob("journal-*"))) == 1
    assert headrace(tmp_path, "usage").returncode == 3
    # Back in a file, it is all there.
    text = CONFIG.format(url=upstream.url, more="")
    with running_gateway(text, tmp_path, env=ENV):
        assert usage(tmp_path)[0]["calls"] == 3


def test_settled_calls_come_to_a_file(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = (
        CONFIG.format(url=upstream.url, more="") + "export: {log: {to: file, path: rows.jsonl}}\n"
    )
    rows = tmp_path / "rows.jsonl"
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        assert ask(gateway, "APP") == 200
        until(lambda: rows.exists() and rows.read_text().endswith("\n"))
    (row,) = map(json.loads, rows.read_text().splitlines())
    assert (row["team"], row["used_model"], row["region"]) == ("search", None, "eu")
    assert (row["cost_microusd"], row["finish"]) == (3500, "complete")
    assert row["price_version"].startswith("genai-prices ")


def test_a_full_journal_stops_calls_or_not(tmp_path: Path) -> None:
    """Two files of a mebibyte each, where one may be; the configuration takes no limit so small."""
    journal, other = Journal(tmp_path), Journal(tmp_path)
    metering = Metering(journal, PriceBook.shipped())
    Backlog(tmp_path, Store(journal_limit_mib=1, when_full="go_on"), metering).look()
    assert metering.writable()
    backlog = Backlog(tmp_path, Store(journal_limit_mib=1), metering)
    backlog.look()
    assert not metering.writable()
    with pytest.raises(Refused) as refused:
        metering.intend(*[None] * 3)  # type: ignore[arg-type]
    assert (refused.value.reason, refused.value.retry_after_s) == (Reason.STORE_UNAVAILABLE, 5.0)
    other.close()  # which leaves no more than its first line
    next(path for path in tmp_path.glob("journal-*") if other.run in path.name).unlink()
    Scribe(journal).whole()
    backlog.look()
    assert not metering.writable()  # not before it has shrunk well below
    for path in tmp_path.glob("journal-*"):
        path.unlink()
    backlog.look()
    journal.heal()
    assert metering.writable()

"""A budget in dollars that would refuse every call of a model is told before one comes: by the
check, at the start, at a reload and to who makes a key; and what it says to write is what helps."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from headrace.config.loading import loaded
from headrace.gateway.unpriced_budgets import unpriced_budgets
from operate.test_keys import until
from support.commands import run
from support.gateway_process import running_gateway
from support.scripted import ScriptedThread

ENV = {"SHOP": "shop-0123456789abcdef0123456789"}
CONFIG = """
backends:
  up: {{provider: openai, url: "{url}/v1"}}
  known: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  llama: {{pools: [[known], [up]]}}
  gpt: {{pools: [[known]]}}
keys:
  shop: {{secret: env:SHOP, models: [llama], budgets: [{{per: key, usd: "50"}}]}}
"""
PRICE = 'prices: {"llama": {input: 0.50, output: 1.50}}'
"""As the warning says."""


def test_it_is_told_and_what_is_told_helps(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url)
    log = tmp_path / "log.jsonl"
    with running_gateway(text, tmp_path, ENV) as gateway:

        def status() -> int:
            return httpx.post(
                f"{gateway.url}/chat/completions",
                json={"model": "llama", "messages": [{"role": "user", "content": "Hello"}]},
                headers={"authorization": f"Bearer {ENV['SHOP']}"},
                timeout=30,
            ).status_code

        (warning,) = json.loads(
            run(("config", "check", "--json"), tmp_path, ENV).stdout
        )["warnings"]  # fmt: skip
        assert warning.startswith("headrace.yaml:9: keys.shop.budgets[0]: no price is known of the")
        assert '"llama" (at up)' in warning and PRICE in warning and "priced_as" in warning
        assert [line["detail"] for line in told(log)] == [warning]
        assert status() == 429
        (tmp_path / "headrace.yaml").write_text(text + "server: {keep_alive_s: 50}\n")
        until(lambda: len(told(log)) == 2)
        (tmp_path / "headrace.yaml").write_text(text + PRICE)
        until(lambda: status() == 200)
    assert len(told(log)) == 2
    checked = run(("config", "check", "--json"), tmp_path, ENV)
    assert json.loads(checked.stdout)["warnings"] == []


def told(log: Path) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if "no price is known" in line.get("detail", "")]


def test_who_makes_a_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    made = ("keys", "create", "k", "--monthly-usd", "5")
    done = run((*made, "--model", "gpt"), tmp_path, ENV)
    assert (done.returncode, "price" in done.stderr) == (0, False)
    assert 'the model "llama" (at up)' in run(made, tmp_path, ENV).stderr
    (one, *_) = json.loads(run(("keys", "list", "--json"), tmp_path, ENV).stdout)[1:]
    done = run(("keys", "update", one["id"], "--model", "llama"), tmp_path, ENV)
    assert "no price is known" in done.stderr


def test_a_reload_that_takes_a_price_away_tells_whose_budgets_refuse(tmp_path: Path) -> None:
    """Budgets of keys that were made by command stand in no file whose check would tell of them."""
    text = CONFIG.format(url="http://127.0.0.1:9").partition("keys:")[0]
    log, file = tmp_path / "log.jsonl", tmp_path / "headrace.yaml"
    file.write_text(text)
    first, second, dear, gone = (
        json.loads(run(("keys", "create", name, "--json", *more), tmp_path, ENV).stdout)["key"][
            "id"
        ]
        for name, more in (
            ("first", ("--monthly-usd", "5", "--model", "gpt")),
            ("second", ("--monthly-usd", "9", "--model", "gpt")),
            ("dear", ("--monthly-usd", "5", "--model", "llama")),
            ("gone", ("--monthly-usd", "5", "--model", "gpt")),
        )
    )
    run(("keys", "revoke", gone), tmp_path, ENV)
    with running_gateway(text, tmp_path, ENV):
        until(lambda: bool(told(log)))
        assert [line["detail"].partition(":")[0] for line in told(log)] == [
            f"budgets of the key {dear}"
        ]
        file.write_text(text.replace(", priced_as: openai/gpt-4o", ""))
        until(lambda: len(told(log)) == 3)
    (warning,) = [line["detail"] for line in told(log)[1:] if '"gpt" (at known)' in line["detail"]]
    who, _, what = warning.partition(": ")
    assert set(who.removeprefix("budgets of ").split(", ")) == {
        f"the key {first}",
        f"the key {second}",
    }
    assert 'prices: {"gpt": {input' in what


HEAD = """
backends:
  own: {provider: openai, url: "http://10.0.0.7:8000/v1"}
  azure: {provider: azure_openai, url: "https://x.openai.azure.com", deployment: mine,
          credential: env:A}
  openai: {provider: openai, credential: env:B}
  claude: {provider: anthropic, credential: env:C, model: claude-sonnet-4-5}
  here: {provider: local}
models:
  own: {pools: [[own]]}
  azure: {pools: [[azure]]}
  gpt-4o: {pools: [[openai]]}
  claude: {pools: [[claude]]}
  here: {pools: [[here]]}
"""
CASES = {
    'budgets: [{per: team, usd: "5"}]': ['"own" (at own), "azure" (at azure)'],
    'budgets: [{per: team, usd: "5", only: {model: azure}}]': ["`model: NAME` at the backend"],
    'budgets: [{per: team, usd: "5", only: {model: [gpt-4o, claude, here]}}]': [],
    'budgets: [{per: team, tokens: 5}]': [],
    'budgets: [{per: team, usd: "5", unpriced: allow}]': [],
    'budgets: [{per: team, usd: "5", stop: false}]': [],
    'tenants: {acme: {models: [own, here], budgets: [{per: tenant, usd: "5"}]}}': ['"own" (at'],
    'tenants: {acme: {models: [here]}}\n'
    'keys: {k: {secret: env:K, tenant: acme, budgets: [{per: key, usd: "5"}]}}': [],
}  # fmt: skip


@pytest.mark.parametrize("more", CASES)
def test_which_budgets(more: str) -> None:
    made = loaded((HEAD + more).encode(), Path("headrace.yaml"))
    warnings = [str(warning) for warning in unpriced_budgets(made)]
    assert len(warnings) == len(CASES[more])
    for warning, part in zip(warnings, CASES[more], strict=True):
        assert part in warning


@pytest.mark.parametrize(
    ("provider", "warned"),
    [('openai, url: "http://10.0.0.7:8000/v1"', True), ("openai, credential: env:B", False)],
)
def test_a_backend_that_takes_any_name(provider: str, warned: bool) -> None:
    """Of a provider with prices, whether one is known is told by the name alone."""
    text = f'backends: {{up: {{provider: {provider}}}}}\nbudgets: [{{per: key, usd: "5"}}]\n'
    assert bool(unpriced_budgets(loaded(text.encode(), Path("headrace.yaml")))) is warned

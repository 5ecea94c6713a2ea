"""Virtual keys through the commands and a gateway that runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
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
keys:
  filed: {{secret: env:FILED_KEY, team: red, models: [one], regions: [eu]}}
  away: {{secret: env:AWAY_KEY, ip_ranges: ["203.0.113.0/24"]}}
  done: {{secret: env:DONE_KEY, expires: "2020-01-01"}}
backends:
  up: {{provider: openai, url: "{url}/v1", region: eu}}
  over: {{provider: openai, url: "{url}/v1", region: us}}
models:
  one: {{pools: [[over], [up]]}}
  two: {{pools: [[over]]}}
"""
ENV = {"FILED_KEY": "f" * 40, "AWAY_KEY": "a" * 40, "DONE_KEY": "d" * 40}


def headrace(
    *arguments: str, folder: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return run(arguments, folder, {**ENV, **(env or {})})


def made(*arguments: str, folder: Path) -> str:
    done = headrace(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def told(*arguments: str, folder: Path) -> Any:
    return json.loads(made(*arguments, "--json", folder=folder))


def ask(gateway: Gateway, key: str, model: str = "one", **more: str) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "Hello"}]},
        headers={"authorization": f"Bearer {key}", **more},
        timeout=PATIENCE_S,
    )


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_a_key_works_and_stops_while_the_gateway_runs(
    upstream: ScriptedThread, tmp_path: Path, workers: int
) -> None:
    text = CONFIG.format(url=upstream.url, workers=workers)
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        assert gateway.key is None
        key = made("keys", "create", "shop", folder=tmp_path)
        until(lambda: all(ask(gateway, key).status_code == 200 for _ in range(10)))
        new = made("keys", "rotate", "shop", "--grace", "1h", folder=tmp_path)
        assert "\n" not in new, "a script takes the secret from there"
        until(lambda: all(ask(gateway, new).status_code == 200 for _ in range(10)))
        assert ask(gateway, key).status_code == 200, "the old secret has its hour"
        made("keys", "revoke", "shop", folder=tmp_path)
        until(lambda: all(ask(gateway, new).status_code == 401 for _ in range(10)))
        until(lambda: all(ask(gateway, key).status_code == 401 for _ in range(10)))
        assert "revoked" in ask(gateway, key).json()["error"]["message"]
        log = (tmp_path / "log.jsonl").read_text()
        assert key not in log and new not in log
        for path in (tmp_path / ".headrace").iterdir():
            if path.is_file():
                content = path.read_bytes()
                assert key.encode() not in content and key.split("_")[2].encode() not in content


def test_what_a_key_may_do_holds_on_the_port(upstream: ScriptedThread, tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path, ENV) as gateway:
        made("tenants", "create", "acme", "--region", "eu", folder=tmp_path)
        made("teams", "create", "red", "--tenant", "acme", "--model", "one", folder=tmp_path)
        bound = made(
            "keys", "create", "bound", "--tenant", "acme", "--team", "red", folder=tmp_path
        )
        far = made("keys", "create", "far", "--ip", "203.0.113.0/24", folder=tmp_path)
        vectors = made("keys", "create", "vectors", "--operation", "embeddings", folder=tmp_path)
        until(lambda: ask(gateway, vectors).status_code == 403)
        answer = ask(gateway, bound, **{"x-headrace-explain": "1"})
        assert answer.status_code == 200
        assert answer.headers["x-headrace-backend"] == "up", "the first tier is of another region"
        assert ask(gateway, bound, "two").json()["error"]["code"] == "model_not_allowed"
        assert ask(gateway, far).json()["error"]["code"] == "address_not_allowed"
        assert ask(gateway, vectors).json()["error"]["code"] == "operation_not_allowed"
        listed = httpx.get(f"{gateway.url}/models", headers={"api-key": bound}).json()
        assert [model["id"] for model in listed["data"]] == ["one"]
        assert told("tenants", "suspend", "acme", folder=tmp_path)["suspended"] is True
        until(lambda: ask(gateway, bound).status_code == 401)
        assert ask(gateway, vectors).status_code == 403, "others are not concerned"
        assert told("tenants", "resume", "acme", folder=tmp_path)["suspended"] is False
        until(lambda: ask(gateway, bound).status_code == 200)


def test_keys_of_the_file_have_terms_too(upstream: ScriptedThread, tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path, ENV) as gateway:
        assert ask(gateway, ENV["FILED_KEY"]).headers["x-headrace-backend"] == "up"
        assert ask(gateway, ENV["AWAY_KEY"]).json()["error"]["code"] == "address_not_allowed"
        assert "expired" in ask(gateway, ENV["DONE_KEY"]).json()["error"]["message"]
        keys = told("keys", "list", folder=tmp_path)
        assert {(key["id"], key["source"], key["state"]) for key in keys} == {
            ("filed", "file", "live"), ("away", "file", "live"), ("done", "file", "expired"),
        }  # fmt: skip
        for verb in (("rotate",), ("revoke",), ("update", "--model", "two")):
            refused = headrace("keys", verb[0], "filed", *verb[1:], folder=tmp_path)
            assert refused.returncode == 3
            assert "headrace.yaml" in refused.stderr


def test_a_registry_that_cannot_be_read_changes_nothing(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    key = made("keys", "create", "shop", folder=tmp_path)
    path = tmp_path / ".headrace" / "registry.db"
    with running_gateway(CONFIG.format(url=upstream.url, workers=1), tmp_path, ENV) as gateway:
        assert ask(gateway, key).status_code == 200
        good = path.read_bytes()
        path.write_bytes(b"something else" * 1000)
        log = tmp_path / "log.jsonl"
        until(lambda: "the registry cannot be read" in log.read_text())
        assert ask(gateway, key).status_code == 200
        (tmp_path / "good").write_bytes(good)
        (tmp_path / "good").replace(path)
        until(lambda: "can be read again" in log.read_text())
        assert ask(gateway, key).status_code == 200


def test_a_gateway_with_a_broken_registry_does_not_start(tmp_path: Path) -> None:
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace" / "registry.db").write_bytes(b"something else" * 1000)
    config = CONFIG.format(url="http://127.0.0.1:9", workers=1)
    (tmp_path / "headrace.yaml").write_text(config)
    done = headrace("serve", "--port", "0", folder=tmp_path)
    assert done.returncode == 3
    assert "registry.db" in done.stderr


def test_a_key_that_was_told_survives_a_kill(tmp_path: Path) -> None:
    """What `create` printed is in the file, however its process ends after it."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from headrace.operate.registry import Registry\n"
        "from headrace.gateway.administration.wishes import NewKey\n"
        "with Registry(Path(sys.argv[1])) as registry:\n"
        "    while True:\n"
        "        key, _ = registry.keys.create(registry.by, NewKey(name='k'))\n"
        "        print(key.id, flush=True)\n"
    )
    for round_ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / ".headrace")],
            stdout=subprocess.PIPE, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert process.stdout is not None
        told_ids = [process.stdout.readline().decode().strip() for _ in range(5 + 7 * round_)]
        process.send_signal(signal.SIGKILL)
        told_ids += [line.decode().strip() for line in process.stdout if line.endswith(b"\n")]
        process.wait()
        process.stdout.close()
        kept = {key["id"] for key in told("keys", "list", folder=tmp_path)}
        assert set(told_ids) <= kept
    with sqlite3.connect(tmp_path / ".headrace" / "registry.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_generated_key_gives_way_to_made_ones(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = f'backends: {{up: {{provider: openai, url: "{upstream.url}/v1", model: one}}}}\n'
    with running_gateway(text, tmp_path) as gateway:
        assert gateway.key is not None
        generated = gateway.key
    key = made("keys", "create", "shop", folder=tmp_path)
    with running_gateway(text, tmp_path) as gateway:
        assert gateway.key is None
        assert ask(gateway, key).status_code == 200
        assert ask(gateway, generated).status_code == 401


def test_the_commands_say_what_to_do(tmp_path: Path) -> None:
    for arguments, words, code in (
        (("keys", "create", "x", "--team", "none"), "There is no team 'none'", 3),
        (("keys", "create", "x", "--ip", "10.0.0.1/8"), "no range", 2),
        (("keys", "create", "x", "--expires", "soon"), "expires", 2),
        (("keys", "create", "x", "--expires", "2001-01-01"), "in the past", 2),
        (("keys", "create", "a b"), "name", 2),
        (("keys", "create", "x", "--tag", "alone"), "NAME=WORD", 2),
        (("keys", "create", "x", "--monthly-usd", "lots"), "usd", 2),
        (("keys", "rotate", "none"), "There is no key 'none'", 3),
        (("keys", "rotate", "none", "--grace", "long"), "length of time", 2),
        (("keys", "revoke", "none"), "There is no key 'none'", 3),
        (("keys", "show", "none"), "There is no key 'none'", 3),
        (("teams", "create", "red", "--tenant", "none"), "There is no tenant 'none'", 3),
        (("admin", "revoke", "none"), "There is no admin key 'none'", 3),
    ):  # fmt: skip
        done = headrace(*arguments, folder=tmp_path)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert words in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    for command in ("keys", "tenants", "teams", "users", "admin"):
        assert headrace(command, "--help", folder=tmp_path).returncode == 0


def test_two_keys_of_one_name_are_told_apart_by_id(tmp_path: Path) -> None:
    made("keys", "create", "twin", folder=tmp_path)
    made("keys", "create", "twin", folder=tmp_path)
    refused = headrace("keys", "revoke", "twin", folder=tmp_path)
    assert refused.returncode == 3
    keys = told("keys", "list", folder=tmp_path)
    assert all(key["id"] in refused.stderr for key in keys)
    made("keys", "revoke", keys[0]["id"], folder=tmp_path)
    made("keys", "revoke", "twin", folder=tmp_path)
    assert told("keys", "list", folder=tmp_path) == []
    states = [key["state"] for key in told("keys", "list", "--all", folder=tmp_path)]
    assert states == ["revoked", "revoked"]


def test_a_change_keeps_the_rest(tmp_path: Path) -> None:
    made("keys", "create", "shop", "--model", "one", "--tag", "a=b", "--requests-per-minute", "60",
         "--monthly-usd", "50", folder=tmp_path)  # fmt: skip
    made("keys", "update", "shop", "--model", "two,three", folder=tmp_path)
    key = told("keys", "show", "shop", folder=tmp_path)
    assert key["models"] == ["two", "three"]
    assert key["tags"] == {"a": "b"}
    assert key["limits"][0]["requests"] == 60
    assert key["budgets"][0]["usd"] == "50"
    assert "digest" not in json.dumps(key)


def test_limits_are_taken_off_and_those_of_revoked_keys_do_not_count(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    """Several workers cannot keep a key's limits by themselves, and say whose they are."""
    (tmp_path / "headrace.yaml").write_text(CONFIG.format(url=upstream.url, workers=1))
    made("keys", "create", "bound", "--requests-per-minute", "5", folder=tmp_path)
    made("keys", "create", "gone", "--monthly-usd", "5", folder=tmp_path)
    made("keys", "revoke", "gone", folder=tmp_path)
    refused = headrace("serve", "--workers", "2", "--port", "0", folder=tmp_path)
    assert refused.returncode == 3
    assert "the key 'bound'" in refused.stderr and "gone" not in refused.stderr
    made("keys", "update", "bound", "--requests-per-minute", "0", folder=tmp_path)
    assert not told("keys", "show", "bound", folder=tmp_path)["limits"]
    with running_gateway(CONFIG.format(url=upstream.url, workers=2), tmp_path, ENV):
        pass


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("--expires", "yesterday"), "--expires", 2),
        (("--monthly-usd", "lots"), "--monthly-usd", 2),
        (("--monthly-usd", ""), "--monthly-usd", 2),
        (("--requests-per-minute", "-4"), "of at least 1; 0 is no limit", 2),
        (("--operation", "dance"), "Use chat", 2),
        (("--ip", "10.0.0.1/8"), "--ip", 2),
        (("--ip", "300.0.0.1"), "--ip", 2),
        (("--model", ""), "--model", 2),
        (("--expires", "2020-01-01"), "in the past", 2),
        (("--expires", "999999w"), "a hundred years", 2),
        (("--expires", "2030-02-30"), "--expires", 2),
        (("--team", "search"), "headrace teams create search", 3),
    ],
)
def test_what_cannot_be_is_told_by_its_option(
    arguments: tuple[str, ...], says: str, code: int, tmp_path: Path
) -> None:
    done = headrace("keys", "create", "shop", *arguments, folder=tmp_path)
    assert done.returncode == code
    assert says in done.stderr and "$." not in done.stderr and "`str`" not in done.stderr


def test_a_bound_of_nothing_is_told_to_bound_nothing(tmp_path: Path) -> None:
    zeros = ("--requests-per-minute", "0", "--tokens-per-minute", "5", "--monthly-usd", "0.00")
    done = headrace("keys", "create", "shop", *zeros, folder=tmp_path)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0 and said.count("bounds nothing") == 2
    assert "`--requests-per-minute 0` bounds" in said and "`--monthly-usd 0` bounds" in said
    (limit,) = told("keys", "show", "shop", folder=tmp_path)["limits"]
    assert limit["tokens"] == 5


def test_an_administrator_of_no_tenant_is_told(tmp_path: Path) -> None:
    made("tenants", "create", "acme", folder=tmp_path)
    done = headrace("admin", "key", "ann", "--tenant", "acme,default,amce", folder=tmp_path)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0 and said.count("Warning") == 1
    assert "no tenant 'amce'" in said and "`headrace tenants create amce`" in said


def test_the_first_key_tells_of_the_generated_one(tmp_path: Path) -> None:
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace/key").write_text("hr_" + "k" * 60)
    first = headrace("keys", "create", "one", folder=tmp_path)
    assert "opens nothing from its next start on" in first.stderr
    assert "opens nothing" not in headrace("keys", "create", "two", folder=tmp_path).stderr


def test_names_that_the_file_does_not_have_are_told(tmp_path: Path) -> None:
    terms = ("--model", "one,tow", "--region", "eu,ue")
    told_of = ('no model "tow". Did you mean "two"?', 'in the region "ue". Known here: eu, us.')
    alone = headrace("keys", "create", "alone", *terms, folder=tmp_path)
    assert alone.returncode == 0 and "Warning" not in alone.stderr  # who knows what is found there
    text = CONFIG.format(url="http://127.0.0.1:9", workers=1)
    (tmp_path / "headrace.yaml").write_text(text)
    makers = (("keys", "create", "shop"), ("keys", "update", "shop"), ("tenants", "create", "acme"))
    for maker in makers:
        done = headrace(*maker, *terms, folder=tmp_path)
        said = " ".join(done.stderr.split())  # it is wrapped
        assert done.returncode == 0 and all(part in said for part in told_of), said
        assert said.count("Warning") == 2 and "Warning" not in done.stdout
    (tmp_path / "headrace.yaml").write_text(text + '  "*": {pools: [[up]]}\n')
    assert "tow" not in headrace("keys", "create", "any", *terms, folder=tmp_path).stderr

"""Two workers that keep answers: what one learnt the other gives, to its own tenant alone; counts
of both are right, and what is kept is whole, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from headrace.edge.worker_sockets import ask_each
from headrace.gateway.cache.operating import CacheStats, added
from operate.test_keys import until
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import scripted_thread
from support.valkey_process import valkey_process

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
TENANTS = 50 if SOAK else 12
NEAR = """
server: {{workers: 2, drain_s: 2}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  near: {{pools: [[up]], cache: {{answers: semantic}}}}
redis: {{url: "{redis}"}}
resilience:
  kept_answers: {{shared_by: redis}}
  shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}
keys:
{keys}
"""
SAME = """
server: {{workers: 2, drain_s: 2}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  same: {{pools: [[up]], cache: {{answers: exact}}}}
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
keys:
  t0: {{secret: env:T0, tenant: t0}}
"""
SECRETS = {f"T{i}": f"sk-t{i}-0123456789abcdef" for i in range(TENANTS)}
FRUITS = ("mango", "kiwi", "papaya", "lychee", "quince")
WAYS = ("How do I peel a {}?", "How can I peel a {}?", "How do I not peel a {}?")
ASKERS, QUESTIONS = 4, 60 if SOAK else 18


class Asked(NamedTuple):
    tenant: int
    question: str
    call: str
    tier: str | None
    paid_by: str | None
    text: str


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    keys = "\n".join(f"  t{i}: {{secret: env:T{i}, tenant: t{i}}}" for i in range(TENANTS))
    folder = tmp_path_factory.mktemp("workers")
    with scripted_thread() as up, valkey_process(tmp_path_factory.mktemp("valkey")) as server:
        config = NEAR.format(url=up.url, redis=server.url, keys=keys)
        with running_gateway(config, folder, env=SECRETS) as running:
            yield running


def ask(gateway: Gateway, question: str, tenant: int = 0, model: str = "near") -> Asked:
    """On a connection of its own: the kernel says which worker takes it. Raises OSError and
    HTTPException."""
    with contextlib.closing(HTTPConnection("127.0.0.1", gateway.port, timeout=60)) as line:
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        headers = {"authorization": f"Bearer {SECRETS[f'T{tenant}']}"}
        line.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = line.getresponse()
        text = answer.read().decode()
    assert answer.status == 200, text
    told = answer.headers
    tier, paid_by = told["x-headrace-cache"], told["x-headrace-cache-call"]
    return Asked(tenant, question, told["x-request-id"], tier, paid_by, text)


def stats(gateway: Gateway) -> list[CacheStats]:
    """Of each worker."""
    said = ask_each(gateway.folder / ".headrace", "GET", "/cache")
    return [msgspec.convert(told, CacheStats) for _, told in said]


def test_what_one_worker_learnt_the_other_gives_and_both_count(gateway: Gateway) -> None:
    asked = [ask(gateway, "How do I reset my password?")]
    until(lambda: [told.answers for told in stats(gateway)] == [1, 1])

    def both_gave_it() -> bool:
        asked.append(ask(gateway, "I forgot my password, how can I reset it?"))
        return all(told.semantic for told in stats(gateway))

    until(both_gave_it)
    assert {one.paid_by for one in asked[1:]} == {asked[0].call}
    assert {one.text for one in asked[1:]} == {asked[0].text}
    tiers = Counter(one.tier for one in asked)
    sums = added(stats(gateway))
    assert (sums.semantic, sums.exact, sums.missed) == (tiers["semantic"], 0, 1)
    found = settled(gateway.folder / ".headrace", [one.call for one in asked])
    rows = [found[one.call].settlements[0] for one in asked]
    assert Counter(row.answered_by for row in rows) == {"upstream": 1, "cache": len(asked) - 1}
    assert sums.saved_microusd == sum(row.saved_microusd for row in rows) > 0


def test_tenants_that_ask_the_same_never_get_each_others_answers(gateway: Gateway) -> None:
    """T24, with fifty of them in full: the same questions and near ones, from all of them at once,
    in any order."""
    fruits = [f"{size} {fruit}" for size in ("large", "small") for fruit in FRUITS]
    some = [way.format(fruit) for fruit in (fruits if SOAK else fruits[:1]) for way in WAYS]
    wanted = [(question, tenant) for question in some for tenant in range(TENANTS)]
    wanted = wanted * (7 if SOAK else 1)
    random.Random(24).shuffle(wanted)
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda one: ask(gateway, *one), wanted))
    paid = {one.call: one for one in asked if one.tier is None}
    hits = [one for one in asked if one.tier is not None]
    assert len(hits) >= TENANTS / 2
    for hit in hits:
        first = paid[hit.paid_by or ""]
        assert first.tenant == hit.tenant
        assert first.text == hit.text
        assert ("not" in first.question) == ("not" in hit.question)


def test_what_two_workers_kept_is_whole_after_each_kill(tmp_path: Path) -> None:
    """One worker is killed while both write, then all of them."""
    told: dict[str, str] = {}
    with scripted_thread() as up:
        config = SAME.format(url=up.url)
        with running_gateway(config, tmp_path, env=SECRETS) as gateway:
            first = gateway.workers()
            _ask_until(gateway, told, lambda: kill(first[0]))
            until(lambda: len(gateway.workers()) == 2)
            everybody = [gateway.pid, *gateway.workers()]
            _ask_until(gateway, told, lambda: kill(*everybody))
        with contextlib.closing(sqlite3.connect(tmp_path / ".headrace" / "answers.db")) as base:
            assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with running_gateway(config, tmp_path, env=SECRETS) as gateway:
            again = [(ask(gateway, question, model="same"), question) for question in told]
    kept = [(one.text, told[question]) for one, question in again if one.tier == "exact"]
    assert len(kept) > ASKERS
    assert all(text == before for text, before in kept)


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _ask_until(gateway: Gateway, told: dict[str, str], then: Callable[[], None]) -> None:
    """Many new questions at once; when some are answered, `then` is called, and the askers go on
    as long as anybody answers them."""
    enough, start = threading.Event(), len(told)

    def work(asker: int) -> None:
        for i in range(QUESTIONS):
            question = f"What is {start} {asker} {i}?"
            with contextlib.suppress(OSError, HTTPException):
                told[question] = ask(gateway, question, model="same").text
            if i == QUESTIONS // 3:
                enough.set()

    threads = [threading.Thread(target=work, args=(asker,)) for asker in range(ASKERS)]
    for thread in threads:
        thread.start()
    assert enough.wait(120)
    then()
    for thread in threads:
        thread.join(120)

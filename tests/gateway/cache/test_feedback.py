"""Feedback on kept answers through the real port: by the API, by a header, over a kill."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from headrace.edge.worker_sockets import ask_each
from headrace.gateway.cache.comparing import say_the_same
from headrace.gateway.cache.operating import CacheStats
from operate.test_keys import until
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CONFIG = """
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  near: {{pools: [[up]], cache: {{answers: semantic, max_wrong_rate: 0.01}}}}
  strict: {{pools: [[up]], cache: {{answers: semantic, max_wrong_rate: 0.001}}}}
  checked: {{pools: [[up]], cache: {{answers: semantic, max_wrong_rate: 0.01, check_share: 1}}}}
  free: {{pools: [[up]], cache: {{answers: semantic}}}}
keys:
  one: {{secret: env:ONE, tenant: acme}}
  other: {{secret: env:OTHER, tenant: bolt}}
  third: {{secret: env:THIRD, tenant: third}}
"""
KEYS = {name: f"sk-{name.lower()}-0123456789abcdef" for name in ("ONE", "OTHER", "THIRD")}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as up:
        yield up


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedThread, folder: Path) -> Iterator[Gateway]:
    with running_gateway(CONFIG.format(url=upstream.url), folder, env=KEYS) as running:
        yield running


def ask(
    gateway: Gateway, question: str, model: str = "near", *, key: str = "ONE", **headers: str
) -> httpx.Response:
    answer = httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"authorization": f"Bearer {KEYS[key]}", **headers},
        json={"model": model, "messages": [{"role": "user", "content": question}]},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer


def tier(answer: httpx.Response) -> str | None:
    found: str | None = answer.headers.get("x-headrace-cache")
    return found


def say(gateway: Gateway, body: Any, key: str = "ONE") -> httpx.Response:
    headers = {"authorization": f"Bearer {KEYS[key]}"}
    return httpx.post(f"{gateway.url}/feedback", json=body, headers=headers, timeout=60)


def call_of(answer: httpx.Response) -> str:
    return str(answer.headers["x-request-id"])


def test_a_flagged_hit_is_not_given_again(gateway: Gateway) -> None:
    ask(gateway, "How do I reset my password?")
    hit = ask(gateway, "How can I reset my password?")
    assert tier(hit) == "semantic"
    said = {"call": call_of(hit), "verdict": "wrong"}
    assert say(gateway, said, "OTHER").status_code == 400, "another tenant's"
    before = stats(gateway)["flagged_wrong"]
    for _ in range(3):
        assert say(gateway, said).json()["noted"] == "noted"
    assert stats(gateway)["flagged_wrong"] == before + 1
    assert tier(ask(gateway, "How can I reset my password?")) is None
    assert tier(ask(gateway, "How do I reset my password?")) == "exact", "its own question's"
    ask(gateway, "How do I sharpen a knife?")
    other = ask(gateway, "How can I sharpen a knife?")
    assert tier(other) is None, "one wrong of two hundred is more than 1 % may be"


def test_a_header_flags_and_gets_a_new_answer(gateway: Gateway) -> None:
    ask(gateway, "How do I boil an egg?", key="OTHER")
    hit = ask(gateway, "How can I boil an egg?", key="OTHER")
    assert tier(hit) == "semantic"
    flag = {"x-headrace-cache-wrong": call_of(hit)}
    assert tier(ask(gateway, "How can I boil an egg?", key="OTHER", **flag)) is None
    again = ask(gateway, "How can I boil an egg?", key="OTHER")
    assert tier(again) == "exact", "the new answer"
    assert again.headers["x-headrace-cache-call"] != hit.headers["x-headrace-cache-call"]


@pytest.mark.parametrize("model", ["near", "free"])
def test_a_wrong_answer_to_the_very_same_request_is_dropped(gateway: Gateway, model: str) -> None:
    ask(gateway, "Who drew the map of Mars?", model)
    hit = ask(gateway, "Who drew the map of Mars?", model)
    assert tier(hit) == "exact"
    assert say(gateway, {"call": call_of(hit), "verdict": "wrong"}).status_code == 200
    assert tier(ask(gateway, "Who drew the map of Mars?", model)) is None


def test_a_strict_bound_gives_nothing_that_is_unproved(gateway: Gateway) -> None:
    ask(gateway, "How do I boil an egg?", "strict")
    assert tier(ask(gateway, "How can I boil an egg?", "strict")) is None


@pytest.mark.parametrize(
    "body", [{}, {"call": "x"}, {"call": "no-such-call", "verdict": "so so"}, []]
)
def test_what_cannot_be_read_is_refused_with_what_to_send(gateway: Gateway, body: Any) -> None:
    answer = say(gateway, body)
    assert answer.status_code == 400
    assert '"verdict": "wrong"' in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]


def test_a_checked_hit_asks_the_model_behind_the_clients_back(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    """It has a settlement of its own, and what it says is learned."""
    upstream.always(text="Water boils at 100 degrees.")
    ask(gateway, "How do I boil water?", "checked", key="THIRD")
    hit = ask(gateway, "How can I boil water?", "checked", key="THIRD")
    assert tier(hit) == "semantic"
    check = f"{call_of(hit)}-check"
    until(lambda: stats(gateway)["checked_right"] == 1)
    (found,) = settled(gateway.folder / ".headrace", [check])[check].settlements
    assert (found.answered_by, found.status, found.finish) == ("upstream", 200, "complete")
    assert found.cost_microusd
    assert ("cache", "check") in [tuple(tag) for tag in found.tags]
    upstream.reset()
    upstream.always(text="The Danube flows through ten countries of Europe.")
    wrong = ask(gateway, "What is the best way to boil water?", "checked", key="THIRD")
    assert tier(wrong) == "semantic"
    until(lambda: stats(gateway)["checked_wrong"] == 1)
    assert stats(gateway)["checked_right"] == 1
    assert stats(gateway)["wrong_rate"][1] > 0.5
    assert tier(ask(gateway, "How should I boil water?", "checked", key="THIRD")) is None
    upstream.reset()


def test_what_is_in_doubt_is_compared_when_the_model_has_answered(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    before = stats(gateway)
    upstream.always(text="Warm milk slowly and stir.")
    ask(gateway, "How do I warm milk?", "strict", key="THIRD")
    assert tier(ask(gateway, "How can I warm milk?", "strict", key="THIRD")) is None
    until(lambda: stats(gateway)["compared_right"] == before["compared_right"] + 1)
    upstream.reset()


@pytest.mark.parametrize(
    ("one", "other", "cosine", "same"),
    [
        ("Yes.", " Yes. ", None, True),
        ("It is Paris.", "Paris it is.", 0.95, True),
        ("It is Paris.", "Bananas are yellow.", 0.1, False),
        ("It costs 5 dollars.", "It costs 7 dollars.", 0.95, None),
        ("It costs 5 dollars.", "The price is 7.", 0.8, False),
        ("Turn it on.", "Start it.", 0.8, None),
        ("a", "b", None, None),
    ],
)
def test_when_answers_say_the_same(one: str, other: str, cosine: float | None, same: bool) -> None:
    assert say_the_same(one, other, cosine) is same


def stats(gateway: Gateway) -> Any:
    (answer,) = ask_each(gateway.folder / ".headrace", "GET", "/cache")
    sums = msgspec.convert(answer[1], CacheStats)
    return {**answer[1], "wrong_rate": sums.wrong_rate}


def test_feedback_outlives_a_kill(upstream: ScriptedThread, tmp_path: Path) -> None:
    """Killed as soon as it said that it was noted."""
    text = CONFIG.format(url=upstream.url)
    kept, asked = "How do I peel a mango?", "How can I peel a mango?"
    with running_gateway(text, tmp_path, env=KEYS) as gateway:
        ask(gateway, kept)
        hit = ask(gateway, asked)
        assert tier(hit) == "semantic"
        until(lambda: _rows(tmp_path) == 1)
        assert say(gateway, {"call": call_of(hit), "verdict": "wrong"}).status_code == 200
        os.kill(gateway.pid, signal.SIGKILL)
    with running_gateway(text, tmp_path, env=KEYS) as gateway:
        assert tier(ask(gateway, kept)) == "exact"
        until(lambda: stats(gateway)["flagged_wrong"] == 1)
        assert tier(ask(gateway, asked)) is None


def _rows(folder: Path) -> int:
    """Answers that are on the disk."""
    with contextlib.closing(sqlite3.connect(folder / ".headrace" / "answers.db")) as base:
        found: int = base.execute("SELECT count(*) FROM answers").fetchone()[0]
        return found

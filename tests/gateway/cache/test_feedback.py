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
import pytest

from operate.test_keys import told, until
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CONFIG = """
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  near: {{pools: [[up]], cache: {{answers: semantic, max_wrong_rate: 0.01}}}}
  strict: {{pools: [[up]], cache: {{answers: semantic, max_wrong_rate: 0.001}}}}
  free: {{pools: [[up]], cache: {{answers: semantic}}}}
keys:
  one: {{secret: env:ONE, tenant: acme}}
  other: {{secret: env:OTHER, tenant: bolt}}
"""
KEYS = {"ONE": "sk-one-0123456789abcdef", "OTHER": "sk-other-0123456789abcdef"}


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
    assert say(gateway, said).json()["noted"] == "noted"
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
        until(lambda: told("cache", "stats", folder=tmp_path)["flagged_wrong"] == 1)
        assert tier(ask(gateway, asked)) is None


def _rows(folder: Path) -> int:
    """Answers that are on the disk."""
    with contextlib.closing(sqlite3.connect(folder / ".headrace" / "answers.db")) as base:
        found: int = base.execute("SELECT count(*) FROM answers").fetchone()[0]
        return found

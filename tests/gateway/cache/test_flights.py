"""Calls that ask the same at one moment, through the real port: one asks the model."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from headrace.edge.worker_sockets import ask_each
from operate.test_keys import until
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  near: {{pools: [[up]], cache: {{answers: semantic, wait_s: 30}}}}
  alone: {{pools: [[up]], cache: {{answers: semantic}}}}
keys:
  one: {{secret: env:ONE}}
"""
KEY = "sk-one-0123456789abcdef"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as up:
        yield up


@pytest.fixture(scope="module")
def gateway(
    upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("flights")
    with running_gateway(CONFIG.format(url=upstream.url), folder, env={"ONE": KEY}) as running:
        yield running


def ask(gateway: Gateway, question: str, model: str = "near") -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"authorization": f"Bearer {KEY}"},
        json={"model": model, "messages": [{"role": "user", "content": question}]},
        timeout=60,
    )


def at_once(
    gateway: Gateway, upstream: ScriptedThread, questions: list[str], model: str = "near"
) -> list[httpx.Response]:
    """The first is with the model before the others come, and stays there for a while."""
    before = len(upstream.seen)
    with ThreadPoolExecutor(len(questions)) as pool:
        first = pool.submit(ask, gateway, questions[0], model)
        until(lambda: len(upstream.seen) > before)
        others = [pool.submit(ask, gateway, question, model) for question in questions[1:]]
        return [first.result(), *(other.result() for other in others)]


QUESTIONS = [
    "How do I peel a mango?",
    "How can I peel a mango?",
    "How do I peel a mango?",
    "How do I not peel a mango?",
]


def test_one_asks_the_model_for_all_that_ask_the_same(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    upstream.always(text="Cut it in halves.", head_ms=3_000)
    before = len(upstream.seen)
    answers = at_once(gateway, upstream, QUESTIONS)
    assert [answer.status_code for answer in answers] == [200] * 4
    tiers = [answer.headers.get("x-headrace-cache") for answer in answers]
    assert tiers == [None, "semantic", "exact", None]
    assert len(upstream.seen) - before == 2
    paid = answers[0].headers["x-request-id"]
    assert answers[1].headers["x-headrace-cache-call"] == paid
    upstream.reset()


def test_without_it_each_asks_for_itself(gateway: Gateway, upstream: ScriptedThread) -> None:
    upstream.always(text="Cut it in halves.", head_ms=3_000)
    before = len(upstream.seen)
    at_once(gateway, upstream, QUESTIONS[:2], "alone")
    assert len(upstream.seen) - before == 2
    upstream.reset()


def test_who_waited_for_a_call_that_failed_asks_for_itself(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    upstream.script({"status": 400, "head_ms": 3_000})
    upstream.always(text="With a spoon.")
    answers = at_once(gateway, upstream, ["How do I eat a kiwi?", "How can I eat a kiwi?"])
    assert [answer.status_code for answer in answers] == [400, 200]
    assert answers[1].headers.get("x-headrace-cache") is None
    upstream.reset()


def test_when_the_first_client_leaves_one_of_those_that_wait_goes_next(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    """And the others wait for that one, also those that ask in other words."""
    upstream.script({"head_ms": 60_000})
    upstream.always(text="Roast it.", head_ms=500)
    before, missed = len(upstream.seen), _missed(gateway)
    said = {"model": "near", "messages": [{"role": "user", "content": "How do I cook a beet?"}]}
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    body = json.dumps(said)
    with ThreadPoolExecutor(8) as pool:
        with socket.create_connection(("127.0.0.1", gateway.port)) as first:
            first.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            until(lambda: len(upstream.seen) == before + 1)
            words = ["How do I cook a beet?", "How can I cook a beet?"] * 4
            others = [pool.submit(ask, gateway, text) for text in words]
            until(lambda: _missed(gateway) == missed + 9)
        answers = [other.result() for other in others]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(upstream.seen) == before + 2
    tiers = [answer.headers.get("x-headrace-cache") for answer in answers]
    assert tiers.count(None) == 1
    upstream.reset()


def _missed(gateway: Gateway) -> int:
    """Calls that looked in the cache in vain, and go on or wait."""
    ((_, told),) = ask_each(gateway.folder / ".headrace", "GET", "/cache")
    return int(told["missed"])

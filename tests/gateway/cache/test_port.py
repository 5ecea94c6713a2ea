"""The cache through the real port: what is given again, to whom, and what the ledger says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CONFIG = """
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  plain: {{pools: [[up]]}}
  exact: {{pools: [[up]], cache: {{answers: exact}}}}
  near: {{pools: [[up]], cache: {{answers: semantic}}}}
  mine: {{pools: [[up]], cache: {{answers: semantic, partition: key}}}}
  all: {{pools: [[up]], cache: {{answers: exact, partition: shared}}}}
keys:
  one: {{secret: env:ONE, tenant: a}}
  other: {{secret: env:OTHER, tenant: a}}
  stranger: {{secret: env:STRANGER, tenant: b}}
"""
KEYS = {name: f"sk-{name.lower()}-0123456789abcdef" for name in ("ONE", "OTHER", "STRANGER")}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as up:
        yield up


@pytest.fixture(scope="module")
def gateway(
    upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("cache")
    with running_gateway(CONFIG.format(url=upstream.url), folder, env=KEYS) as running:
        yield running


def ask(
    gateway: Gateway,
    question: str,
    *,
    model: str = "near",
    key: str = "ONE",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> httpx.Response:
    messages = more.pop("messages", None) or [{"role": "user", "content": question}]
    return httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"authorization": f"Bearer {KEYS[key]}", **(headers or {})},
        json={"model": model, "messages": messages, **more},
        timeout=60,
    )


def tier(response: httpx.Response) -> str | None:
    assert response.status_code == 200, response.text
    found: str | None = response.headers.get("x-headrace-cache")
    return found


def test_the_same_request_is_answered_once_and_its_saving_booked(gateway: Gateway) -> None:
    first = ask(gateway, "What is the tallest tower of Oslo?", model="exact")
    again = ask(gateway, "What is the tallest tower of Oslo?", model="exact")
    assert tier(first) is None
    assert tier(again) == "exact"
    assert again.json() == first.json()
    assert again.headers["x-headrace-cache-call"] == first.headers["x-request-id"]
    assert int(again.headers["x-headrace-cache-age-s"]) >= 0
    assert again.headers["x-headrace-saved-usd"] == first.headers["x-headrace-cost-usd"]
    assert "x-headrace-cost-usd" not in again.headers
    ids = [response.headers["x-request-id"] for response in (first, again)]
    found = settled(gateway.folder / ".headrace", ids)
    paid, saved = (found[i].settlements[0] for i in ids)
    assert saved.answered_by == "cache"
    assert saved.cost_microusd == 0
    assert saved.saved_microusd == paid.cost_microusd
    assert saved.saved_microusd > 0


def test_a_kept_answer_is_given_whole_or_streamed(gateway: Gateway) -> None:
    first = ask(gateway, "What is the oldest bridge of Lima?", model="exact")
    client = OpenAI(base_url=gateway.url, api_key=KEYS["ONE"], max_retries=0)
    messages: Any = [{"role": "user", "content": "What is the oldest bridge of Lima?"}]
    with client.chat.completions.with_streaming_response.create(
        model="exact", messages=messages, stream=True
    ) as raw:
        assert raw.headers["x-headrace-cache"] == "exact"
        chunks = list(raw.parse())
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == first.json()["choices"][0]["message"]["content"]


def test_the_same_question_in_other_words_and_not_another_question(gateway: Gateway) -> None:
    assert tier(ask(gateway, "How do I reset my password?")) is None
    found = ask(gateway, "I forgot my password, how can I reset it?")
    assert tier(found) == "semantic"
    assert 0.75 <= float(found.headers["x-headrace-cache-similarity"]) <= 1
    assert tier(ask(gateway, "Show flights from Rome to Paris")) is None
    assert tier(ask(gateway, "Show flights from Paris to Rome")) is None
    assert tier(ask(gateway, "How do I turn on two-factor authentication?")) is None
    assert tier(ask(gateway, "How do I turn off two-factor authentication?")) is None


@pytest.mark.parametrize(
    "differs",
    [
        {"max_tokens": 7},
        {"temperature": 0.3},
        {"model": "mine"},
        {
            "messages": [
                {"role": "system", "content": "Answer in Latin."},
                {"role": "user", "content": "How can I boil an egg?"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "How can I boil an egg?"},
            ]
        },
    ],
    ids=lambda differs: next(iter(differs)),
)
def test_all_but_the_last_question_must_be_equal(gateway: Gateway, differs: dict[str, Any]) -> None:
    ask(gateway, "How do I boil an egg?")
    assert tier(ask(gateway, "How can I boil an egg?")) in ("semantic", "exact")
    assert tier(ask(gateway, "How can I boil an egg?", **differs)) is None


def test_never_an_answer_of_another_partition(gateway: Gateway) -> None:
    for model, question in (("near", "Who built the dam?"), ("mine", "Who built the wall?")):
        ask(gateway, question, model=model)
        assert tier(ask(gateway, question, model=model, key="STRANGER")) is None
        shared = tier(ask(gateway, question, model=model, key="OTHER"))
        assert shared == ("exact" if model == "near" else None)
    ask(gateway, "Who built the arch?", model="all")
    assert tier(ask(gateway, "Who built the arch?", model="all", key="STRANGER")) == "exact"


def test_what_is_never_given_again(gateway: Gateway) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for number, more in enumerate(
        (
            {"temperature": 1.5},
            {"tools": [tool]},
            {"headers": {"cache-control": "no-store"}},
            {"model": "plain"},
        )
    ):
        question = f"What is case {number}?"
        ask(gateway, question, **more)  # type: ignore[arg-type]
        assert tier(ask(gateway, question, **more)) is None  # type: ignore[arg-type]


def test_no_cache_gets_a_new_answer_which_then_is_kept(gateway: Gateway) -> None:
    first = ask(gateway, "Who paints the sky?")
    new = ask(gateway, "Who paints the sky?", headers={"cache-control": "no-cache"})
    assert tier(new) is None
    after = ask(gateway, "Who paints the sky?")
    assert tier(after) == "exact"
    assert after.headers["x-headrace-cache-call"] == new.headers["x-request-id"]
    assert first.headers["x-request-id"] != new.headers["x-request-id"]

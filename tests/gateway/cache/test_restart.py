"""kill -9 while answers are being kept: the cache opens again, and no entry is torn."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

import httpx

from support.gateway_process import running_gateway
from support.scripted import scripted_thread

CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  m: {{pools: [[up]], cache: {{answers: exact}}}}
  near: {{pools: [[up]], cache: {{answers: semantic}}}}
keys:
  one: {{secret: env:ONE}}
"""
KEY = "sk-one-0123456789abcdef"
ASKERS, QUESTIONS = 4, 200
ROUNDS = 3
WORDS = ("How do I reset my password?", "I forgot my password, how can I reset it?")
"""Asked in the first round; and in the others, when it is found by the vector in the file."""


def ask(client: httpx.Client, url: str, question: str, model: str = "m") -> httpx.Response:
    messages = [{"role": "user", "content": question}]
    headers = {"authorization": f"Bearer {KEY}"}
    json = {"model": model, "messages": messages}
    return client.post(f"{url}/chat/completions", headers=headers, json=json, timeout=60)


def test_what_was_kept_before_a_kill_is_whole_after_it(tmp_path: Path) -> None:
    told: dict[str, str] = {}
    """Answers that clients got, by question: of the last call that paid."""
    given_again = 0
    with scripted_thread() as up:
        config = CONFIG.format(url=up.url)
        for number in range(ROUNDS):
            with running_gateway(config, tmp_path, env={"ONE": KEY}) as gateway:
                with httpx.Client() as client:
                    for question, body in list(told.items()):
                        answer = ask(client, gateway.url, question)
                        assert answer.status_code == 200
                        if answer.headers.get("x-headrace-cache") == "exact":
                            assert answer.text == body
                            given_again += 1
                        told[question] = answer.text
                    near = ask(client, gateway.url, WORDS[min(number, 1)], "near")
                    assert near.headers.get("x-headrace-cache") == ("semantic" if number else None)
                _ask_until_killed(gateway.pid, gateway.url, number, told)
    assert given_again > ASKERS
    assert (tmp_path / ".headrace" / "answers.db").stat().st_mode & 0o077 == 0


def _ask_until_killed(pid: int, url: str, number: int, told: dict[str, str]) -> None:
    enough = threading.Event()

    def work(asker: int) -> None:
        with httpx.Client() as client, contextlib.suppress(httpx.HTTPError):
            for i in range(QUESTIONS):
                question = f"What is {number} {asker} {i}?"
                answer = ask(client, url, question)
                if answer.status_code == 200:
                    told[question] = answer.text
                if i == QUESTIONS // 4:
                    enough.set()

    threads = [threading.Thread(target=work, args=(asker,)) for asker in range(ASKERS)]
    for thread in threads:
        thread.start()
    assert enough.wait(120)
    os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(120)

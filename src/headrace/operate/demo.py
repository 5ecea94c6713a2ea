"""`headrace demo`: the main job on real input, with no account and no key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from headrace.data.records import Settlement
from headrace.data.segments import records
from headrace.errors import Misused, Setup

LOCAL_CONFIG = """\
server: {port: 0}
backends:
  chat-here: {provider: local, model: smollm2-135m-instruct}
  embeddings-here: {provider: local, model: all-minilm-l6-v2}
models:
  small-chat: {pools: [[chat-here]]}
  small-embeddings: {pools: [[embeddings-here]]}
"""
FAKE_CONFIG = """\
server: {{port: 0}}
backends:
  scripted: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o-mini}}
  vectors: {{provider: openai, url: "{url}/v1", priced_as: openai/text-embedding-3-small}}
models:
  small-chat: {{pools: [[scripted]]}}
  small-embeddings: {{pools: [[vectors]]}}
"""


class Step(Struct):
    """One call of the demonstration. `expected`: what happened is what should."""

    name: str
    expected: bool
    status: str
    answer: str
    request_id: str | None = None


def run_demo(question: str, upstream: str, *, as_json: bool) -> int:
    """Returns the exit code: 0 only if every call went as it should. Raises Setup."""
    if upstream not in ("local", "fake"):
        raise Misused(f"There is no upstream {upstream!r}.", "Use `local` or `fake`.")
    console = Console(stderr=as_json, highlight=False)
    if not console.is_terminal:
        console.width = 140  # a pipe has no width of its own, and the table needs this
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as name:
        folder = Path(name)
        with _upstream_config(upstream) as config:
            (folder / "headrace.yaml").write_text(config)
            with _gateway(folder) as serving:
                console.print(f"A gateway serves {serving['url']}. Question: {question}\n")
                steps = _calls(serving, question, console)
        settlements = {
            record.call: record
            for record in records(folder / ".headrace")
            if isinstance(record, Settlement)
        }
    if as_json:
        print(json.dumps([_as_dict(step, settlements) for step in steps]))
    else:
        _print_table(console, steps, settlements)
    return 0 if all(step.expected for step in steps) else 1


def _calls(serving: dict[str, Any], question: str, console: Console) -> list[Step]:
    try:
        import openai
    except ImportError as error:
        raise Setup(
            "The demonstration calls the gateway with OpenAI's own SDK, which is not installed.",
            "pip install 'headrace[demo]'",
        ) from error
    url = serving["url"]
    client = openai.OpenAI(base_url=url, api_key=serving["key"], max_retries=0)
    stranger = openai.OpenAI(base_url=url, api_key="not-a-key-of-this-gateway", max_retries=0)
    asked: Any = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 120,
        "temperature": 0,
    }

    def whole() -> Step:
        raw = client.chat.completions.with_raw_response.create(model="small-chat", **asked)
        text = raw.parse().choices[0].message.content or ""
        console.print(f"Whole:    {text}")
        return Step("chat, whole", bool(text), "200", text, raw.headers["x-request-id"])

    def streamed() -> Step:
        stream = client.chat.completions.create(model="small-chat", stream=True, **asked)
        request_id = stream.response.headers["x-request-id"]
        text = ""
        console.print("Streamed: ", end="")
        for chunk in stream:
            piece = (chunk.choices[0].delta.content or "") if chunk.choices else ""
            console.print(piece, end="")
            text += piece
        console.print("\n")
        return Step("chat, streamed", bool(text), "200", text, request_id)

    def embedding() -> Step:
        raw = client.embeddings.with_raw_response.create(model="small-embeddings", input=question)
        vector = raw.parse().data[0].embedding
        shown = f"{len(vector)} numbers: " + ", ".join(f"{x:.3f}" for x in vector[:3]) + ", ..."
        return Step("embedding", len(vector) > 1, "200", shown, raw.headers["x-request-id"])

    def refused(name: str, who: Any, model: str, wanted: int) -> Step:
        try:
            who.chat.completions.create(model=model, **asked)
        except openai.APIStatusError as error:
            request_id = error.response.headers.get("x-request-id")
            good = error.status_code == wanted and request_id is not None
            body = error.body if isinstance(error.body, dict) else {}
            message = str(body.get("message", error.message))
            return Step(name, good, str(error.status_code), message, request_id)
        return Step(name, False, "200", "should have been refused")

    return [
        whole(),
        streamed(),
        embedding(),
        refused("bad key", stranger, "small-chat", 401),
        refused("unknown model", client, "small-cat", 404),
    ]


@contextmanager
def _upstream_config(upstream: str) -> Iterator[str]:
    if upstream == "local":
        yield LOCAL_CONFIG
        return
    command = [sys.executable, "-m", "headrace_upstream", "--port", "0", "--json"]
    with _process(command, os.environ.copy(), Path.cwd()) as ready:
        yield FAKE_CONFIG.format(url=ready["url"])


@contextmanager
def _gateway(folder: Path) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "headrace", "serve", "--json", "--log-level", "ERROR"]
    environ = {**os.environ, "HEADRACE_CONFIG": str(folder / "headrace.yaml")}
    with _process(command, environ, folder) as ready:
        yield ready


@contextmanager
def _process(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[dict[str, Any]]:
    """Runs a server that says in one JSON line where it listens; stops it at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=folder) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait()
                raise Setup("The demonstration's server did not start.", "It says why above.")
            yield json.loads(line)
        finally:
            process.terminate()
            deadline = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()


def _print_table(console: Console, steps: list[Step], settlements: dict[str, Settlement]) -> None:
    table = Table()
    for heading in ("Call", "Status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Answer", no_wrap=True, max_width=36, overflow="ellipsis")
    table.add_column("Backend", no_wrap=True)
    for heading in ("In", "Out", "First", "Whole", "Cost"):
        table.add_column(heading, no_wrap=True, justify="right")
    for step in steps:
        row = _as_dict(step, settlements)
        table.add_row(
            step.name,
            step.status + ("" if step.expected else " (unexpected)"),
            " ".join(step.answer.split()),
            row["backend"] or "-",
            _count(row["input_tokens"]),
            _count(row["output_tokens"]),
            _ms(row["ttft_ms"]),
            _ms(row["latency_ms"]),
            _usd(row["cost_microusd"], row["backend"]),
        )
    console.print(table)


def _as_dict(step: Step, settlements: dict[str, Settlement]) -> dict[str, Any]:
    settled = settlements.get(step.request_id or "")
    used = settled is not None and settled.usage_source != "none"
    return {
        "call": step.name,
        "expected": step.expected,
        "status": step.status,
        "answer": step.answer,
        "request_id": step.request_id,
        "backend": settled.backend if settled else None,
        "input_tokens": settled.input_tokens if settled and used else None,
        "output_tokens": settled.output_tokens if settled and used else None,
        "ttft_ms": _thousandth(settled.ttft_us) if settled else None,
        "latency_ms": _thousandth(settled.latency_us) if settled else None,
        "cost_microusd": settled.cost_microusd if settled else None,
    }


def _thousandth(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1000


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _usd(microusd: int | None, backend: str | None) -> str:
    if microusd is None:
        return "-" if backend is None else "price unknown"
    return f"${microusd // 1_000_000}.{microusd % 1_000_000:06d}"

"""Traces of a gateway that runs, as a collector gets them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from operate.test_keys import until
from support.collector import Collector, attributes, collector
from support.gateway_process import Gateway, running_gateway
from support.posted import Post, posted
from support.scripted import ScriptedThread
from support.upstream_process import upstream_process

CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
server: {{workers: {workers}, drain_s: 2}}
keys: {{own: {{secret: env:OWN_KEY, team: search}}}}
backends:
  up: {{provider: openai, url: "{url}/v1", model: gpt-4o, priced_as: openai/gpt-4o, region: east}}
  down: {{provider: openai, url: "http://127.0.0.1:9/v1"}}
models:
  one: {{pools: [[up]]}}
  two: {{pools: [[down], [up]]}}
  lost: {{pools: [[down]]}}
telemetry:
  traces: {{to: otlp, url: "{collector}", {terms}}}
"""
ENV = {"OWN_KEY": "o" * 40, "COLLECTOR_KEY": "the-collectors-own-key"}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET_WORDS = "the words of this prompt"


@pytest.fixture
def taken() -> Iterator[Collector]:
    with collector() as running:
        yield running


def post(client: httpx.Client, model: str, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {ENV['OWN_KEY']}", **more.pop("headers", {})}
    body = {"model": model, "messages": [{"role": "user", "content": SECRET_WORDS}], **more}
    return client.post("/chat/completions", json=body, headers=headers)


def client_of(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=gateway.url, timeout=30)


def of_call(taken: Collector, call: str) -> list[Span]:
    return [span for span in taken.spans if attributes(span).get("headrace.call.id") == call]


def test_each_call_is_a_span_and_each_attempt_one_below_it(
    upstream: ScriptedThread, taken: Collector, tmp_path: Path
) -> None:
    terms = "sample_share: 1, service: mill, headers: {x-key: env:COLLECTOR_KEY}"
    text = CONFIG.format(url=upstream.url, workers=1, collector=taken.url, terms=terms)
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
        whole = post(client, "one", max_tokens=50).headers["x-request-id"]
        streamed = post(client, "one", stream=True, headers={"traceparent": PARENT}).headers[
            "x-request-id"
        ]
        moved = post(client, "two").headers["x-request-id"]
        until(lambda: bool(of_call(taken, moved)))
    call, attempt = of_call(taken, whole)
    assert call.name == "chat one"
    assert attempt.name == "chat gpt-4o"
    assert (call.kind, attempt.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert not call.parent_span_id
    assert attempt.parent_span_id == call.span_id
    assert attempt.trace_id == call.trace_id
    assert call.start_time_unix_nano <= attempt.start_time_unix_nano
    assert attempt.end_time_unix_nano <= call.end_time_unix_nano
    told = attributes(call)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "one"
    assert told["gen_ai.request.max_tokens"] == 50
    assert told["gen_ai.usage.input_tokens"] > 0
    assert told["http.response.status_code"] == 200
    assert told["headrace.team"] == "search"
    told = attributes(attempt)
    assert told["server.address"] == "127.0.0.1"
    assert told["server.port"] == int(upstream.url.rsplit(":", 1)[1])
    assert told["gen_ai.request.model"] == "gpt-4o"
    assert told["cloud.region"] == "east"

    call, attempt = of_call(taken, streamed)
    assert call.trace_id.hex() == PARENT.split("-")[1]
    assert call.parent_span_id.hex() == PARENT.split("-")[2]
    assert attributes(call)["gen_ai.response.time_to_first_chunk"] > 0

    call, *attempts = of_call(taken, moved)
    told_of = [attributes(one)["headrace.backend"] for one in attempts]
    assert told_of[-1] == "up"
    assert set(told_of) == {"up", "down"}
    assert {one.parent_span_id for one in attempts} == {call.span_id}
    assert attempts[0].status.code == Status.STATUS_CODE_ERROR
    assert attributes(attempts[0])["error.type"] == "unreachable"
    assert call.status.code == Status.STATUS_CODE_UNSET
    assert taken.services == {"mill"}
    assert taken.headers[0]["x-key"] == ENV["COLLECTOR_KEY"]
    assert SECRET_WORDS not in str(taken.spans)
    assert ENV["OWN_KEY"] not in str(taken.spans)


def test_what_was_said_is_in_the_call_s_span_where_the_file_wants_it(
    upstream: ScriptedThread, taken: Collector, tmp_path: Path
) -> None:
    """Of whole answers, streams and those that a cache gives; without secrets."""
    terms = "sample_share: 1, capture_content: true, content_kib: 1"
    text = CONFIG.format(url=upstream.url, workers=1, collector=taken.url, terms=terms)
    text = text.replace("one: {pools: [[up]]}", "one: {pools: [[up]], cache: {answers: exact}}")
    secret = ENV["OWN_KEY"]
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:

        def said(**more: Any) -> dict[str, Any]:
            call = post(client, "one", **more).headers["x-request-id"]
            until(lambda: bool(of_call(taken, call)))
            return attributes(of_call(taken, call)[0])

        for told in (said(), said(), said(stream=True)):
            (asked,) = json.loads(told["gen_ai.input.messages"])
            assert asked == {"role": "user", "parts": [{"type": "text", "content": SECRET_WORDS}]}
            (answer,) = json.loads(told["gen_ai.output.messages"])
            assert answer["role"] == "assistant" and answer["parts"][0]["content"]
            assert answer["finish_reason"] == "stop"
        long = [{"role": "user", "content": f"{secret} {'x' * 3000}"}]
        told = said(messages=long)
        assert told["headrace.content.cut"] is True
        assert len(told["gen_ai.input.messages"]) < 1200
    assert secret not in str(taken.spans)
    warned = [x for x in (tmp_path / "log.jsonl").read_text().splitlines() if "go to wherever" in x]
    assert len(warned) == 1, "that it is so stands in the log"


def test_every_span_of_a_thousand_calls_arrives_with_its_parent(
    taken: Collector, tmp_path: Path
) -> None:
    """From two workers, and what an upstream was told is the attempt's span."""
    with upstream_process(tmp_path) as upstream:
        text = CONFIG.format(url=upstream.url, workers=2, collector=taken.url,
                             terms="sample_share: 1")  # fmt: skip
        with running_gateway(text, tmp_path, ENV) as gateway:

            def calls(number: int) -> list[str]:
                with client_of(gateway) as client:
                    return [post(client, "one", stream=n % 5 == 0).headers["x-request-id"]
                            for n in range(number, number + 125)]  # fmt: skip

            with ThreadPoolExecutor(8) as pool:
                ids = [call for some in pool.map(calls, range(0, 1000, 125)) for call in some]
    spans = {span.span_id: span for span in taken.spans}
    assert len(spans) == len(taken.spans) == 2000
    roots = [span for span in taken.spans if not span.parent_span_id]
    assert Counter(attributes(span)["headrace.call.id"] for span in roots) == Counter(ids)
    for span in taken.spans:
        if span.parent_span_id:
            parent = spans[span.parent_span_id]
            assert parent.trace_id == span.trace_id
            assert attributes(parent)["headrace.call.id"] == attributes(span)["headrace.call.id"]
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
    assert len({span.trace_id for span in roots}) == 1000


def test_the_upstream_is_told_the_attempts_span(
    upstream: ScriptedThread, taken: Collector, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, collector=taken.url, terms="sample_share: 1")
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
        headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
        call = post(client, "one", headers=headers).headers["x-request-id"]
        until(lambda: len(of_call(taken, call)) == 2)
    seen = upstream.only_seen()
    told = seen.header("traceparent")
    assert told is not None
    version, trace, span, flags = told.split("-")
    assert (version, trace, flags) == ("00", PARENT.split("-")[1], "01")
    assert span == of_call(taken, call)[1].span_id.hex()
    assert seen.header("tracestate") == "vendor=1"


def test_of_few_that_are_kept_are_all_that_failed(
    upstream: ScriptedThread, taken: Collector, tmp_path: Path
) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, collector=taken.url, terms="sample_share: 0")
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
        good = [post(client, "one").headers["x-request-id"] for _ in range(20)]
        lost = post(client, "lost")
        assert lost.status_code >= 500
        unknown = post(client, "nowhere").headers["x-request-id"]
        moved = post(client, "two").headers["x-request-id"]
    for call in good:
        assert not of_call(taken, call)
    for call in (lost.headers["x-request-id"], unknown, moved):
        assert of_call(taken, call)
    (failed, *_) = of_call(taken, lost.headers["x-request-id"])
    assert failed.status.code == Status.STATUS_CODE_ERROR


def test_a_collector_that_is_away_costs_no_call_and_little_memory(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    terms = "sample_share: 1, queue: 16, timeout_s: 1"
    text = CONFIG.format(url=upstream.url, workers=1, collector="http://127.0.0.1:9", terms=terms)
    text += "admin: {port: 0}\n"
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
        for _ in range(200):
            assert post(client, "one").status_code == 200
        key = {"authorization": f"Bearer {gateway.serving['admin_key']}"}

        def told(name: str) -> float:
            page = httpx.get(f"{gateway.serving['admin_url']}/metrics", headers=key).text
            return float(next(x for x in page.splitlines() if x.startswith(name)).split()[-1])

        assert told('headrace_queue_length{queue="spans"}') <= 16
        until(lambda: told('headrace_telemetry_dropped_total{kind="spans"}') > 100)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    said = [json.loads(x)["event"] for x in lines if '"source":"headrace.telemetry"' in x]
    assert said == ["spans: not taken, some are lost"]


def test_azure_monitor_gets_requests_and_dependencies(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    def answer(post: Post) -> tuple[int, bytes]:
        count = len(post.body.splitlines())
        said = {"itemsReceived": count, "itemsAccepted": count, "errors": []}
        return 200, json.dumps(said).encode()

    with posted(answer) as ingestion:
        text = CONFIG.format(url=upstream.url, workers=1, collector="", terms="")
        text = text.partition("telemetry:")[0] + (
            "telemetry: {traces: {to: azure_monitor, sample_share: 1, "
            "connection_string: env:CONNECTION}}\n"
        )
        key = "00000000-0000-4000-8000-00000000abcd"
        connection = f"InstrumentationKey={key};IngestionEndpoint={ingestion.url}/"
        env = {**ENV, "CONNECTION": connection}
        with running_gateway(text, tmp_path, env) as gateway, client_of(gateway) as client:
            assert post(client, "one").status_code == 200
            until(lambda: bool(ingestion.posts))
        told = [one for p in ingestion.posts for one in p.json()]
    kinds = {one["data"]["baseType"]: one["data"]["baseData"] for one in told}
    assert set(kinds) >= {"RequestData", "RemoteDependencyData"}
    assert kinds["RequestData"]["name"] == "chat one"
    assert kinds["RequestData"]["properties"]["gen_ai.operation.name"] == "chat"
    assert {p.path.partition("?")[0] for p in ingestion.posts} <= {"/v2.1/track", "/v2/track"}
    assert key not in (tmp_path / "log.jsonl").read_text()


def test_a_secret_in_the_place_of_a_name_reaches_neither_spans_nor_metrics(
    upstream: ScriptedThread, taken: Collector, tmp_path: Path
) -> None:
    terms = "sample_share: 1, headers: {x-key: env:COLLECTOR_KEY}"
    text = CONFIG.format(url=upstream.url, workers=1, collector=taken.url, terms=terms)
    text = text.replace("  lost:", '  "*": {pools: [[up]]}\n  lost:') + "admin: {port: 0}\n"
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
        for secret in ENV.values():
            headers = {"traceparent": PARENT, "tracestate": f"x={secret}"}
            call = post(client, secret, headers=headers).headers["x-request-id"]
        until(lambda: len(of_call(taken, call)) == 2)
        key = {"authorization": f"Bearer {gateway.serving['admin_key']}"}
        page = httpx.get(f"{gateway.serving['admin_url']}/metrics", headers=key).text
    assert 'model="***"' in page
    assert "chat ***" in {span.name for span in taken.spans}
    for secret in ENV.values():
        assert secret not in page
        assert secret not in str(taken.spans)


def test_the_console_shows_spans(upstream: ScriptedThread, tmp_path: Path) -> None:
    text = CONFIG.format(url=upstream.url, workers=1, collector="", terms="")
    text = text.partition("telemetry:")[0]
    text += "telemetry: {traces: {to: console, sample_share: 1}}\n"
    with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
        call = post(client, "one").headers["x-request-id"]
    assert f'"headrace.call.id": "{call}"' in (tmp_path / "log.jsonl").read_text()

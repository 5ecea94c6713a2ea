"""Metrics of a gateway that runs, as a collector gets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, HistogramDataPoint

from headrace.gateway.telemetry.genai_metrics import MOST_SERIES, OTHER, GenAiMetrics, Observed
from headrace.platform.telemetry.spool import Spool
from operate.test_keys import until
from operate.test_traces import ENV, PARENT, client_of, post
from support.collector import Collector, attributes, collector
from support.gateway_process import running_gateway
from support.scripted import ScriptedThread

CONFIG = """
keys: {{own: {{secret: env:OWN_KEY}}}}
backends:
  up: {{provider: openai, url: "{url}/v1", model: gpt-4o, priced_as: openai/gpt-4o}}
  down: {{provider: openai, url: "http://127.0.0.1:9/v1"}}
models:
  one: {{pools: [[up]]}}
  lost: {{pools: [[down]]}}
telemetry:
  send_metrics:
    to: otlp
    url: "{collector}"
    every_s: 1
    service: mill
    headers: {{x-key: env:COLLECTOR_KEY}}
"""


def points(taken: Collector, name: str) -> list[HistogramDataPoint]:
    """Of the last message that has the metric."""
    found = [message[name] for message in taken.metrics if name in message]
    return list(found[-1].histogram.data_points) if found else []


def counted(taken: Collector, name: str) -> int:
    return sum(point.count for point in points(taken, name))


def test_calls_are_told_by_the_conventions(upstream: ScriptedThread, tmp_path: Path) -> None:
    upstream.always(usage={"input": 1000, "output": 100})
    with collector() as taken:
        text = CONFIG.format(url=upstream.url, collector=taken.url)
        with running_gateway(text, tmp_path, ENV) as gateway, client_of(gateway) as client:
            assert post(client, "one", headers={"traceparent": PARENT}).status_code == 200
            assert post(client, "one", stream=True).status_code == 200
            until(lambda: counted(taken, "gen_ai.client.operation.duration") == 2)
            taken.refuses = True
            assert post(client, "lost").status_code == 503
            until(lambda: "metrics: not taken" in (tmp_path / "log.jsonl").read_text())
            taken.refuses = False
            until(lambda: counted(taken, "gen_ai.client.operation.duration") == 3)
    for metric in taken.metrics[-1].values():
        temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        assert metric.histogram.aggregation_temporality == temporality
        assert metric.description
        for point in metric.histogram.data_points:
            assert sum(point.bucket_counts) == point.count
            assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
            assert point.start_time_unix_nano < point.time_unix_nano
    tokens = {
        attributes(p)["gen_ai.token.type"]: p for p in points(taken, "gen_ai.client.token.usage")
    }
    assert (tokens["input"].count, tokens["input"].sum) == (2, 2000)
    assert (tokens["output"].count, tokens["output"].sum) == (2, 200)
    bounds = list(tokens["input"].explicit_bounds)
    assert tokens["input"].bucket_counts[bounds.index(1024)] == 2
    told = attributes(tokens["input"])
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "one"
    assert told["headrace.backend"] == "up"
    durations = points(taken, "gen_ai.client.operation.duration")
    (failed,) = [p for p in durations if "error.type" in attributes(p)]
    assert attributes(failed)["gen_ai.request.model"] == "lost"
    assert taken.metrics[-1]["gen_ai.client.operation.duration"].unit == "s"
    assert counted(taken, "gen_ai.server.time_to_first_token") == 1
    assert counted(taken, "gen_ai.server.time_per_output_token") == 1
    assert taken.services == {"mill"}
    assert taken.headers[0]["x-key"] == ENV["COLLECTOR_KEY"]


def test_names_of_models_make_no_series_without_end() -> None:
    sums = GenAiMetrics(lambda text: text.replace("secret", "***"))
    sums.take(
        [
            Observed("chat", "openai", f"secret-{n}", "up", "", 1.0, -1, -1, -1, -1)
            for n in range(MOST_SERIES + 50)
        ]
    )
    duration, *others = sums.metrics()
    assert len(duration.points) == MOST_SERIES + 1
    assert duration.points[-1].attributes["gen_ai.request.model"] == OTHER
    assert sum(duration.points[-1].counts) == 50
    assert duration.points[0].attributes["gen_ai.request.model"] == "***-0"
    assert all(not other.points for other in others), "what an upstream did not tell is not told"


@pytest.mark.parametrize("fails", [False, True])
def test_the_last_sums_are_sent_when_the_queue_closes(fails: bool) -> None:
    taken: list[int] = []
    calls: list[bool] = []

    def then(last: bool) -> None:
        calls.append(last)
        if fails:
            raise OSError("away")

    spool: Spool[int] = Spool("s", taken.extend, most=10, batch=3, every_s=60, then=then)
    spool.start()
    for number in range(12):
        spool.put(number)
    spool.close()
    assert taken == list(range(10))
    assert (spool.dropped, calls) == (2, [True])

"""What calls are counted as, and that no client can make series without end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.data.records import Settlement
from headrace.gateway.telemetry.ended import Ended
from headrace.gateway.telemetry.history import History, flows_since, quantile
from headrace.gateway.telemetry.kinds import MOST_KINDS, Kinds
from headrace.gateway.telemetry.meters import MOST_MODELS, OTHER, Meters
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    Counted,
    Histogram,
    Moment,
    Snapshot,
    new_flow,
    total,
)


def ended(model: str = "one", tenant: str = "default", **known: Any) -> Ended:
    """A call that took a second, if nothing else is said."""
    events = known.pop("events", 0)
    row = Settlement(
        **{
            "seq": 1, "number": 1, "at_us": 1_700_000_000_000_000, "call": "0" * 24,
            "dialect": "openai", "operation": "chat", "model": model, "key": "k",
            "tenant": tenant, "status": 200, "finish": "complete", "answered_by": "nobody",
            "attempts": 0, "latency_us": 1_000_000, **known,
        }
    )  # fmt: skip
    return row, "", events


class Counting:
    """Meters, and the kinds of what they are told."""

    def __init__(self, most_tenants: int) -> None:
        self.meters = Meters(most_tenants)
        self.kinds = Kinds(self.meters, None)

    def take(self, calls: list[Ended]) -> None:
        self.meters.take(calls, self.kinds.of(calls))


def test_names_that_clients_make_up_are_one_series() -> None:
    counting = Counting(most_tenants=3)
    meters = counting.meters
    meters.models = {"one"}
    counting.take(
        [ended(f"guess-{n}", f"tenant-{n}", status=404, finish="refused") for n in range(500)]
    )
    counting.take([ended(status=429, finish="refused", reason="rate_limit_exceeded")])
    counted = meters.counted()
    assert {flow.model for flow in counted.flows} == {"one", OTHER}
    assert [use.tenant for use in counted.tenants] == ["tenant-0", "tenant-1", "tenant-2", OTHER]
    assert sum(use.calls for use in counted.tenants) == 501
    assert counted.refused == {"rate_limit_exceeded": 1}


def test_models_that_a_backend_takes_are_told_apart_while_they_are_few() -> None:
    meters = Meters(most_tenants=1)
    for number in range(3 * MOST_MODELS):
        meters._flow(f"model-{number}", "up")
    assert len(meters.counted().flows) == MOST_MODELS + 1


def test_nothing_is_lost_or_counted_twice_when_kinds_are_forgotten() -> None:
    """As they are while names of clients are too many, and when a configuration is taken up."""
    counting, calls = Counting(most_tenants=1), 3 * MOST_KINDS
    known: dict[str, Any] = {
        "usage_source": "upstream",
        "input_tokens": 3,
        "answered_by": "upstream",
    }
    for number in range(calls):
        counting.take([ended(key=f"k{number}", reason="rate_limited", **known)] * 2)
        if number % 700 == 0:
            assert counting.meters.counted().tenants[0].calls == 2 * (number + 1)
    counting.kinds.forget()
    for _ in range(2):  # telling it changes nothing
        counted = counting.meters.counted()
        (flow,) = counted.flows
        assert flow.statuses == {200: 2 * calls}
        assert flow.tokens["input"] == counted.tenants[0].tokens == 6 * calls
        assert flow.durations.total == sum(flow.durations.counts) == 2 * calls
        assert counted.refused == {"rate_limited": 2 * calls}
    assert len(counting.kinds) <= MOST_KINDS


def test_calls_of_one_batch_are_of_many_kinds() -> None:
    counting, calls = Counting(most_tenants=1), MOST_KINDS + 50
    counting.take([ended(key=f"k{number}") for number in range(calls)])
    counting.take([ended(key="k0")])
    assert counting.meters.counted().tenants[0].calls == calls + 1
    assert len(counting.kinds) == 1


def test_a_stream_has_times() -> None:
    counting = Counting(most_tenants=1)
    counting.take(
        [
            ended(
                stream=True,
                latency_us=3_000_000,
                ttft_us=1_000_000,
                events=11,
                usage_source="upstream",
                cost_microusd=7,
                answered_by="shared",
                input_tokens=5,
                output_tokens=21,
                cached_tokens=4,
            )
        ]
    )
    (flow,) = counting.meters.counted().flows
    assert flow.first_tokens.total == pytest.approx(1.0)
    assert flow.gaps.total == pytest.approx(0.1)
    assert flow.durations.total == pytest.approx(3.0)
    assert flow.tokens == {"input": 5, "output": 21, "cached_input": 4}
    assert (flow.cost_microusd, flow.answered_by) == (7, {"shared": 1})


def test_workers_add_up_over_the_wire() -> None:
    """As they come from a socket, and without a change to the parts."""
    counting = Counting(most_tenants=5)
    meters = counting.meters
    meters.models = {"one", "two"}
    counting.take([ended(input_tokens=3, output_tokens=2, usage_source="upstream")])
    counting.take([ended("two", status=500, finish="failed")])
    meters.lag(0.002)
    said = msgspec.json.encode(Snapshot("1", meters.counted(), Moment()))
    read = msgspec.convert(msgspec.json.decode(said), Snapshot, strict=False).counted
    whole = total([read, read, meters.counted()])
    assert [flow.statuses for flow in whole.flows] == [{200: 3}, {500: 3}]
    assert whole.tenants[0].calls == 6
    assert sum(whole.lags.counts) == 3
    assert read == meters.counted()


def test_quantiles_are_within_their_bucket() -> None:
    histogram = Histogram.of(DURATIONS_S)
    assert quantile(histogram, DURATIONS_S, 0.5) is None
    histogram.counts[DURATIONS_S.index(5.0)] = 90
    histogram.counts[-1] = 10
    assert quantile(histogram, DURATIONS_S, 0.45) == pytest.approx(4.5)
    assert quantile(histogram, DURATIONS_S, 0.9) == pytest.approx(5.0)
    assert quantile(histogram, DURATIONS_S, 0.99) == DURATIONS_S[-1]


def test_history_tells_what_came_in_between() -> None:
    history = History(keep_s=300.0, every_s=5.0)
    assert history.since(300.0, 0.0) is None
    for minute in range(20):
        flow = new_flow("one", "up")
        flow.statuses = {200: 10 * minute}
        history.take(Counted(flows=[flow]), 60.0 * minute)
    flow = new_flow("one", "up")
    flow.statuses = {200: 200, 500: 1}
    (between,) = flows_since(Counted(flows=[flow]), history.since(300.0, 1200.0))
    assert between.statuses == {200: 50, 500: 1}
    assert len(history._known) <= 7

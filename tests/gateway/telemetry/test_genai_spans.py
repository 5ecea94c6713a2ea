"""Spans of calls: no secret is in them, and attempts stand with the request that they sent."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

from gateway.telemetry.test_call_lines import SECRET, row, scrub
from headrace.gateway.models import Target
from headrace.gateway.steps import Go, Move
from headrace.gateway.telemetry.genai_spans import CallSpans
from headrace.gateway.telemetry.trace import new_traces
from headrace.gateway.telemetry.tracing import Kept
from headrace.platform.http.messages import Origin, WireRequest

ORIGIN = Origin("https", "up.example.net", 443)


def target(name: str) -> Target:
    service = SimpleNamespace(provider="openai")
    return Target(name, cast("Any", service), cast("Any", None))


def go(name: str, began: float, result: str = "ok") -> Go:
    made = Go(cast("Any", SimpleNamespace(name=name)), Move.FIRST, cast("Any", None), began)
    made.ended, made.result = began + 1.0, result
    return made


def kept(sent: list[Target], attempts: list[Go], **known: Any) -> Kept:
    (trace,) = new_traces(Random(3), 1, "g", told=True)
    for one in sent:
        trace.sent(one, WireRequest(ORIGIN, b"POST / HTTP/1.1\r\n", b"{}"))
    trace.plan = cast("Any", SimpleNamespace(made=lambda: attempts))
    last = sent[-1] if sent else None
    usage: dict[str, Any] = {"usage_source": "upstream", "input_tokens": 5, "output_tokens": 2}
    return Kept(trace, row(**usage, **known), last, b"50", 100.0, None, 110.0)


def test_an_attempt_stands_with_the_request_that_it_sent() -> None:
    one, two, never = target("one"), target("two"), target("never")
    attempts = [go("two", 103.0), go("never", 102.0, "busy"), go("one", 101.0, "timeout")]
    sent = kept([one, two], attempts)
    call, first, second = CallSpans(scrub, 0).of([sent])
    assert [span.parent_id for span in (call, first, second)] == [b"", call.span_id, call.span_id]
    assert len({span.span_id for span in (call, first, second)}) == 3
    assert int.from_bytes(first.span_id) == int(sent.trace.line[49:65], 16)
    assert [span.failed for span in (call, first, second)] == [False, True, False]
    assert [span.end_ns - span.start_ns for span in (call, first)] == [10**10, 10**9]
    assert second.start_ns - first.start_ns == 2 * 10**9
    backends = [span.all_attributes["headrace.backend"] for span in (first, second)]
    assert backends == ["one", "two"]
    tokens = [
        span.all_attributes.get("gen_ai.usage.input_tokens") for span in (call, first, second)
    ]
    assert tokens == [5, None, 5]
    assert call.all_attributes["gen_ai.request.max_tokens"] == 50
    (alone, its_own) = CallSpans(scrub, 0).of([kept([never], [go("never", 101.0)])])
    assert its_own.told is alone.told


def test_no_secret_is_told_and_names_are_searched_again_once_others_are_known() -> None:
    secrets: list[str] = []

    def masked(text: str) -> str:
        return scrub(text) if secrets else text

    spans = CallSpans(masked, 0)
    calls = [kept([target("up")], [go("up", 101.0)], call="plain-id"),
             kept([target("up")], [go("up", 101.0)], model=SECRET, call=SECRET)]  # fmt: skip
    for one in calls:
        one.trace.state = f"vendor={SECRET}".encode()
    assert SECRET in str([(span.alike.name, span.all_attributes) for span in spans.of(calls)])
    secrets.append(SECRET)
    spans.forget()
    found = spans.of(calls)
    assert [span.all_attributes["headrace.call.id"] for span in found] == ["plain-id"] * 2 + [
        "***"
    ] * 2
    assert [span.trace_state for span in found] == [""] * 4
    assert SECRET not in str([(span.alike.name, span.all_attributes) for span in found])
    assert found[2].alike.name == "chat ***"

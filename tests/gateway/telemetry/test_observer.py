"""What is kept of calls that end, and when it is handed on."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.data.records import Settlement
from headrace.gateway.progress import Progress
from headrace.gateway.telemetry.call_lines import TextLines
from headrace.gateway.telemetry.listening import Listener, Room
from headrace.gateway.telemetry.observer import AT_ONCE, Observer
from headrace.gateway.telemetry.trace_context import incoming
from headrace.gateway.telemetry.tracing import MADE_AT_ONCE, Kept, Tracer
from headrace.nouns import Call, Caller, Dialect, Operation, Usage

BEGAN = 100.0


def call(stream: bool = False, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Call:
    return Call(
        id="c" * 24,
        dialect=Dialect.OPENAI,
        operation=Operation.CHAT,
        model="one",
        body_model="one",
        body=b"{}",
        stream=stream,
        wants_usage=False,
        caller=Caller(key_id="k"),
        received_at=BEGAN,
        headers=headers,
    )


def end(observer: Observer, one: Call, took_s: float = 0.1, **known: Any) -> Progress:
    progress = Progress(**{"status": 200, "finish": "complete", **known})
    progress.trace = observer.begin(one)
    row = settlement(one, progress, took_s)
    observer.settled(one, progress, Usage(), row, BEGAN + took_s)
    return progress


def settlement(one: Call, progress: Progress, took_s: float) -> Settlement:
    return Settlement(1, 1, 0, one.id, "openai", "chat", "one", "k", "default", progress.status,
                      progress.finish, "upstream", 1, int(took_s * 1e6))  # fmt: skip


def tracer(kept: list[Kept], share: float) -> Tracer:
    def keep(one: Kept) -> bool:
        kept.append(one)
        return True

    return Tracer(keep, Random(7), share=share, slow_s=5.0, propagates=True)


@pytest.mark.parametrize(
    ("stream", "took_s", "known", "keeps"),
    [
        (False, 0.1, {}, False),
        (False, 5.1, {}, True),
        (True, 60.0, {"first_content_at": BEGAN + 1.0}, False),
        (True, 60.0, {"first_content_at": BEGAN + 5.1}, True),
        (False, 0.1, {"troubles": ["down unreachable: refused"]}, True),
        (False, 0.1, {"status": 404, "finish": "refused"}, True),
        (False, 0.1, {"status": 502, "finish": "refused"}, True),
        (True, 0.1, {"finish": "incomplete"}, True),
        (False, 0.1, {"status": 499, "finish": "client_gone"}, False),
    ],
)
def test_what_failed_or_was_slow_is_kept_whatever_the_share(
    stream: bool, took_s: float, known: dict[str, Any], keeps: bool
) -> None:
    kept: list[Kept] = []
    observer = Observer(None, tracer(kept, share=0.0))
    end(observer, call(stream), took_s, **known)
    observer.hand_on()
    assert len(kept) == keeps


def test_of_all_others_a_share_is_kept_each_with_ids_of_its_own() -> None:
    kept: list[Kept] = []
    observer = Observer(None, tracer(kept, share=0.25))
    calls = 40 * MADE_AT_ONCE
    traces = [end(observer, call()).trace for _ in range(calls)]
    observer.hand_on()
    assert len({trace.id for trace in traces if trace}) == calls
    assert len({trace.span_id for trace in traces if trace}) == calls
    assert 0.2 < len(kept) / calls < 0.3


def test_a_call_that_is_part_of_a_trace_is_kept_if_that_is() -> None:
    kept: list[Kept] = []
    observer = Observer(None, tracer(kept, share=0.0))
    for flags in (b"00", b"01"):
        parent = b"00-%b-%b-%b" % (b"ab" * 16, b"cd" * 8, flags)
        trace = end(observer, call(headers=((b"traceparent", parent),))).trace
        assert trace is not None
        assert (trace.id, trace.parent_id) == ("ab" * 16, int("cd" * 8, 16))
        name, _, value = trace.line.rstrip().partition(b": ")
        told = incoming([(name, value)])
        assert told is not None
        assert (f"{told.trace_id:032x}", told.sampled) == (trace.id, flags == b"01")
    observer.hand_on()
    assert [one.trace.sampled for one in kept] == [True]


def test_room_for_what_is_said_is_given_back_where_the_trace_finds_none() -> None:
    kept: list[Kept] = []
    there_is_room = iter((False, False, True, True))

    def keep(one: Kept) -> bool:
        kept.append(one)
        return next(there_is_room)

    size_bytes = len(call().body)
    room = Room(size_bytes)
    by = Tracer(keep, Random(7), share=1.0, slow_s=5.0, propagates=True, room=room)
    for _ in range(4):
        one = call()
        progress = Progress(status=200, finish="complete", trace=by.begin(one))
        assert progress.trace is not None
        progress.trace.listener = Listener(cast(Any, SimpleNamespace(committed=True)))
        by.settled(one, progress.trace, progress, settlement(one, progress, 0.1), BEGAN)
        by.hand_on()
    assert [one.said is not None for one in kept] == [True, True, True, False]


def test_calls_are_told_many_at_once_and_none_is_lost_or_told_twice() -> None:
    told: list[tuple[int, bytes]] = []
    lines = TextLines(lambda text: text)
    observer = Observer(None, lines=lines, tell=lambda calls, text: told.append((calls, text)))
    for _ in range(AT_ONCE + 3):
        end(observer, call())
    assert [calls for calls, _ in told] == [AT_ONCE]
    for _ in range(2):
        observer.hand_on()
    assert [(calls, text.count(b"\n")) for calls, text in told] == [(n, n) for n in (AT_ONCE, 3)]

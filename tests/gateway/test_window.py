"""The sliding window against a list of events."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway.window import Window

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
STEP = st.tuples(
    st.sampled_from(["start", "withdraw", "succeed", "fail", "slow"]),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.0, 27.0, 30.0, 33.0, 100.0, -1.0, -4.0, -26.0, -40.0]),
)


@settings(max_examples=5_000 if SOAK else 300, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_sums_are_those_of_the_last_ten_buckets(steps: list[tuple[str, float]]) -> None:
    window = Window(30.0, 10)
    events: list[tuple[int, str]] = []
    tickets: list[tuple[int, tuple[int, str]]] = []
    now, newest = 500.0, 0
    for what, after in steps:
        now += after
        bucket = int(now / 3.0)
        if newest - bucket >= 10:
            events.clear()
        newest = newest if 0 < newest - bucket < 10 else bucket
        events = [e for e in events if e[0] > newest - 10]
        if what == "start":
            event = (newest, "start")
            events.append(event)
            tickets.append((window.start(now), event))
        elif what == "withdraw":
            if tickets:
                serial, event = tickets.pop()
                window.withdraw(serial, now)
                if event in events:
                    events.remove(event)
        elif what == "succeed":
            window.succeed(now)
            events.append((newest, "done"))
        elif what == "fail":
            window.fail(now)
            events += [(newest, "done"), (newest, "failed")]
        else:
            window.succeed(now)
            window.be_slow(now)
            events += [(newest, "done"), (newest, "slow")]
        window.turn(now)
        kinds = [kind for _, kind in events]
        sums = window.started, window.done, window.failed, window.slow
        assert sums == tuple(kinds.count(k) for k in ("start", "done", "failed", "slow"))
        assert window.total == max(window.started, window.done)

"""W3C's trace context: what is believed of a client, and what is sent."""

from __future__ import annotations

from random import Random

import pytest

from headrace.gateway.telemetry.trace_context import incoming, outgoing

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


def test_a_good_parent_is_believed() -> None:
    found = incoming([(b"host", b"x"), (b"traceparent", GOOD), (b"tracestate", b"a=1"),
                      (b"tracestate", b"b=2")])  # fmt: skip
    assert found is not None
    assert (found.trace_id, found.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert (found.sampled, found.state) == (True, b"a=1,b=2")
    assert incoming([(b"traceparent", b"cc-%b-%b-00-new" % (TRACE, SPAN))]) is not None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        GOOD.upper(),
        GOOD + b"-more",
        GOOD + b"\n",
        b"ff" + GOOD[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01" % (TRACE[1:], SPAN),
    ],
)
def test_a_bad_parent_is_none(value: bytes) -> None:
    assert incoming([(b"traceparent", value)]) is None


def test_of_two_parents_none_is_believed() -> None:
    assert incoming([(b"traceparent", GOOD), (b"traceparent", GOOD)]) is None


def test_a_state_that_could_write_a_header_is_left_out() -> None:
    found = incoming([(b"traceparent", GOOD), (b"tracestate", b"a=1\r\nx: y")])
    assert found is not None
    assert found.state == b""


def test_what_is_sent_is_read_again() -> None:
    rng = Random(7)
    for _ in range(200):
        trace, span = rng.getrandbits(128) or 1, rng.getrandbits(64) or 1
        lines = outgoing(trace, span, bool(span & 1), b"a=1").splitlines()
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        found = incoming(headers)
        assert found is not None
        assert (found.trace_id, found.span_id, found.sampled, found.state) == (
            trace, span, bool(span & 1), b"a=1",
        )  # fmt: skip

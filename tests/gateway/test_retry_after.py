"""All forms in which an upstream says when to come back, and those in which it says nothing."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway.retry_after import LONGEST_S, retry_after

DATE = b"Tue, 24 Nov 2026 12:00:00 GMT"
LATER = b"Tue, 24 Nov 2026 12:00:30 GMT"
REQUESTS, TOKENS = b"x-ratelimit-reset-requests", b"x-ratelimit-reset-tokens"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after-ms": b"3000"}, 3.0),
        ({b"retry-after-ms": b"12.5"}, 0.0125),
        ({b"retry-after-ms": b"3000", b"retry-after": b"9"}, 3.0),
        ({b"retry-after-ms": b"-1", b"retry-after": b"9"}, 9.0),
        ({b"retry-after-ms": b"soon", b"retry-after": b"9"}, 9.0),
        ({b"retry-after": b"120"}, 120.0),
        ({b"retry-after": b" 1.5 "}, 1.5),
        ({b"retry-after": LATER, b"date": DATE}, 30.0),
        ({b"retry-after": b"Tuesday, 24-Nov-26 12:00:30 GMT", b"date": DATE}, 30.0),
        ({b"retry-after": b"2", REQUESTS: b"6m0s"}, 2.0),
        ({REQUESTS: b"6m0s"}, 360.0),
        ({REQUESTS: b"12ms"}, 0.012),
        ({REQUESTS: b"1h2m3.5s"}, 3723.5),
        ({REQUESTS: b"1m500ms"}, 60.5),
        ({REQUESTS: b"1d"}, None),
        ({REQUESTS: b"59"}, 59.0),
        ({TOKENS: b"8.64s"}, 8.64),
        ({b"retry-after": b"0", TOKENS: b"8s"}, 8.0),
        ({b"retry-after": b"-1", REQUESTS: b"-1", TOKENS: b"0"}, None),
        ({REQUESTS: b"1s", TOKENS: b"6m0s"}, 360.0),
        (
            {
                REQUESTS: b"1s",
                TOKENS: b"6m0s",
                b"x-ratelimit-remaining-requests": b"0",
                b"x-ratelimit-remaining-tokens": b"900",
                b"x-ratelimit-limit-requests": b"60",
                b"x-ratelimit-limit-tokens": b"1000",
            },
            1.0,
        ),
        (
            {
                REQUESTS: b"6m0s",
                TOKENS: b"2s",
                b"x-ratelimit-remaining-requests": b"59",
                b"x-ratelimit-remaining-tokens": b"20",
                b"x-ratelimit-limit-requests": b"60",
                b"x-ratelimit-limit-tokens": b"1000",
            },
            2.0,
        ),
        ({b"anthropic-ratelimit-requests-reset": b"2026-11-24T12:00:30Z", b"date": DATE}, 30.0),
        (
            {b"anthropic-ratelimit-tokens-reset": b"2026-11-24T13:00:30+01:00", b"date": DATE},
            30.0,
        ),
        ({b"anthropic-ratelimit-requests-reset": b"2026-11-24T12:00:30Z"}, None),
        ({b"anthropic-ratelimit-requests-reset": b"2026-11-24T11:00:00Z", b"date": DATE}, None),
        ({b"retry-after": LATER}, None),
        ({b"retry-after": LATER, b"date": b"yesterday"}, None),
        ({b"retry-after": DATE, b"date": LATER}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"1e3"}, None),
        ({b"retry-after": b"0x10"}, None),
        ({b"retry-after": b"1_0"}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"999999999999"}, None),
        ({b"retry-after": "\u0661".encode()}, None),
        ({b"retry-after": b"\xb2"}, None),
        ({}, None),
    ],
)
def test_forms(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert retry_after(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("skew_s", [-3600, 0, 3600])
@pytest.mark.parametrize("wait_s", [1, 30, 120])
def test_the_upstreams_clock_may_be_wrong(skew_s: int, wait_s: int) -> None:
    theirs = 1_796_000_000 + skew_s
    headers = {
        b"date": formatdate(theirs, usegmt=True).encode(),
        b"retry-after": formatdate(theirs + wait_s, usegmt=True).encode(),
    }
    assert retry_after(headers) == wait_s


@pytest.mark.parametrize(
    ("date", "until", "seconds"),
    [
        (b"Sat, 31 Dec 2016 23:59:30 GMT", b"Sat, 31 Dec 2016 23:59:60 GMT", 29.0),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", b"Sun, 01 Jan 2017 00:00:10 GMT", 11.0),
    ],
)
def test_a_leap_second_is_no_junk(date: bytes, until: bytes, seconds: float) -> None:
    assert retry_after({b"date": date, b"retry-after": until}) == seconds


NAMES = st.sampled_from(
    [
        b"retry-after-ms",
        b"retry-after",
        b"date",
        REQUESTS,
        TOKENS,
        b"x-ratelimit-remaining-tokens",
        b"anthropic-ratelimit-tokens-reset",
    ]
)
SPANS = st.from_regex(rb"\A[0-9]{1,12}(ms|s|m|h|d)?([0-9]{1,12}(ms|s))?\Z")
DATES = st.from_regex(rb"\A[A-Z][a-z]{2}, [0-9]{1,9} Nov [0-9]{1,9} [0-9]{2}:00:00 [+-][0-9]{4}\Z")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=80) | SPANS | DATES))
def test_junk_is_none_or_a_usable_wait(headers: dict[bytes, bytes]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0.0 < seconds < LONGEST_S

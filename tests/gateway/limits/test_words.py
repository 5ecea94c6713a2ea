"""What callers read: header lines and refusals."""

from __future__ import annotations

import pytest

from headrace.errors import Reason
from headrace.gateway.limits.answer_lines import Lines, amount, denied_lines, duration
from headrace.gateway.limits.measures import Denied, Measures, Standing, Why
from headrace.gateway.limits.refusals import refusal
from support.measured import MIDNIGHT, at_once, budget, rate

REQUESTS = rate(600, key='calls "a"')
TOKENS = rate(100_000, unit="tokens", key="tokens")


def standing() -> Standing:
    made = Standing()
    made.requests, made.requests_owed_s = REQUESTS, 2.0
    made.tokens, made.tokens_owed_s = TOKENS, 0.3
    return made


def test_the_lines_of_an_answer() -> None:
    lines = Lines(Measures(requests=(REQUESTS,), tokens=(TOKENS,), at_once=(at_once(5),)))
    assert lines.standing(standing()).decode().split("\r\n") == [
        r'ratelimit-policy: "calls \"a\"";q=600;qu="requests";w=60, '
        '"tokens";q=100000;qu="tokens";w=60, "at-once";q=5;qu="concurrent-requests"',
        "x-ratelimit-limit-requests: 600",
        "x-ratelimit-remaining-requests: 80",
        "x-ratelimit-reset-requests: 2s",
        "x-ratelimit-limit-tokens: 100000",
        "x-ratelimit-remaining-tokens: 16166",
        "x-ratelimit-reset-tokens: 300ms",
        r'ratelimit: "calls \"a\"";r=80;t=2, "tokens";r=16166;t=1',
        "",
    ]


def test_the_rate_that_is_nearest_to_its_end_is_told() -> None:
    """Of several for one unit; with names that a format could take for places."""
    first, second = rate(60, key="100%d"), rate(600, key="%b")
    lines = Lines(Measures(requests=(first, second)))
    for one, left in ((first, 8), (second, 80)):
        made = Standing(requests=one, requests_owed_s=2.0)
        assert lines.standing(made).decode().split("\r\n") == [
            'ratelimit-policy: "100%d";q=60;qu="requests";w=60, "%b";q=600;qu="requests";w=60',
            f"x-ratelimit-limit-requests: {one.quota}",
            f"x-ratelimit-remaining-requests: {left}",
            "x-ratelimit-reset-requests: 2s",
            f'ratelimit: "{one.name}";r={left};t=2',
            "",
        ]
    alone = Lines(Measures(requests=(first,), tokens=(TOKENS,)))
    only_tokens = alone.standing(Standing(tokens=TOKENS, tokens_owed_s=60.0)).decode()
    assert "requests: " not in only_tokens
    assert "x-ratelimit-reset-tokens: 1m0s" in only_tokens


def test_without_rates_there_is_nothing_to_say() -> None:
    lines = Lines(Measures(budgets=(budget(5),)))
    assert lines.policy == b""
    assert lines.standing(Standing()) == b""


def test_a_budget_past_its_threshold() -> None:
    made = Standing()
    made.budget, made.spent, made.resets_at = budget(50_000_000), 41_500_000, MIDNIGHT
    assert Lines(Measures()).standing(made) == (
        b'x-headrace-budget-warning: "budget"; used=$41.50; of=$50.00; '
        b"resets=2054-11-24T00:00:00Z\r\n"
    )


def test_the_lines_of_a_refusal() -> None:
    assert denied_lines(Denied(Why.RATE, REQUESTS, 0.05), b"").decode().split("\r\n") == [
        "x-ratelimit-limit-requests: 600",
        "x-ratelimit-remaining-requests: 0",
        "x-ratelimit-reset-requests: 50ms",
        r'ratelimit: "calls \"a\"";r=0;t=1',
        "",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, b"0ms"), (0.0174, b"18ms"), (1.0, b"1s"), (59.2, b"1m0s"), (360.0, b"6m0s"),
     (86_399.5, b"24h0m0s")],
)  # fmt: skip
def test_durations(seconds: float, text: bytes) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("units", "text"),
    [(0, "$0.00"), (250_000, "$0.25"), (1_234_567_890, "$1,234.56"), (150, "$0.00015")],
)
def test_dollars(units: int, text: str) -> None:
    assert amount(budget(1), units) == text


def test_rates_are_told_with_when_to_come_back() -> None:
    refused = refusal(Denied(Why.RATE, rate(60, key="per key"), 2.1, needed=1))
    assert refused.reason is Reason.RATE_LIMITED
    assert refused.retry_after_s == 2.1
    assert refused.detail == (
        "The limit 'per key' allows 60 requests per minute, evenly spread: 10 at once, then 1 a "
        "second. Try again in 3 s."
    )
    few = refusal(Denied(Why.RATE, rate(3, burst_s=20), 20.0, needed=1))
    assert "3 requests per minute, evenly spread: 1 at once, then one every 20 s." in few.detail
    whole = refusal(Denied(Why.RATE, rate(3, burst_s=60), 20.0, needed=1))
    assert "3 requests per minute. Try again" in whole.detail
    assert "then 1.5 a second" in refusal(Denied(Why.RATE, rate(90), 1.0, needed=1)).detail
    large = refusal(Denied(Why.TOO_LARGE, TOKENS, None, needed=200_000))
    assert large.exhausted
    assert "this call alone may use 200,000" in large.detail
    busy = refusal(Denied(Why.AT_ONCE, at_once(1), 1.0))
    assert "allows 1 call at once" in busy.detail


def test_budgets_are_told_with_what_was_spent_and_when_they_begin_anew() -> None:
    week = budget(50_000_000, every="week", key="search")
    denied = Denied(Why.SPENT, week, 3600.0, 50_000_000, 1000, MIDNIGHT)
    refused = refusal(denied)
    assert refused.reason is Reason.BUDGET_SPENT
    assert refused.exhausted, "an SDK must not wait for days"
    assert refused.detail == (
        "The budget 'search' of $50.00 a week is used up: $50.00 are spent. It begins anew at "
        "2054-11-24T00:00:00Z."
    )
    near = refusal(Denied(Why.SPENT, week, 3600.0, 49_999_500, 1000, MIDNIGHT))
    assert "has $49.99 used, and this call may use $0.001." in near.detail
    reserved = refusal(Denied(Why.RESERVED, week, 2.0, 0, 1000, MIDNIGHT))
    assert not reserved.exhausted
    assert refusal(Denied(Why.AWAY, week, 2.0)).reason is Reason.BUDGET_AWAY
    assert "unpriced: allow" in refusal(Denied(Why.UNPRICED, week, None)).detail

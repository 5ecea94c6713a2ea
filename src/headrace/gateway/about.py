"""Header lines that tell a client what was done for it."""

from __future__ import annotations

import msgspec

from headrace.gateway.plan import CallPlan
from headrace.gateway.progress import Progress
from headrace.nouns import Call

EXPLAIN_LIMIT_BYTES = 6_000
"""Clients and proxies take about 8 KiB of one header."""
_WHENCE = b"x-headrace-backend: %b\r\nx-headrace-attempts: %d\r\n"
_WHENCE_AND_COST = _WHENCE + b"x-headrace-cost-usd: %d.%06d\r\n"


def about(progress: Progress) -> bytes:
    """Where the answer is from, after how many attempts, and what it cost if that is known."""
    target = progress.target
    if target is None:
        return b""
    name, cost = target.name.encode(), progress.cost_microusd
    if cost is None:
        return _WHENCE % (name, progress.attempts)
    return _WHENCE_AND_COST % (name, progress.attempts, cost // 1_000_000, cost % 1_000_000)


def explained(call: Call, plan: CallPlan) -> bytes:
    """The decisions taken so far as a JSON array, if the client asked with
    `x-headrace-explain: 1`."""
    if not call.explain:
        return b""
    decisions = plan.decisions()
    text = msgspec.json.encode(decisions)
    while len(text) > EXPLAIN_LIMIT_BYTES:
        decisions = decisions[: len(decisions) // 2]
        text = msgspec.json.encode(decisions)
    ascii_text = text.decode().encode("ascii", "backslashreplace")
    return b"x-headrace-explain: %b\r\n" % ascii_text

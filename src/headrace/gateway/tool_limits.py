"""How often tools may be called: rates and calls at once, by key, user, team or tenant. Pure.

Rates are those of `limits/gcra.py`: after a pause as many calls as the limit has may come at once,
so no span of T seconds admits more than `calls * (1 + T / every_s)`. One process serves all tools
of a gateway, so that its counts are exact; each replica counts for itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from headrace.config.tool_servers import ToolLimit
from headrace.gateway.limits import gcra
from headrace.gateway.tool_access import concerns, permits
from headrace.nouns import Caller

MOST_COUNTS = 50_000
"""Before those that hold nothing are forgotten."""


class Count(Struct):
    """What one limit has of one caller. `arrival` is the rate's instant, in monotonic seconds."""

    arrival: float = 0.0
    running: int = 0


class Denied(Struct, frozen=True):
    """A limit that is reached."""

    limit: ToolLimit
    retry_after_s: float | None
    """Until the rate allows the call; None where one that runs has to end first."""

    @property
    def detail(self) -> str:
        """What is allowed, in words: `calls in 60 s for each key: 10`."""
        limit = self.limit
        if self.retry_after_s is None:
            return f"calls at once for each {limit.per}: {limit.concurrent:,}"
        return f"calls in {limit.every_s:g} s for each {limit.per}: {limit.calls:,}"


Taken = list[Count]
"""What a call that runs holds; it must be given back."""


class ToolLimits:
    """Counts calls of one process."""

    def __init__(self, rules: Sequence[ToolLimit]) -> None:
        self._counts: dict[tuple[bytes, str], Count] = {}
        self._rules: list[tuple[bytes, ToolLimit]] = []
        self.use(rules)

    def use(self, rules: Sequence[ToolLimit]) -> None:
        """Other rules are in force. What was counted by one that is still there goes on."""
        self._rules = [(msgspec.json.encode(rule), rule) for rule in rules]

    def take(self, caller: Caller, tool: str, now: float) -> Taken | Denied:
        """Counts a call that begins, by all limits that concern it, or by none and says why not.
        `now` is monotonic seconds."""
        counts = []
        for name, rule in self._rules:
            subject = _subject(rule, caller)
            if subject is None or not _is_about(rule, caller, tool):
                continue
            count = self._counts.get((name, subject)) or self._made(name, subject, now)
            denied = _denied(rule, count, now)
            if denied is not None:
                return denied
            counts.append((rule, count))
        for rule, count in counts:
            count.running += 1
            if rule.calls is not None:
                count.arrival = gcra.taken(count.arrival, rule.every_s / rule.calls, now)
        return [count for _, count in counts]

    def give_back(self, taken: Taken) -> None:
        """A call has ended."""
        for count in taken:
            count.running -= 1

    def _made(self, name: bytes, subject: str, now: float) -> Count:
        if len(self._counts) >= MOST_COUNTS:
            kept = {k: c for k, c in self._counts.items() if c.running or c.arrival > now}
            self._counts = kept
        count = self._counts[name, subject] = Count()
        return count


def _subject(rule: ToolLimit, caller: Caller) -> str | None:
    """Whose calls are counted together with this caller's."""
    match rule.per:
        case "key":
            return caller.key_id
        case "tenant":
            return caller.tenant
        case "team":
            return None if caller.team is None else f"{caller.tenant}/{caller.team}"
        case "user":
            return None if caller.user is None else f"{caller.tenant}/{caller.user}"


def _is_about(rule: ToolLimit, caller: Caller, tool: str) -> bool:
    return concerns(rule, caller) and (rule.tools is None or permits(rule.tools, tool))


def _denied(rule: ToolLimit, count: Count, now: float) -> Denied | None:
    if rule.concurrent is not None and count.running >= rule.concurrent:
        return Denied(rule, None)
    if rule.calls is not None:
        wait_s = gcra.wait_s(count.arrival, rule.every_s / rule.calls, rule.every_s, now)
        if wait_s > 0.0:
            return Denied(rule, wait_s)
    return None

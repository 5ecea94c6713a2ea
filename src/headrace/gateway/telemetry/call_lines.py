"""One line for each call: who, what, how it ended, how long it took, what it cost. Pure.

Only what stands here is told: no word of a prompt or an answer, no header, no text of an upstream.
Names that a client chose are among it, so they are scrubbed. What many calls have alike, which is
most of a line, is scrubbed and written once and remembered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from headrace.data.records import Settlement
from headrace.gateway.telemetry.ended import UPSTREAM, Ended
from headrace.gateway.telemetry.trace import trace_hex

MOST_ALIKE = 1_000
"""Sets of names that are remembered. Names of models may be a client's."""

_DIGITS = tuple(f"{n:03d}" for n in range(1000))
"""Of a fraction: floating-point numbers take five times as long to be written."""
_encode = msgspec.json.Encoder().encode


class Names(Struct, gc=False):
    """What many calls have alike: the first part of it."""

    operation: str
    model: str
    key: str
    tenant: str
    status: int
    finish: str
    answered_by: str
    attempts: int


class MoreNames(Struct, gc=False, omit_defaults=True):
    """The second part, which most calls have little of."""

    backend: str | None = None
    reason: str | None = None
    team: str | None = None
    user: str | None = None
    stream: bool = False


class Alike(NamedTuple):
    """Pieces of a line, ready to be put into it."""

    before: str
    after: str


class CallLines(ABC):
    """Makes lines of one form. Used by the event loop alone."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        """`scrub` takes secrets out of names."""
        self._scrub = scrub
        self._alike: dict[tuple[object, ...], Alike] = {}

    def of(self, calls: list[Ended]) -> bytes:
        """In the same order, each ended by a line feed."""
        ids = "\0".join([row.call for row, _, _ in calls])  # one search: most hold no secret
        if self._scrub(ids) != ids:
            scrub = self._scrub
            calls = [
                (msgspec.structs.replace(row, call=scrub(row.call)), trace, events)
                for row, trace, events in calls
            ]
        return "".join(self._lines(calls)).encode()

    def forget(self) -> None:
        """Other secrets may be known now."""
        self._alike.clear()

    def _alike_of(self, row: Settlement) -> Alike:
        key = (
            row.operation, row.model, row.key, row.tenant, row.status, row.finish, row.answered_by,
            row.attempts, row.backend, row.reason, row.team, row.user, row.stream,
        )  # fmt: skip
        found = self._alike.get(key)
        if found is None:
            told = self._told
            names = Names(
                row.operation, told(row.model), told(row.key), told(row.tenant), row.status,
                row.finish, row.answered_by, row.attempts,
            )  # fmt: skip
            more = MoreNames(
                row.backend, row.reason, told(row.team or "") or None,
                told(row.user or "") or None, row.stream,
            )  # fmt: skip
            if len(self._alike) >= MOST_ALIKE:
                self._alike.clear()
            found = self._alike[key] = self._written(names, more)
        return found

    def _told(self, name: str) -> str:
        return self._scrub(name).encode("utf-8", "replace").decode()

    @abstractmethod
    def _written(self, names: Names, more: MoreNames) -> Alike:
        """As they stand in a line."""

    @abstractmethod
    def _lines(self, calls: list[Ended]) -> list[str]:
        """Calls whose ids hold no secret."""


class JsonLines(CallLines):
    """One object a line, as the other lines of the log are. Times are in milliseconds; the call's
    id is of letters, digits and hyphens."""

    def _written(self, names: Names, more: MoreNames) -> Alike:
        after = _encode(more)[1:-1].decode()
        return Alike(_encode(names)[1:-1].decode(), f",{after}" if after else "")

    def _lines(self, calls: list[Ended]) -> list[str]:
        lines, alike_of, digits, second_us, at = [], self._alike_of, _DIGITS, -1_000_000, ""
        for row, trace, _ in calls:
            before, after = alike_of(row)
            us = row.at_us - second_us
            if not 0 <= us < 1_000_000:  # thousands of calls end in one
                second, us = divmod(row.at_us, 1_000_000)
                second_us = second * 1_000_000
                at = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            took_us, cost, priced, first, its_trace = row.latency_us, row.cost_microusd, "", "", ""
            if cost is not None:
                usd, part = (0, cost) if cost < 1_000_000 else divmod(cost, 1_000_000)
                priced = f',"cost_usd":{usd}.{digits[part // 1000]}{digits[part % 1000]}'
            if row.stream and row.ttft_us is not None:
                first = f',"first_token_ms":{row.ttft_us // 1000}.{digits[row.ttft_us % 1000]}'
            if trace:
                its_trace = f',"trace":"{trace_hex(trace)}"'
            lines.append(
                f'{{"event":"call","time":"{at}.{digits[us // 1000]}+00:00","call":"{row.call}"'
                f',{before},"took_ms":{took_us // 1000}.{digits[took_us % 1000]}'
                f',"input_tokens":{row.input_tokens},"output_tokens":{row.output_tokens}'
                f"{priced}{first}{after}{its_trace}}}\n"
            )
        return lines


class TextLines(CallLines):
    """For eyes. Names stand quoted, so that none can look like another part of the line."""

    def _written(self, names: Names, more: MoreNames) -> Alike:
        why = "" if more.reason is None else f" {more.reason}"
        by = more.backend if names.answered_by == UPSTREAM else names.answered_by
        before = (
            f"{names.status} {names.finish}{why} {names.operation} {names.model[:128]!a} by {by}"
        )
        return Alike(before, f" key={names.key}")

    def _lines(self, calls: list[Ended]) -> list[str]:
        lines = []
        for row, _, _ in calls:
            before, after = self._alike_of(row)
            at = f"{datetime.fromtimestamp(row.at_us / 1e6, UTC):%H:%M:%S.%f}"[:-3]
            cost = "" if row.cost_microusd is None else f" ${row.cost_microusd / 1e6:.6f}"
            first = ""
            if row.stream and row.ttft_us is not None:
                first = f" first {row.ttft_us / 1000:.0f} ms"
            lines.append(
                f"{at} {before} {row.latency_us / 1000:.0f} ms{first} "
                f"{row.input_tokens}+{row.output_tokens} tokens{cost}{after} call={row.call}\n"
            )
        return lines

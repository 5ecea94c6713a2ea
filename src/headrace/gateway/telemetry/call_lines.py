"""One line for each call: who, what, how it ended, how long it took, what it cost. Pure.

Only what stands here is told: no word of a prompt or an answer, no header, no text of an upstream.
Names that a client chose are among it, so they are scrubbed. What many calls have alike, which is
most of a line, is scrubbed and written once for each kind of call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from headrace.data.records import Settlement
from headrace.gateway.telemetry.ended import UPSTREAM, Ended
from headrace.gateway.telemetry.kind import Kind

_DIGITS = tuple(f"{n:03d}" for n in range(1000))
"""Of a fraction: floating-point numbers take five times as long to be written."""
_USD = ',"cost_usd":0.'
_TRACE, _END = ',"trace":"', '"}\n'
_NO_TRACE, _NO_END = "", "}\n"
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


class CallLines(ABC):
    """Makes lines of one form. Used by the event loop alone."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        """`scrub` takes secrets out of names."""
        self._scrub = scrub

    def pieces_of(self, row: Settlement) -> tuple[str, str]:
        """What lines of a kind of calls have alike, by the first: before their figures and behind
        them."""
        told = self._told
        names = Names(
            row.operation, told(row.model), told(row.key), told(row.tenant), row.status,
            row.finish, row.answered_by, row.attempts,
        )  # fmt: skip
        more = MoreNames(
            row.backend, row.reason, told(row.team or "") or None, told(row.user or "") or None,
            row.stream,
        )  # fmt: skip
        return self._written(names, more)

    def of(self, calls: list[Ended], kinds: list[Kind]) -> bytes:
        """In the same order, each ended by a line feed."""
        ids = "\0".join([row.call for row, _, _ in calls])  # one search: most hold no secret
        if self._scrub(ids) != ids:
            scrub = self._scrub
            calls = [
                (msgspec.structs.replace(row, call=scrub(row.call)), trace, events)
                for row, trace, events in calls
            ]
        return "".join(self._lines(calls, kinds)).encode()

    def _told(self, name: str) -> str:
        return self._scrub(name).encode("utf-8", "replace").decode()

    @abstractmethod
    def _written(self, names: Names, more: MoreNames) -> tuple[str, str]:
        """As they stand in a line."""

    @abstractmethod
    def _lines(self, calls: list[Ended], kinds: list[Kind]) -> list[str]:
        """Calls whose ids hold no secret."""


class JsonLines(CallLines):
    """One object a line, as the other lines of the log are. Times are in milliseconds; the call's
    id is of letters, digits and hyphens."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        super().__init__(scrub)
        self._second_us = -1_000_000
        self._at = ""
        """How a line of that second begins: thousands of calls end in one."""

    def _written(self, names: Names, more: MoreNames) -> tuple[str, str]:
        after = _encode(more)[1:-1].decode()
        before = f'",{_encode(names)[1:-1].decode()},"took_ms":'
        return before, f",{after}" if after else ""

    def _lines(self, calls: list[Ended], kinds: list[Kind]) -> list[str]:
        lines, digits, second_us, at = [], _DIGITS, self._second_us, self._at
        for (row, trace, _), kind in zip(calls, kinds, strict=True):
            us, took_us, cost = row.at_us - second_us, row.latency_us, row.cost_microusd
            if not 0 <= us < 1_000_000:
                second_us, at = self._begun(row.at_us)
                us = row.at_us - second_us
            priced = part = rest = first = ""  # texts within texts would be made twice
            if cost is not None:
                priced = _USD
                if cost >= 1_000_000:
                    usd, cost = divmod(cost, 1_000_000)
                    priced = f',"cost_usd":{usd}.'
                part, rest = digits[cost // 1000], digits[cost % 1000]
            if row.stream and row.ttft_us is not None:
                first = f',"first_token_ms":{row.ttft_us // 1000}.{digits[row.ttft_us % 1000]}'
            lines.append(
                f'{at}{digits[us // 1000]}+00:00","call":"{row.call}{kind.before}'
                f'{took_us // 1000}.{digits[took_us % 1000]},"input_tokens":{row.input_tokens}'
                f',"output_tokens":{row.output_tokens}{priced}{part}{rest}{first}{kind.after}'
                f"{_TRACE if trace else _NO_TRACE}{trace}{_END if trace else _NO_END}"
            )
        return lines

    def _begun(self, at_us: int) -> tuple[int, str]:
        """The second of that instant, in microseconds, and how its lines begin."""
        second = at_us // 1_000_000
        at = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}."
        self._second_us, self._at = second * 1_000_000, f'{{"event":"call","time":"{at}'
        return self._second_us, self._at


class TextLines(CallLines):
    """For eyes. Names stand quoted, so that none can look like another part of the line."""

    def _written(self, names: Names, more: MoreNames) -> tuple[str, str]:
        why = "" if more.reason is None else f" {more.reason}"
        by = more.backend if names.answered_by == UPSTREAM else names.answered_by
        before = (
            f"{names.status} {names.finish}{why} {names.operation} {names.model[:128]!a} by {by}"
        )
        return before, f" key={names.key}"

    def _lines(self, calls: list[Ended], kinds: list[Kind]) -> list[str]:
        lines = []
        for (row, _, _), kind in zip(calls, kinds, strict=True):
            before, after = kind.before, kind.after
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

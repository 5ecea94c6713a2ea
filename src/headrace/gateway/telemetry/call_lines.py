"""One line for each call: who, what, how it ended, how long it took, what it cost. Pure.

Only the fields of `CallLine` are told: no word of a prompt or an answer, no header, no text of an
upstream. Names that a client chose are among them, so lines are scrubbed before they are written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from headrace.gateway.progress import Progress
from headrace.nouns import Call, Usage


class CallLine(Struct, gc=False, omit_defaults=True, tag_field="event", tag="call"):
    """Times are in milliseconds."""

    time: float | str
    """Unix seconds; as text from when it is written as JSON."""
    call: str
    """The correlation id."""
    operation: str
    model: str
    key: str
    tenant: str
    status: int
    finish: str
    answered_by: str
    attempts: int
    took_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    first_token_ms: float | None = None
    backend: str | None = None
    reason: str | None = None
    team: str | None = None
    user: str | None = None
    stream: bool = False
    trace: str | None = None


_encode_lines = msgspec.json.Encoder().encode_lines


def line_of(call: Call, progress: Progress, usage: Usage, now: float, unix: float) -> CallLine:
    """`now` is monotonic seconds, `unix` Unix seconds."""
    caller, target, first = call.caller, progress.target, progress.first_content_at
    cost, trace = progress.cost_microusd, progress.trace
    received = call.received_at
    return CallLine(
        unix,
        call.id,
        call.operation,
        call.model,
        caller.key_id,
        caller.tenant,
        progress.status,
        progress.finish,
        progress.answerer,
        progress.attempts,
        _ms(now - received),
        usage.input_tokens,
        usage.output_tokens,
        None if cost is None else cost / 1e6,
        _ms(first - received) if call.stream and first is not None else None,
        None if target is None else target.name,
        progress.reason,
        caller.team,
        caller.user,
        call.stream,
        None if trace is None else f"{trace.trace_id:032x}",
    )


def _ms(seconds: float) -> float:
    """Milliseconds to two places; `round` takes five times as long."""
    return int(seconds * 1e5 + 0.5) / 100


def scrubbed_lines(lines: list[CallLine], scrub: Callable[[str], str]) -> list[CallLine]:
    """Without secrets in what a client or an operator wrote; all else is ours. One search for all
    lines, since most have none, and a look at each only where there was something. Most lines have
    the same names: they are searched once."""
    names = {(line.model, line.key, line.tenant, line.team or "", line.user or "")
             for line in lines}  # fmt: skip
    together = "\0".join([line.call for line in lines] + [name for all in names for name in all])
    if scrub(together) == together:
        return lines
    return [_scrubbed(line, scrub) for line in lines]


def _written(line: CallLine) -> tuple[str, ...]:
    return (line.call, line.model, line.key, line.tenant, line.team or "", line.user or "")


def _scrubbed(line: CallLine, scrub: Callable[[str], str]) -> CallLine:
    call, model, key, tenant, team, user = map(scrub, _written(line))
    return msgspec.structs.replace(
        line, call=call, model=model, key=key, tenant=tenant, team=team or None, user=user or None
    )


class JsonCallLines:
    """One object a line, as the other lines of the log are. For one thread."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def of(self, lines: list[CallLine]) -> bytes:
        """All of them, each ended by a line feed. Their times are texts from then on."""
        for line in lines:
            if not isinstance(line.time, str):
                line.time = self._instant(line.time)
        return _encode_lines(lines)

    def _instant(self, unix_s: float) -> str:
        second = int(unix_s)
        if second != self._second:  # thousands of calls end in one second
            self._second = second
            self._text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._text}.{int((unix_s - second) * 1000):03d}+00:00"


def as_text(lines: list[CallLine]) -> bytes:
    """For eyes, each line ended by a line feed."""
    return b"".join([_seen(line) + b"\n" for line in lines])


def _seen(line: CallLine) -> bytes:
    """Names stand quoted, so that none can look like another part of the line."""
    assert not isinstance(line.time, str)
    at = f"{datetime.fromtimestamp(line.time, UTC):%H:%M:%S.%f}"[:-3]
    first = "" if line.first_token_ms is None else f" first {line.first_token_ms:.0f} ms"
    cost = "" if line.cost_usd is None else f" ${line.cost_usd:.6f}"
    why = "" if line.reason is None else f" {line.reason}"
    by = line.backend if line.answered_by == "upstream" else line.answered_by
    text = (
        f"{at} {line.status} {line.finish}{why} {line.operation} {line.model[:128]!a} by {by} "
        f"{line.took_ms:.0f} ms{first} {line.input_tokens}+{line.output_tokens} tokens{cost} "
        f"key={line.key} call={line.call}"
    )
    return text.encode("utf-8", "replace")

"""One line for each call: who, what, how it ended, how long it took, what it cost. Pure.

Only the fields of `CallLine` are told: no word of a prompt or an answer, no header, no text of an
upstream. Names that a client chose are among them, so lines are scrubbed before they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from headrace.gateway.telemetry.ended import Ended


class CallLine(Struct, gc=False, omit_defaults=True, tag_field="event", tag="call"):
    """Times are in milliseconds."""

    time: float | str
    """Unix seconds; as text where it is written as JSON."""
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


def lines_of(calls: list[Ended], instants: Iterable[float | str]) -> list[CallLine]:
    """In the same order. `instants` are those of their ends, as they are to be told."""
    return [
        CallLine(
            at,
            row.call,
            row.operation,
            row.model,
            row.key,
            row.tenant,
            row.status,
            row.finish,
            row.answered_by,
            row.attempts,
            row.latency_us / 1000,
            row.input_tokens,
            row.output_tokens,
            None if row.cost_microusd is None else row.cost_microusd / 1e6,
            row.ttft_us / 1000 if row.stream and row.ttft_us is not None else None,
            row.backend,
            row.reason,
            row.team,
            row.user,
            row.stream,
            f"{trace_id:032x}" if trace_id else None,
        )
        for (row, trace_id, _), at in zip(calls, instants, strict=True)
    ]


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


def as_json(calls: list[Ended], scrub: Callable[[str], str]) -> bytes:
    """One object a line, as the other lines of the log are; each ended by a line feed."""
    return _encode_lines(scrubbed_lines(lines_of(calls, _instants(calls)), scrub))


def _instants(calls: list[Ended]) -> Iterator[str]:
    known, text = -1, ""
    for row, _, _ in calls:
        second, us = divmod(row.at_us, 1_000_000)
        if second != known:  # thousands of calls end in one second
            known, text = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        yield f"{text}.{us // 1000:03d}+00:00"


def as_text(calls: list[Ended], scrub: Callable[[str], str]) -> bytes:
    """For eyes, each line ended by a line feed."""
    lines = lines_of(calls, [row.at_us / 1e6 for row, _, _ in calls])
    return b"".join([_seen(line) + b"\n" for line in scrubbed_lines(lines, scrub)])


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

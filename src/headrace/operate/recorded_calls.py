"""What the ledger has of a call whose decisions no worker remembers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from rich.text import Text

from headrace.config.loading import Loaded
from headrace.data.database import DatabaseAway
from headrace.data.ledger_calls import CallRow, Calls
from headrace.errors import Setup
from headrace.operate.key_names import labels_of
from headrace.operate.tables import tally, wide_console
from headrace.operate.usage_commands import open_ledger, usd

_MOST = 10
"""A client may give many calls one id."""
_WITHOUT_UPSTREAM: Mapping[str, str] = {
    "cache": "out of the cache",
    "shared": "with an equal call that was in flight",
    "replay": "with the answer that it had got before",
    "message": "with the model's own message",
}


def print_recorded(loaded: Loaded, call_id: str, *, as_json: bool) -> bool:
    """Prints the call's rows, for machines as a line of JSON each; False where there is none, or
    the ledger cannot be read."""
    try:
        rows = _rows(loaded, call_id)
        labels = labels_of(loaded, (row.key_id for row in rows))
    except (DatabaseAway, Setup):
        return False
    if as_json:
        for row in rows:
            print(json.dumps({"ledger": msgspec.to_builtins(row)}))
        return bool(rows)
    console = wide_console()
    if rows:
        console.print("No decisions are remembered: it met no trouble, or is past. In the ledger:")
    for row in rows:
        for line in in_words(row, labels.get(row.key_id, row.key_id)):
            console.print(Text(line), soft_wrap=True)  # what clients wrote has no codes then
    return bool(rows)


def in_words(row: CallRow, key: str) -> list[str]:
    """Lines for people; `key` is what they call the key."""
    at = datetime.fromtimestamp(row.settled_us // 1_000_000, UTC)
    whose = ", ".join(
        f"{kind} {name}"
        for kind, name in (("tenant", row.tenant), ("team", row.team), ("user", row.user_id))
        if name
    )
    reason = f" ({row.reason})" if row.reason else ""
    first = "" if row.ttft_us is None else f", first content after {_ms(row.ttft_us)}"
    cost = "at no known price" if row.cost_microusd is None else usd(row.cost_microusd)
    estimated = ", estimated" if row.usage_source == "estimated" else ""
    return [
        f"ended     {at:%Y-%m-%d %H:%M:%S} UTC: {row.status}, {row.finish}{reason}, "
        f"in {_ms(row.latency_us)}{first}",
        f"asked     {row.operation} of {row.model}, by key {key}, {whose}",
        f"answered  {_answered(row)}",
        f"used      {row.input_tokens:,} tokens in, {row.output_tokens:,} out{estimated}, {cost}",
    ]


def _answered(row: CallRow) -> str:
    if row.answered_by in _WITHOUT_UPSTREAM:
        return _WITHOUT_UPSTREAM[row.answered_by]
    if row.backend is None:
        return "by nobody: no backend was asked"
    name = f" as {row.used_model}" if row.used_model else ""
    tried = f" of {row.tried}" if row.tried else ""
    return f"by {row.backend}{name}, {tally(row.attempts, 'attempt')}{tried}"


def _rows(loaded: Loaded, call_id: str) -> list[CallRow]:
    kept = open_ledger(loaded)
    try:
        return Calls(kept).page({"call": call_id}, None, 0, None, None, _MOST)
    finally:
        kept.close()


def _ms(microseconds: int) -> str:
    seconds = microseconds / 1e6
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"

"""From the journal's records to the ledger's rows and their hash chain. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from headrace.data.database import Row, Value
from headrace.data.ledger_tables import COLUMNS
from headrace.data.records import Opening, Settlement, Tags
from headrace.nouns import MOST_TOKENS

MOST_MICROUSD = 10**15
ORPHAN = "orphan"

AT: Final = {name: at for at, name in enumerate(COLUMNS[2:-1])}
"""Where in a row, as `row_of` makes it, a column's value is."""
_FIELD: Final = {name: at for at, name in enumerate(Settlement.__struct_fields__)}
_TAGS: Final = _FIELD["tags"]
_REASON: Final = _FIELD["reason"]
_TOKENS: Final = slice(_FIELD["input_tokens"], _FIELD["audio_output_tokens"] + 1)
_CACHE_WRITES: Final = _FIELD["cache_write_tokens"]
_ORPHAN: Final = AT["orphan"]

encode = msgspec.json.Encoder().encode


class Bound(Struct, frozen=True):
    """What a call counts for that was cut off: the most that it can have used."""

    input_tokens: int
    output_tokens: int
    cost_microusd: int | None
    price_version: str


def row_of(run: int, ended: Settlement, intents: Sequence[Opening]) -> Row:
    """The values of `COLUMNS`, without `chain`, `position` and `hash`."""
    values = astuple(ended)
    tokens, cost = values[_TOKENS], ended.cost_microusd
    if (
        max(tokens) > MOST_TOKENS
        or min(tokens) < 0
        or not 0 <= values[_CACHE_WRITES] <= MOST_TOKENS
        or ended.saved_microusd > MOST_MICROUSD
        or (cost is not None and not 0 <= cost <= MOST_MICROUSD)
        or (ended.cut_at is not None and _cut_too_large(ended))
    ):
        values = astuple(_bounded(ended))
    tags = ended.tags
    return (
        run,
        *values[1:_TAGS],
        tags_text(tags) if tags else None,
        1 if ended.stream else 0,
        *values[_TAGS + 2 : _REASON + 1],
        tried(intents) if len(intents) > 1 else None,
        0,
        *values[_REASON + 1 :],
    )


def _cut_too_large(ended: Settlement) -> bool:
    """A client may ask for anything."""
    tokens, cost = ended.cut_tokens or 0, ended.cut_microusd or 0
    return tokens > MOST_TOKENS or cost > MOST_MICROUSD


def _bounded(ended: Settlement) -> Settlement:
    """With numbers that have room, whatever an upstream said."""
    cost, cut = ended.cost_microusd, ended.cut_microusd
    counts = {
        name: min(max(count, 0), MOST_TOKENS)
        for name in ended.__struct_fields__
        if name.endswith("_tokens") and (count := getattr(ended, name)) is not None
    }
    return replace(
        ended,
        cost_microusd=None if cost is None else min(max(cost, 0), MOST_MICROUSD),
        cut_microusd=None if cut is None else min(cut, MOST_MICROUSD),
        saved_microusd=min(ended.saved_microusd, MOST_MICROUSD),
        **counts,
    )


def row_of_orphan(run: int, intents: Sequence[Opening], bound: Bound) -> Row:
    """The row of a call whose gateway was killed, settled at its bound."""
    last = intents[-1].intent()
    ended = Settlement(
        seq=last.seq,
        number=last.number,
        at_us=last.at_us,
        call=last.call,
        dialect=last.dialect,
        operation=last.operation,
        model=last.model,
        key=last.key,
        tenant=last.tenant,
        status=0,
        finish=ORPHAN,
        answered_by="nobody",
        attempts=last.attempt,
        latency_us=0,
        backend=last.backend,
        region=last.region,
        used_model=last.used_model,
        team=last.team,
        user=last.user,
        tags=last.tags,
        stream=last.stream,
        input_tokens=bound.input_tokens,
        output_tokens=bound.output_tokens,
        usage_source="estimated",
        cost_microusd=bound.cost_microusd,
        price_version=bound.price_version,
    )
    row = row_of(run, ended, intents)
    return (*row[:_ORPHAN], 1, *row[_ORPHAN + 1 :])


def tags_text(tags: Tags) -> str:
    """As JSON: `[["env","prod"]]`."""
    return encode(tags).decode()


def tried(intents: Iterable[Opening]) -> str:
    """The backends of the attempts in order, as JSON."""
    return encode([opening.intent().backend for opening in intents]).decode()


# --- the chain


def first_hash(chain_name: str) -> bytes:
    """What the first row's hash is made of, for want of a row before it."""
    return hashlib.sha256(b"headrace ledger " + chain_name.encode()).digest()


def next_hash(before: bytes, position: int, values: Sequence[Value]) -> bytes:
    """SHA-256 of the hash before, and the row as JSON: `position` and what `row_of` gives without
    the nulls at its end, so that a row hashes as it did before there were the last columns."""
    end = len(values)
    while values[end - 1] is None:
        end -= 1
    return hashlib.sha256(before + encode((position, *values[:end]))).digest()


def chained(
    chain: int, position: int, before: bytes, rows: Iterable[Row]
) -> tuple[list[Row], int, bytes]:
    """The rows as they are stored, and the last one's position and hash."""
    stored: list[Row] = []
    for values in rows:
        position += 1
        before = next_hash(before, position, values)
        stored.append((chain, position, *values, before))
    return stored, position, before

"""From the journal's records to the ledger's rows, their hash chain, and their sums. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from headrace.data.database import Row, Value
from headrace.data.ledger_tables import COLUMNS
from headrace.data.records import Opening, Settlement, Tags

HOUR_US = 3_600_000_000
MOST_TOKENS = 10**13
"""An upstream may say anything; sums must stay within 63 bits."""
MOST_MICROUSD = 10**15
ORPHAN = "orphan"

_AT = {name: at for at, name in enumerate(COLUMNS[2:-1])}
_SETTLED: Final = _AT["settled_us"]
_DIMENSIONS: Final = tuple(_AT[n] for n in ("tenant", "team", "user_id", "key_id", "model"))

encode = msgspec.json.Encoder().encode


class Bound(Struct, frozen=True):
    """What a call counts for that was cut off: the most that it can have used."""

    input_tokens: int
    output_tokens: int
    cost_microusd: int | None
    price_version: str


def row_of(run: int, ended: Settlement, intents: Sequence[Opening]) -> Row:
    """The values of `COLUMNS`, without `chain`, `position` and `hash`."""
    counts: tuple[int, ...] = (
        ended.input_tokens,
        ended.output_tokens,
        ended.cached_tokens,
        ended.reasoning_tokens,
        ended.audio_input_tokens,
        ended.audio_output_tokens,
    )
    cost, saved = ended.cost_microusd, ended.saved_microusd
    if max(counts) > MOST_TOKENS or min(counts) < 0:
        counts = tuple(min(max(count, 0), MOST_TOKENS) for count in counts)
    if cost is not None and cost > MOST_MICROUSD:
        cost = MOST_MICROUSD
    tags = ended.tags
    return (
        run,
        ended.number,
        ended.at_us,
        ended.call,
        ended.dialect,
        ended.operation,
        ended.model,
        int(ended.stream),
        ended.tenant,
        ended.team,
        ended.user,
        ended.key,
        tags_text(tags) if tags else None,
        ended.backend,
        ended.region,
        ended.used_model,
        ended.attempts,
        tried(intents) if len(intents) > 1 else None,
        ended.status,
        ended.finish,
        ended.answered_by,
        ended.reason,
        *counts,
        ended.usage_source,
        cost,
        min(saved, MOST_MICROUSD),
        ended.price_version,
        ended.latency_us,
        ended.ttft_us,
        0,
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
    return (*row_of(run, ended, intents)[:-1], 1)


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
    """SHA-256 of the hash before, and the row as JSON: `position` and what `row_of` gives."""
    return hashlib.sha256(before + encode((position, *values))).digest()


def chained(
    chain: int, position: int, before: bytes, rows: Iterable[Row]
) -> tuple[list[Row], int, bytes]:
    """The rows as they are stored, and the last one's position and hash."""
    stored: list[Row] = []
    for values in rows:
        position += 1
        before = hashlib.sha256(before + encode((position, *values))).digest()
        stored.append((chain, position, *values, before))
    return stored, position, before


# --- the sums

Key = tuple[Value, ...]
Sums = list[int]


def sums_of(rows: Iterable[Row]) -> tuple[dict[Key, Sums], dict[Key, Sums]]:
    """Sums by hour and dimensions, and by hour, tenant and tag: see `ledger_tables.SUMS`."""
    hours: dict[Key, list[Row]] = {}
    tagged: dict[Key, list[Row]] = {}
    at = _AT
    settled, tags_at, backend = at["settled_us"], at["tags"], at["backend"]
    finish, tokens, source = at["finish"], at["input_tokens"], at["usage_source"]
    cost, latency, first, orphan = (
        at["cost_microusd"],
        at["latency_us"],
        at["ttft_us"],
        at["orphan"],
    )
    tenant, team, user, key_id, model = _DIMENSIONS
    for row in rows:
        hour = row[settled] // HOUR_US  # type: ignore[operator]
        key = (
            hour,
            row[tenant],
            row[team] or "",
            row[user] or "",
            row[key_id],
            row[model],
            row[backend] or "",
        )
        money, began = row[cost], row[first]
        one = (
            1,
            int(row[finish] != "complete"),
            row[tokens],
            row[tokens + 1],
            row[tokens + 2],
            row[tokens + 3],
            money or 0,
            row[cost + 1],
            int(money is None),
            int(row[source] == "estimated"),
            row[orphan],
            row[latency],
            began or 0,
            int(began is not None),
        )
        found = hours.get(key)
        if found is None:
            hours[key] = [one]
        else:
            found.append(one)
        tags = row[tags_at]
        if tags is not None:
            for tag, value in msgspec.json.decode(tags, type=list[tuple[str, str]]):  # type: ignore[arg-type]
                tagged.setdefault((hour, row[tenant], tag, value), []).append(one)
    return _summed(hours), _summed(tagged)


def _summed(found: dict[Key, list[Row]]) -> dict[Key, Sums]:
    return {key: [sum(column) for column in zip(*ones, strict=True)] for key, ones in found.items()}

"""From the journal's records to the ledger's rows, their hash chain, and their sums. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from headrace.data.database import Row, Value
from headrace.data.ledger_tables import CAP, COLUMNS, DIMENSIONS, MODELS
from headrace.data.records import Opening, Settlement, Tags

HOUR_US = 3_600_000_000
MOST_TOKENS = 10**13
"""An upstream may say anything; sums must stay within 63 bits."""
MOST_MICROUSD = 10**15
ORPHAN = "orphan"

_AT = {name: at for at, name in enumerate(COLUMNS[2:-1])}
_TAGS: Final = Settlement.__struct_fields__.index("tags")
_REASON: Final = Settlement.__struct_fields__.index("reason")
_ORPHAN: Final = _AT["orphan"]

encode = msgspec.json.Encoder().encode


class Bound(Struct, frozen=True):
    """What a call counts for that was cut off: the most that it can have used."""

    input_tokens: int
    output_tokens: int
    cost_microusd: int | None
    price_version: str


def row_of(run: int, ended: Settlement, intents: Sequence[Opening]) -> Row:
    """The values of `COLUMNS`, without `chain`, `position` and `hash`."""
    cost, saved = ended.cost_microusd, ended.saved_microusd
    tokens = (
        ended.input_tokens,
        ended.output_tokens,
        ended.cached_tokens,
        ended.reasoning_tokens,
        ended.audio_input_tokens,
        ended.audio_output_tokens,
        ended.cache_write_tokens,
    )
    if (
        max(tokens) > MOST_TOKENS
        or min(tokens) < 0
        or saved > MOST_MICROUSD
        or (cost is not None and cost > MOST_MICROUSD)
        or (ended.cut_at is not None and _cut_too_large(ended))
    ):
        ended = _bounded(ended)
    values = astuple(ended)
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
        cost_microusd=None if cost is None else min(cost, MOST_MICROUSD),
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


# --- the sums

Key = tuple[Value, ...]
Sums = list[int]


def sums_of(rows: Iterable[Row]) -> tuple[dict[Key, Sums], dict[Key, Sums]]:
    """Sums by hour and dimensions, and by hour, tenant and tag: see `ledger_tables.SUMS`."""
    hours: dict[tuple[int, Row], list[Row]] = {}
    tagged: dict[tuple[int, Row], list[Row]] = {}
    tags_of: dict[Value, Sequence[tuple[str, str]]] = {None: ()}
    settled, tags_at, tenant = _AT["settled_us"], _AT["tags"], _AT["tenant"]
    for row in rows:
        hour: int = row[settled] // HOUR_US  # type: ignore[operator,assignment]
        key, one = (hour, _dimensions(row)), _summands(row)
        found = hours.get(key)
        if found is None:
            hours[key] = [one]
        else:
            found.append(one)
        text = row[tags_at]
        tags = tags_of.get(text)
        if tags is None:
            tags = tags_of[text] = _tags.decode(text)  # type: ignore[arg-type]
        for tag in tags:
            tagged.setdefault((hour, (row[tenant], *tag)), []).append(one)
    return _summed(hours), _summed(tagged)


_tags = msgspec.json.Decoder(list[tuple[str, str]])
_dimensions = itemgetter(*(_AT[name] for name in DIMENSIONS))
_summands = itemgetter(
    *(
        _AT[name]
        for name in (
            "finish", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
            "cost_microusd", "saved_microusd", "usage_source", "orphan", "latency_us", "ttft_us",
            "cache_write_tokens",
        )
    )
)  # fmt: skip


def _summed(found: dict[tuple[int, Row], list[Row]]) -> dict[Key, Sums]:
    return {
        (hour, *("" if value is None else value for value in key)): _sum(zip(*ones, strict=True))
        for (hour, key), ones in found.items()
    }


def _sum(columns: Iterable[tuple[Any, ...]]) -> Sums:
    """Of the columns of `_summands`, in the order of `SUMS`."""
    finish, *tokens, cost, saved, source, orphan, latency, first, cache_writes = columns
    calls, unpriced, silent = len(finish), cost.count(None), first.count(None)
    return [
        calls,
        calls - finish.count("complete"),
        *map(sum, tokens),
        sum(cost if not unpriced else (value for value in cost if value is not None)),
        sum(saved),
        unpriced,
        source.count("estimated"),
        sum(orphan),
        sum(latency),
        sum(first if not silent else (value for value in first if value is not None)),
        calls - silent,
        sum(cache_writes),
    ]


def by_model(hours: Mapping[Key, Sums]) -> dict[Key, Sums]:
    """Sums by hour and dimensions, put together for `ledger_tables.MODELS`."""
    found: dict[Key, list[Sums]] = {}
    for key, sums in hours.items():
        found.setdefault(_of_model(key), []).append(sums)
    return {
        key: ones[0] if len(ones) == 1 else list(map(sum, zip(*ones, strict=True)))
        for key, ones in found.items()
    }


_of_model = itemgetter(0, *(1 + DIMENSIONS.index(name) for name in MODELS.dimensions))


def savings_of(rows: Iterable[Row]) -> dict[Key, Sums]:
    """What was saved, by hour, dimensions and pattern: see `ledger_tables.SAVED`."""
    found: dict[Key, Sums] = {}

    def add(row: Row, pattern: Value, microusd: Any, unknown: bool) -> None:
        hour: int = row[_SETTLED] // HOUR_US  # type: ignore[operator,assignment]
        texts = ("" if value is None else value for value in _dimensions(row))
        sums = found.setdefault((hour, *texts, pattern), [0, 0, 0])
        sums[0] += 1
        sums[1] += microusd
        sums[2] += unknown

    for row in rows:
        by, cut_at = _source(row)
        if by in _GIVEN_AGAIN:
            finish, tier, saved = _given(row)
            if finish == "complete":
                add(row, tier or by if by == "cache" else by, saved, saved == 0)
        if cut_at is not None:
            most = row[_CUT_MICROUSD]
            add(row, CAP, most or 0, most is None)
    return found


_GIVEN_AGAIN: Final = ("cache", "shared", "replay")
_SETTLED: Final = _AT["settled_us"]
_CUT_MICROUSD: Final = _AT["cut_microusd"]
_source = itemgetter(_AT["answered_by"], _AT["cut_at"])
_given = itemgetter(_AT["finish"], _AT["cache_tier"], _AT["saved_microusd"])

"""Sums of the ledger's rows by what they have in common, for the tables of sums. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from headrace.data.database import Row, Value
from headrace.data.ledger_rows import AT
from headrace.data.ledger_tables import CAP, DIMENSIONS, EACH, HOUR_US, MODELS, SAVED, Rollup

Key = tuple[Value, ...]
Sums = list[int]


class Totals:
    """Sums of all rows that were added. What a call has not is the empty string in a key."""

    def __init__(self) -> None:
        self._hours: dict[tuple[int, Row], Sums] = {}
        self._tagged: dict[Key, Sums] = {}
        self._saved: dict[Key, Sums] = {}
        self._tags_of: dict[Value, Sequence[tuple[str, str]]] = {None: ()}

    def add(self, rows: Iterable[Row]) -> None:
        """Rows as `ledger_rows.row_of` makes them."""
        hours = self._hours
        for row in rows:
            hour: int = row[_SETTLED] // HOUR_US  # type: ignore[operator,assignment]
            key = (hour, _dimensions(row))
            sums = hours.get(key)
            if sums is None:
                sums = hours[key] = [0] * len(EACH.sums)
            one = _summands(row)
            _add(sums, one)
            text = row[_TAGS]
            if text is not None:
                for tagged in self._of_tags(hour, row[_TENANT], text):
                    _add(tagged, one)
            by, cut_at = _source(row)
            if by in _GIVEN_AGAIN or cut_at is not None:
                self._add_savings(row, hour)

    def by_rollup(self) -> dict[Rollup, Mapping[Key, Sums]]:
        """By hour and the rollup's dimensions, and pattern where it has one."""
        hours = {(hour, *_texts(row)): sums for (hour, row), sums in self._hours.items()}
        return {EACH: hours, MODELS: _by_model(hours), SAVED: self._saved}

    def by_tag(self) -> Mapping[Key, Sums]:
        """By hour, tenant, tag and value."""
        return self._tagged

    def _of_tags(self, hour: int, tenant: Value, text: Value) -> Iterable[Sums]:
        tags = self._tags_of.get(text)
        if tags is None:
            tags = self._tags_of[text] = _tags.decode(text)  # type: ignore[arg-type]
        for tag in tags:
            yield self._tagged.setdefault((hour, tenant, *tag), [0] * len(EACH.sums))

    def _add_savings(self, row: Row, hour: int) -> None:
        by, cut_at = _source(row)
        if by in _GIVEN_AGAIN:
            finish, tier, saved = _given(row)
            if finish == "complete":
                self._save(row, hour, tier or by if by == "cache" else by, saved, saved == 0)
        if cut_at is not None:
            most = row[_CUT_MICROUSD]
            self._save(row, hour, CAP, most or 0, most is None)

    def _save(self, row: Row, hour: int, pattern: Value, microusd: Any, unknown: bool) -> None:
        key = (hour, *_texts(_dimensions(row)), pattern)
        sums = self._saved.setdefault(key, [0] * len(SAVED.sums))
        sums[0] += 1
        sums[1] += microusd
        sums[2] += unknown


def _add(sums: Sums, one: tuple[Any, ...]) -> None:
    """The values of `_summands`, to those of `ledger_tables.SUMS`. Most of them are nothing most
    of the time."""
    finish, asked, answered, cached, reasoning, cost, saved, *more = one
    source, orphan, latency, first, cache_writes = more
    sums[0] += 1
    if finish != "complete":
        sums[1] += 1
    sums[2] += asked
    sums[3] += answered
    if cached:
        sums[4] += cached
    if reasoning:
        sums[5] += reasoning
    if cost is None:
        sums[8] += 1
    else:
        sums[6] += cost
    if saved:
        sums[7] += saved
    if source == "estimated":
        sums[9] += 1
    if orphan:
        sums[10] += 1
    sums[11] += latency
    if first is not None:
        sums[12] += first
        sums[13] += 1
    if cache_writes:
        sums[14] += cache_writes


def _by_model(hours: Mapping[Key, Sums]) -> dict[Key, Sums]:
    """Put together for `ledger_tables.MODELS`."""
    found: dict[Key, list[Sums]] = {}
    for key, sums in hours.items():
        found.setdefault(_of_model(key), []).append(sums)
    return {
        key: ones[0] if len(ones) == 1 else list(map(sum, zip(*ones, strict=True)))
        for key, ones in found.items()
    }


def _texts(dimensions: Row) -> Row:
    return tuple("" if value is None else value for value in dimensions)


_GIVEN_AGAIN: Final = ("cache", "shared", "replay")
_SETTLED: Final = AT["settled_us"]
_TAGS: Final = AT["tags"]
_TENANT: Final = AT["tenant"]
_CUT_MICROUSD: Final = AT["cut_microusd"]
_tags = msgspec.json.Decoder(list[tuple[str, str]])
_dimensions = itemgetter(*(AT[name] for name in DIMENSIONS))
_of_model = itemgetter(0, *(1 + DIMENSIONS.index(name) for name in MODELS.dimensions))
_source = itemgetter(AT["answered_by"], AT["cut_at"])
_given = itemgetter(AT["finish"], AT["cache_tier"], AT["saved_microusd"])
_summands = itemgetter(
    *(
        AT[name]
        for name in (
            "finish", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
            "cost_microusd", "saved_microusd", "usage_source", "orphan", "latency_us", "ttft_us",
            "cache_write_tokens",
        )
    )
)  # fmt: skip

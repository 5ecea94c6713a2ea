"""The tables of the ledger, and how they came to be.

`ledger` has a row for each call, in the order in which one writer stored them: its chain. Each
gateway, by its folder, has a chain of its own, so that gateways which share a database never wait
for each other. `ledger_hours` and the like (`Rollup`) and `ledger_tags` are sums of the rows,
written in the same transaction. `ledger_days` and the like hold those of days that are over, up to
the mark `days`: from when a day is added up, rows that come late are added to both. `ledger_runs`
says how far each journal was read and `ledger_open` keeps the intents that were read and not yet
settled.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

COLUMNS: Final = (
    "chain",
    "position",
    "run",
    # From here on the fields of `records.Settlement` in their order, without `seq` and the last.
    "number",
    "settled_us",
    "call",
    "dialect",
    "operation",
    "model",
    "key_id",
    "tenant",
    "status",
    "finish",
    "answered_by",
    "attempts",
    "latency_us",
    "backend",
    "region",
    "used_model",
    "team",
    "user_id",
    "tags",
    "stream",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "usage_source",
    "cost_microusd",
    "saved_microusd",
    "price_version",
    "ttft_us",
    "reason",
    # What the settlement alone does not tell.
    "tried",
    "orphan",
    # Null in rows that were stored before it was known.
    "cache_write_tokens",
    # Null where there is nothing of the kind.
    "cache_tier",
    "cut_at",
    "cut_tokens",
    "cut_microusd",
    "hash",
)

DIMENSIONS: Final = ("tenant", "team", "user_id", "key_id", "model", "backend")
"""Of the sums by hour. What a call has not is the empty string there."""

SUMS: Final = (
    "calls",
    "failed",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_microusd",
    "saved_microusd",
    "unpriced",
    "estimated",
    "orphans",
    "latency_us",
    "ttft_us",
    "ttft_calls",
    "cache_write_tokens",
)
"""`failed` counts calls that did not come to a complete answer, `unpriced` those that used tokens
of unknown price, `estimated` those whose tokens are an estimate."""

SAVED_SUMS: Final = ("calls", "microusd", "unknown")
"""Of one pattern: calls, what it saved, and how many of the calls that leaves out. `CAP` is told of
by the most that it can have saved."""

AGAIN: Final = "(answered_by = 'cache' OR answered_by = 'shared' OR answered_by = 'replay')"
"""Rows of calls that got the answer of another. A query has to hold this text for the index. SQLite
makes a table of what stands in an `IN` for each row that is put into an index with one as its
condition: a third of what the insert cost."""
_FIRST_AGAIN = "answered_by IN ('cache', 'shared', 'replay')"
CUT: Final = "cut_at IS NOT NULL"
"""Rows of calls whose answer reached a cap."""
PATTERN: Final = (
    "CASE WHEN answered_by = 'cache' THEN COALESCE(cache_tier, 'cache') ELSE answered_by END"
)
"""By what a row of `AGAIN` was answered. `ledger_totals` says the same in Python."""
CAP: Final = "cap"
"""The pattern of rows of `CUT`."""
HOUR_US: Final = 3_600_000_000
HOUR_OF_ROW: Final = f"settled_us / {HOUR_US}"
"""A query has to hold this text for the index by hour and call."""


class Rollup(Struct, frozen=True):
    """Sums of rows by hour, and by day where days are over."""

    hours: str
    """Its tables."""
    days: str
    dimensions: tuple[str, ...]
    """What a call has not is the empty string."""
    sums: tuple[str, ...]


EACH: Final = Rollup("ledger_hours", "ledger_days", DIMENSIONS, SUMS)
MODELS: Final = Rollup("ledger_model_hours", "ledger_model_days", ("tenant", "model"), SUMS)
"""What is asked most, in a fraction of the rows of `EACH`, which it is made of."""
SAVED: Final = Rollup(
    "ledger_saved_hours", "ledger_saved_days", (*DIMENSIONS, "pattern"), SAVED_SUMS
)
ROLLUPS: Final = (EACH, MODELS, SAVED)

_FIRST_SUMS = SUMS[: SUMS.index("ttft_calls") + 1]
_SUMS = ", ".join(f"{name} BIGINT NOT NULL" for name in _FIRST_SUMS)
_FOURTH_SUMS = (*_FIRST_SUMS, "cache_write_tokens")
"""A step stays as it was, whatever sums there will be."""
_MODELS = ", ".join(f"{name} BIGINT NOT NULL" for name in _FOURTH_SUMS)
_MODELS_FILLED = (
    f"(%s, tenant, model, {', '.join(_FOURTH_SUMS)}) SELECT %s, tenant, model, "
    + ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in _FOURTH_SUMS)
)
_SAVED = (
    "tenant TEXT NOT NULL, team TEXT NOT NULL, user_id TEXT NOT NULL, key_id TEXT NOT NULL, "
    "model TEXT NOT NULL, backend TEXT NOT NULL, pattern TEXT NOT NULL, calls BIGINT NOT NULL, "
    "microusd BIGINT NOT NULL, unknown BIGINT NOT NULL"
)
_SAVED_KEY = "tenant, team, user_id, key_id, model, backend, pattern"
_SAVED_FILLED = f"(%s, {_SAVED_KEY}, calls, microusd, unknown)"
_ROW_GROUP = (
    "settled_us / 3600000000, tenant, COALESCE(team, ''), COALESCE(user_id, ''), key_id, model, "
    "COALESCE(backend, '')"
)

STEPS: Final = (
    (
        """CREATE TABLE ledger_chains (
            chain BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, position BIGINT NOT NULL,
            hash {blob} NOT NULL)""",
        """CREATE TABLE ledger_runs (
            run BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, chain BIGINT NOT NULL,
            segment BIGINT NOT NULL, place BIGINT NOT NULL, next_seq BIGINT NOT NULL,
            lost BIGINT NOT NULL, ended BIGINT NOT NULL)""",
        """CREATE TABLE ledger_open (
            run BIGINT NOT NULL, number BIGINT NOT NULL, attempt BIGINT NOT NULL,
            intent {blob} NOT NULL, PRIMARY KEY (run, number, attempt))""",
        """CREATE TABLE ledger (
            chain BIGINT NOT NULL, position BIGINT NOT NULL,
            run BIGINT NOT NULL, number BIGINT NOT NULL,
            settled_us BIGINT NOT NULL, call TEXT NOT NULL, dialect TEXT NOT NULL,
            operation TEXT NOT NULL, model TEXT NOT NULL, key_id TEXT NOT NULL,
            tenant TEXT NOT NULL, status BIGINT NOT NULL, finish TEXT NOT NULL,
            answered_by TEXT NOT NULL, attempts BIGINT NOT NULL, latency_us BIGINT NOT NULL,
            backend TEXT, region TEXT, used_model TEXT, team TEXT, user_id TEXT, tags TEXT,
            stream BIGINT NOT NULL,
            input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
            cached_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL,
            audio_input_tokens BIGINT NOT NULL, audio_output_tokens BIGINT NOT NULL,
            usage_source TEXT NOT NULL, cost_microusd BIGINT, saved_microusd BIGINT NOT NULL,
            price_version TEXT NOT NULL, ttft_us BIGINT, reason TEXT,
            tried TEXT, orphan BIGINT NOT NULL, hash {blob} NOT NULL,
            PRIMARY KEY (chain, position)) {by_key}""",
        "CREATE UNIQUE INDEX ledger_calls ON ledger (run, number)",
        "CREATE INDEX ledger_times ON ledger (settled_us)",
        f"""CREATE TABLE ledger_hours (
            hour BIGINT NOT NULL, tenant TEXT NOT NULL, team TEXT NOT NULL, user_id TEXT NOT NULL,
            key_id TEXT NOT NULL, model TEXT NOT NULL, backend TEXT NOT NULL, {_SUMS},
            PRIMARY KEY (hour, tenant, team, user_id, key_id, model, backend)) {{by_key}}""",
        f"""CREATE TABLE ledger_days (
            day BIGINT NOT NULL, tenant TEXT NOT NULL, team TEXT NOT NULL, user_id TEXT NOT NULL,
            key_id TEXT NOT NULL, model TEXT NOT NULL, backend TEXT NOT NULL, {_SUMS},
            PRIMARY KEY (day, tenant, team, user_id, key_id, model, backend)) {{by_key}}""",
        "CREATE TABLE ledger_marks (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO ledger_marks VALUES ('days', 0)",
        f"""CREATE TABLE ledger_tags (
            hour BIGINT NOT NULL, tenant TEXT NOT NULL, tag TEXT NOT NULL, value TEXT NOT NULL,
            {_SUMS}, PRIMARY KEY (hour, tenant, tag, value)) {{by_key}}""",
    ),
    (
        "ALTER TABLE ledger ADD COLUMN cache_write_tokens BIGINT",
        "ALTER TABLE ledger_hours ADD COLUMN cache_write_tokens BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE ledger_days ADD COLUMN cache_write_tokens BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE ledger_tags ADD COLUMN cache_write_tokens BIGINT NOT NULL DEFAULT 0",
    ),
    (
        "ALTER TABLE ledger ADD COLUMN cache_tier TEXT",
        "ALTER TABLE ledger ADD COLUMN cut_at BIGINT",
        "ALTER TABLE ledger ADD COLUMN cut_tokens BIGINT",
        "ALTER TABLE ledger ADD COLUMN cut_microusd BIGINT",
        f"CREATE INDEX ledger_again ON ledger (settled_us) WHERE {_FIRST_AGAIN}",
        f"CREATE INDEX ledger_cuts ON ledger (settled_us) WHERE {CUT}",
    ),
    (
        f"""CREATE TABLE ledger_model_hours (
            hour BIGINT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL, {_MODELS},
            PRIMARY KEY (hour, tenant, model)) {{by_key}}""",
        f"""CREATE TABLE ledger_model_days (
            day BIGINT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL, {_MODELS},
            PRIMARY KEY (day, tenant, model)) {{by_key}}""",
        f"INSERT INTO ledger_model_hours {_MODELS_FILLED % ('hour', 'hour')} FROM ledger_hours "
        "GROUP BY 1, 2, 3",
        f"INSERT INTO ledger_model_days {_MODELS_FILLED % ('day', 'day')} FROM ledger_days "
        "GROUP BY 1, 2, 3",
        f"""CREATE TABLE ledger_saved_hours (hour BIGINT NOT NULL, {_SAVED},
            PRIMARY KEY (hour, {_SAVED_KEY})) {{by_key}}""",
        f"""CREATE TABLE ledger_saved_days (day BIGINT NOT NULL, {_SAVED},
            PRIMARY KEY (day, {_SAVED_KEY})) {{by_key}}""",
        f"INSERT INTO ledger_saved_hours {_SAVED_FILLED % 'hour'} SELECT {_ROW_GROUP}, "  # noqa: S608
        "CASE WHEN answered_by = 'cache' THEN COALESCE(cache_tier, 'cache') ELSE answered_by END, "
        "COUNT(*), CAST(SUM(saved_microusd) AS BIGINT), "
        "SUM(CASE WHEN saved_microusd = 0 THEN 1 ELSE 0 END) "
        f"FROM ledger WHERE {_FIRST_AGAIN} AND finish = 'complete' "
        "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
        f"INSERT INTO ledger_saved_hours {_SAVED_FILLED % 'hour'} SELECT {_ROW_GROUP}, 'cap', "  # noqa: S608
        "COUNT(*), CAST(COALESCE(SUM(cut_microusd), 0) AS BIGINT), "
        "SUM(CASE WHEN cut_microusd IS NULL THEN 1 ELSE 0 END) "
        f"FROM ledger WHERE {CUT} GROUP BY 1, 2, 3, 4, 5, 6, 7",
        f"INSERT INTO ledger_saved_days {_SAVED_FILLED % 'day'} SELECT hour / 24, {_SAVED_KEY}, "  # noqa: S608
        "SUM(calls), CAST(SUM(microusd) AS BIGINT), SUM(unknown) FROM ledger_saved_hours "
        "WHERE hour < 24 * (SELECT value FROM ledger_marks WHERE name = 'days') "
        "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
        "CREATE INDEX ledger_ids ON ledger ((settled_us / 3600000000), call)",
    ),
    (
        "DROP INDEX ledger_again",
        f"CREATE INDEX ledger_again ON ledger (settled_us) WHERE {AGAIN}",
    ),
)
"""`hour` is the Unix time over 3,600, `day` that over 86,400. Days before the mark are added up."""

"""Responses that clients go on with, for a time: in SQLite or PostgreSQL, by tenant.

Of those that the gateway made itself it keeps all; of those that a provider keeps, which backend it
was, of each of their items too. Nobody finds another tenant's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from headrace.config.storing import Store
from headrace.data.database import Database, Row
from headrace.data.databases import database, database_url
from headrace.data.store_thread import StoreThread
from headrace.platform.secrets import Secrets

FILE_NAME = "responses.sqlite"
HOUR_S = 3600.0
SWEPT = 1 / 64
"""Share of writes that also delete what is over."""
MOST_PUTS = 128
"""Written in one transaction."""
_STEPS = (
    (
        "CREATE TABLE headrace_responses (tenant TEXT NOT NULL, id TEXT NOT NULL, "
        "until_unix_s BIGINT NOT NULL, backend TEXT, tokens BIGINT NOT NULL, items {blob}, "
        "response {blob}, PRIMARY KEY (tenant, id)){by_key}",
        "CREATE INDEX headrace_responses_until ON headrace_responses (until_unix_s)",
    ),
)
_COLUMNS = "tenant, id, until_unix_s, backend, tokens, items, response"


class KeptResponse(Struct, frozen=True):
    """`items` is the JSON list of all that was asked and answered, `response` the JSON object; both
    are empty where `backend` names who keeps them. `tokens` is what they came to."""

    backend: str | None
    tokens: int
    items: bytes = b""
    response: bytes = b""


class _Put(NamedTuple):
    """What is to be written, and who waits for it."""

    rows: Mapping[tuple[str, str], Row]
    """By tenant and id."""
    now: int
    written: asyncio.Future[None]


class ResponseStore:
    """One database, used by a thread of its own. All raise DatabaseAway. `now` is Unix seconds.

    A transaction costs ten times what a row does, most of it to have it on the disk: what comes
    while one is written is written together in the next."""

    def __init__(self, database: Database, keep_s: float) -> None:
        self._database = database
        self._keep_s = keep_s
        self._thread = StoreThread(database, "responses", _STEPS)
        self._dice = random.Random()
        self._waiting: list[_Put] = []
        self._writer: asyncio.Task[None] | None = None

    async def get(self, tenant: str, id: str, now: float) -> KeptResponse | None:
        return await self._thread.run(lambda: self._get(tenant, id, now))

    async def put(self, tenant: str, kept: Mapping[str, KeptResponse], now: float) -> None:
        """Keeps all of them, by their ids; replaces those of the same id. Returns when they are
        committed."""
        until = int(now + self._keep_s)
        rows: dict[tuple[str, str], Row] = {
            (tenant, id): (tenant, id, until, one.backend, one.tokens, one.items, one.response)
            for id, one in kept.items()
        }
        loop = asyncio.get_running_loop()
        put = _Put(rows, int(now), loop.create_future())
        self._waiting.append(put)
        if self._writer is None:
            self._writer = loop.create_task(self._write(), name="responses")
        await put.written

    async def _write(self) -> None:
        """Until nothing waits."""
        try:
            while self._waiting:
                puts, self._waiting = self._waiting[:MOST_PUTS], self._waiting[MOST_PUTS:]
                rows = {key: row for put in puts for key, row in put.rows.items()}
                # In one order: of two writers, neither waits for a row that the other waits with.
                put_all = partial(self._put, [rows[key] for key in sorted(rows)], puts[-1].now)
                fault: Exception | None = None
                try:
                    await self._thread.run(put_all)
                except Exception as error:
                    fault = error
                for put in puts:
                    if put.written.done():
                        continue  # who waited has gone
                    if fault is None:
                        put.written.set_result(None)
                    else:
                        put.written.set_exception(fault)
        finally:
            self._writer = None

    async def delete(self, tenant: str, id: str) -> None:
        await self._thread.run(lambda: self._delete(tenant, id))

    async def close(self) -> None:
        await self._thread.close()

    def _get(self, tenant: str, id: str, now: float) -> KeptResponse | None:
        rows = self._thread.ready().read(
            "SELECT backend, tokens, items, response FROM headrace_responses "
            "WHERE tenant = ? AND id = ? AND until_unix_s > ?",
            (tenant, id, int(now)),
        )
        if not rows:
            return None
        backend, tokens, items, response = rows[0]
        return KeptResponse(
            None if backend is None else str(backend),
            int(tokens or 0),
            items if isinstance(items, bytes) else b"",
            response if isinstance(response, bytes) else b"",
        )

    def _put(self, rows: Sequence[Row], now: int) -> None:
        with self._thread.ready().transaction() as transaction:
            transaction.run_each(
                f"INSERT INTO headrace_responses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
                "ON CONFLICT (tenant, id) DO UPDATE SET until_unix_s = excluded.until_unix_s, "
                "backend = excluded.backend, tokens = excluded.tokens, items = excluded.items, "
                "response = excluded.response",
                rows,
            )
            if self._dice.random() < SWEPT:
                transaction.run("DELETE FROM headrace_responses WHERE until_unix_s <= ?", (now,))

    def _delete(self, tenant: str, id: str) -> None:
        with self._thread.ready().transaction() as transaction:
            transaction.run(
                "DELETE FROM headrace_responses WHERE tenant = ? AND id = ?", (tenant, id)
            )


def response_store(
    folder: Path, store: Store, secrets: Secrets, now: float
) -> ResponseStore | None:
    """What the configuration names; None if nothing is to be kept. `now` is monotonic seconds.
    Raises Setup."""
    if store.responses_keep_hours == 0:
        return None
    kept = database(folder, database_url(store, secrets, now), file_name=FILE_NAME)
    return ResponseStore(kept, store.responses_keep_hours * HOUR_S)

"""Which backend keeps a file that a client uploaded: in SQLite or PostgreSQL, by tenant.

The files themselves are the provider's to keep; what it said of each is here, so that a tenant's
list is its own. Nobody finds another tenant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from headrace.config.storing import Store
from headrace.data.database import Database, Value
from headrace.data.databases import database, database_url
from headrace.data.store_thread import StoreThread
from headrace.platform.secrets import Secrets

FILE_NAME = "files.sqlite"
_STEPS = (
    (
        "CREATE TABLE headrace_files (tenant TEXT NOT NULL, id TEXT NOT NULL, "
        "at_unix_us BIGINT NOT NULL, until_unix_s BIGINT, backend TEXT NOT NULL, "
        "model TEXT NOT NULL, purpose TEXT NOT NULL, said {blob}, "
        "PRIMARY KEY (tenant, id)){by_key}",
        "CREATE INDEX headrace_files_at ON headrace_files (tenant, at_unix_us)",
    ),
    ("CREATE INDEX headrace_files_id ON headrace_files (id)",),
)
MOST_AT_ONCE = 500
"""Ids in one query."""
_LIVE = "(until_unix_s IS NULL OR until_unix_s > ?)"


class KeptFile(Struct, frozen=True):
    """`said` is the provider's JSON object; `until_unix_s` is when it forgets the file."""

    backend: str
    model: str
    """By which that backend was chosen."""
    purpose: str
    said: bytes
    until_unix_s: int | None = None


class Listed(Struct, frozen=True):
    """A part of a list: the files' JSON objects, and whether there are more behind them."""

    files: list[bytes]
    more: bool


class FileStore:
    """All raise DatabaseAway. `now` is Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._thread = StoreThread(database, "files", _STEPS)

    async def reach(self) -> None:
        """Makes sure that it can be written: an upload that nobody can find again is none."""
        await self._thread.run(self._thread.ready)

    async def get(self, tenant: str, id: str, now: float) -> KeptFile | None:
        return await self._thread.run(lambda: self._get(tenant, id, now))

    async def of_others(self, tenant: str, ids: Sequence[str]) -> str | None:
        """The first that it finds of these that other tenants uploaded and this one did not."""
        return await self._thread.run(lambda: self._of_others(tenant, ids))

    async def put(self, tenant: str, id: str, file: KeptFile, now: float) -> None:
        """Replaces one of the same id."""
        await self._thread.run(lambda: self._put(tenant, id, file, now))

    async def delete(self, tenant: str, id: str) -> None:
        await self._thread.run(lambda: self._delete(tenant, id))

    async def list(
        self,
        tenant: str,
        now: float,
        *,
        limit: int,
        after: str | None = None,
        purpose: str | None = None,
        newest_first: bool = True,
    ) -> Listed:
        """At most `limit` of a tenant's files, of those behind the file `after`."""
        return await self._thread.run(
            lambda: self._list(tenant, now, limit, after, purpose, newest_first)
        )

    async def close(self) -> None:
        await self._thread.close()

    def _get(self, tenant: str, id: str, now: float) -> KeptFile | None:
        rows = self._thread.ready().read(
            "SELECT backend, model, purpose, said, until_unix_s FROM headrace_files "  # noqa: S608
            f"WHERE tenant = ? AND id = ? AND {_LIVE}",
            (tenant, id, int(now)),
        )
        if not rows:
            return None
        backend, model, purpose, said, until = rows[0]
        return KeptFile(
            str(backend),
            str(model),
            str(purpose),
            said if isinstance(said, bytes) else b"",
            None if until is None else int(until),
        )

    def _of_others(self, tenant: str, ids: Sequence[str]) -> str | None:
        database = self._thread.ready()
        for start in range(0, len(ids), MOST_AT_ONCE):
            some = ids[start : start + MOST_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = database.read(
                f"SELECT id FROM headrace_files AS named WHERE id IN ({marks}) "  # noqa: S608
                "AND tenant <> ? AND NOT EXISTS (SELECT 1 FROM headrace_files "
                "WHERE tenant = ? AND id = named.id) LIMIT 1",
                (*some, tenant, tenant),
            )
            if rows:
                return str(rows[0][0])
        return None

    def _put(self, tenant: str, id: str, file: KeptFile, now: float) -> None:
        with self._thread.ready().transaction() as transaction:
            transaction.run(
                "DELETE FROM headrace_files WHERE tenant = ? AND id = ? OR until_unix_s <= ?",
                (tenant, id, int(now)),
            )
            transaction.run(
                "INSERT INTO headrace_files (tenant, id, at_unix_us, until_unix_s, backend, "
                "model, purpose, said) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    tenant,
                    id,
                    int(now * 1e6),
                    file.until_unix_s,
                    file.backend,
                    file.model,
                    file.purpose,
                    file.said,
                ),
            )

    def _delete(self, tenant: str, id: str) -> None:
        with self._thread.ready().transaction() as transaction:
            transaction.run("DELETE FROM headrace_files WHERE tenant = ? AND id = ?", (tenant, id))

    def _list(
        self,
        tenant: str,
        now: float,
        limit: int,
        after: str | None,
        purpose: str | None,
        newest_first: bool,
    ) -> Listed:
        database = self._thread.ready()
        where = f"tenant = ? AND {_LIVE}"
        told: list[Value] = [tenant, int(now)]
        if purpose is not None:
            where += " AND purpose = ?"
            told.append(purpose)
        if after is not None:
            found = database.read(
                "SELECT at_unix_us FROM headrace_files WHERE tenant = ? AND id = ?", (tenant, after)
            )
            if not found:
                return Listed([], more=False)
            at, sign = found[0][0], "<" if newest_first else ">"
            where += f" AND (at_unix_us {sign} ? OR (at_unix_us = ? AND id {sign} ?))"
            told += [at, at, after]
        way = "DESC" if newest_first else "ASC"
        rows: Sequence[tuple[Value, ...]] = database.read(
            f"SELECT said FROM headrace_files WHERE {where} "  # noqa: S608
            f"ORDER BY at_unix_us {way}, id {way} LIMIT ?",
            [*told, limit + 1],
        )
        files = [said for (said,) in rows[:limit] if isinstance(said, bytes)]
        return Listed(files, more=len(rows) > limit)


def file_store(folder: Path, store: Store, secrets: Secrets, now: float) -> FileStore:
    """What the configuration names. `now` is monotonic seconds. Raises Setup."""
    return FileStore(database(folder, database_url(store, secrets, now), file_name=FILE_NAME))

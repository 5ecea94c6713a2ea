"""PostgreSQL, by `psycopg`: the only module that imports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from headrace.data.database import DatabaseAway, NotMade, Row, Transaction, Value, Words
from headrace.errors import Setup, install_extra
from headrace.platform.secrets import Secret

if TYPE_CHECKING:
    import psycopg

CONNECT_S = 5
STATEMENT_MS = 60_000
_LOCK = 0x48454144  # "HEAD": one number for all that must not run beside itself
_SETTINGS = (
    f"SET statement_timeout = {STATEMENT_MS}; SET synchronous_commit = on; "
    "SET client_min_messages = error"
)


def require_client() -> None:
    """Raises Setup if the extra is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as fault:
        raise Setup(
            f"A ledger in PostgreSQL needs the package psycopg: {fault}.",
            install_extra("postgres"),
        ) from None


class Postgres:
    """One connection to a server. Its URL is a secret: it may hold a password."""

    words = Words(blob="BYTEA", by_key="", unhurried="SET LOCAL statement_timeout = 0")

    def __init__(self, url: Secret) -> None:
        """Raises Setup if the extra is not installed."""
        require_client()
        import psycopg as library

        self._library = library
        self._url = url
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __repr__(self) -> str:
        return "Postgres()"

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        with self._watched() as connection:
            return _read(connection, statement, values)

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        with self._watched() as connection, connection.transaction():
            yield _Transaction(connection)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._watched() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def faults(self) -> list[str]:
        """None: the server looks after its files itself."""
        return []

    def exclusively(self, transaction: Transaction) -> None:
        transaction.read("SELECT pg_advisory_xact_lock(?)::text", (_LOCK,))

    def close(self) -> None:
        if self._connection is not None:
            with suppress(self._library.Error, OSError):
                self._connection.close()
            self._connection = None

    @contextmanager
    def _watched(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        library = self._library
        try:
            if self._connection is None:
                self._connection = library.connect(
                    self._url.reveal(),
                    autocommit=True,
                    connect_timeout=CONNECT_S,
                    application_name="headrace",
                    prepare_threshold=2,
                    keepalives_idle=5,
                    keepalives_interval=2,
                    keepalives_count=3,
                    tcp_user_timeout=10_000,
                )
                self._connection.execute(_SETTINGS)
            yield self._connection
        except (library.Error, OSError) as error:
            self.close()
            made = not isinstance(error, library.errors.UndefinedTable)
            away = DatabaseAway if made else NotMade
            raise away(f"{type(error).__name__}: {self._told(error)}") from None

    def _told(self, error: Exception) -> str:
        """What the driver says, without what it may quote of the URL."""
        text = " ".join(str(error).split())[:400]
        return text.replace(self._url.reveal(), "the URL")


class _Transaction:
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        return _read(self._connection, statement, values)

    def run(self, statement: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(_own(statement), values).rowcount

    def run_each(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_own(statement), rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        copying = _own(f"COPY {table} ({', '.join(columns)}) FROM STDIN")
        with self._connection.cursor() as cursor, cursor.copy(copying) as copy:
            for row in rows:
                copy.write_row(row)


def _read(
    connection: psycopg.Connection[tuple[Any, ...]], statement: str, values: Sequence[Value]
) -> list[Row]:
    cursor = connection.execute(_own(statement), values)
    return cursor.fetchall() if cursor.description else []


def _own(statement: str) -> Any:
    """In the driver's way of writing places. No statement of ours has a `?` or `%` of its own."""
    return statement.replace("?", "%s")

"""What the stores need of a database. SQLite and PostgreSQL are its twins: the same statements run
on both, with `?` for each parameter and the words of `Words` where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from headrace.errors import Setup

Value = str | int | float | bytes | None
Row = tuple[Value, ...]


class DatabaseAway(Exception):  # noqa: N818 - it is no error of ours
    """It cannot be reached, or broke off. Whether a transaction that was being committed came
    through is then not known: look before it is done again."""


class NotMade(DatabaseAway):
    """It has no such table: what makes it has not come to it yet."""


class DatabaseDamaged(DatabaseAway):
    """What is read is no database any more, or a part of it is not. No time mends it."""


class Words(Struct, frozen=True):
    """Where the two speak differently."""

    blob: str
    by_key: str
    """Behind a table's definition: it is kept in the order of its key."""
    unhurried: str = ""
    """Lets the statements of a transaction take as long as they do."""


class Transaction(Protocol):
    """All of it happens, or nothing."""

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]: ...

    def run(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Returns the number of rows that it changed."""
        ...

    def run_each(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        """The same statement for each."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Adds rows the fastest way there is. Names are the program's own, never a user's."""
        ...


class Database(Protocol):
    """One connection, for one thread at a time. Made without connecting: it connects when it is
    used, and again after it was away. Raises DatabaseAway."""

    words: Words

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]: ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """For writing. Commits at the block's end, durably; takes all back if it raises."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read in the block is of one moment."""
        ...

    def faults(self) -> list[str]:
        """What it finds wrong with its own files, where it can look: all of them are read."""
        ...

    def exclusively(self, transaction: Transaction) -> None:
        """No other such transaction runs beside this one, on no machine."""
        ...

    def close(self) -> None: ...


def migrate(database: Database, part: str, steps: Sequence[Sequence[str]]) -> None:
    """Brings a part's tables up to date: those of `steps` that were not yet taken. A step, once
    released, is never changed. Raises DatabaseAway; Setup if a newer Headrace made them."""
    words = database.words
    with database.transaction() as transaction:
        database.exclusively(transaction)
        transaction.run(
            "CREATE TABLE IF NOT EXISTS headrace_parts (part TEXT PRIMARY KEY, version BIGINT)"
        )
        found = transaction.read("SELECT version FROM headrace_parts WHERE part = ?", (part,))
        version = int(found[0][0] or 0) if found else 0
        if version > len(steps):
            raise Setup(
                f"The store's {part} was made by a newer version of Headrace.",
                "Run that version, or name another store in headrace.yaml.",
            )
        if words.unhurried and version < len(steps):
            transaction.run(words.unhurried)
        for step in steps[version:]:
            for statement in step:
                transaction.run(statement.format(blob=words.blob, by_key=words.by_key))
        if version < len(steps):
            transaction.run(
                "INSERT INTO headrace_parts VALUES (?, ?) "
                "ON CONFLICT (part) DO UPDATE SET version = excluded.version",
                (part, len(steps)),
            )

"""The registry as its stores see it: rows under a revision that grows with each change.

A store knows nothing of what a row means. It keeps tenants apart: who asks says whose rows it may
see, and gets no others. Each change is one transaction and takes the next revision, so that a
reader who knows one revision can ask for all that came after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

Kind = Literal["tenant", "team", "user", "key", "admin_key"]
NO_TENANT = ""
"""Of rows that belong to no tenant: admin keys."""


class Row(Struct, frozen=True):
    """`id` is unique within its kind and tenant; the others are what rows are found by."""

    kind: Kind
    tenant: str
    id: str
    label: str
    team: str | None
    user: str | None
    body: bytes
    revision: int = 0
    """Of its last change; 0 for one that is not kept yet."""


class Wanted(Struct, frozen=True):
    """Which rows. What is None is not asked for."""

    kind: Kind
    tenants: frozenset[str] | None = None
    """Whose; None for those of all tenants."""
    id: str | None = None
    label: str | None = None
    team: str | None = None
    user: str | None = None


Position = tuple[str, str]
"""Tenant and id of the last row that was read."""


def page_sql(
    table: str, columns: str, names: Mapping[str, str], wanted: Wanted, after: Position | None
) -> tuple[str, list[str]]:
    """The statement for a page, whose last parameter is its length, and the parameters before it.
    `names` are the table's columns by what rows are found by."""
    where, values = ["kind = ?"], [str(wanted.kind)]
    if wanted.tenants is not None:
        where.append(f"tenant IN ({', '.join('?' * len(wanted.tenants))})")
        values += sorted(wanted.tenants)
    for name, column in names.items():
        value = getattr(wanted, name)
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if after is not None:
        where.append("(tenant, id) > (?, ?)")
        values += after
    sql = (
        f"SELECT {columns} FROM {table} WHERE {' AND '.join(where)} "  # noqa: S608 - own words
        "ORDER BY tenant, id LIMIT ?"
    )
    return sql, values


class Stale(Exception):  # noqa: N818
    """Someone else changed a row first, or it is there already."""


class Unreachable(OSError):  # noqa: N818
    """The server that the store is on does not answer just now; it may again."""


class Rows(Protocol):
    """A store. May be used from several threads, one at a time each. All of it raises OSError if
    the store cannot be reached or written."""

    def revision(self) -> int:
        """Of the last change of any row; 0 if there was none. Cheap: asked twice a second."""
        ...

    def since(self, revision: int) -> list[Row]:
        """Rows that changed after that revision, in the order of their changes."""
        ...

    def page(self, wanted: Wanted, after: Position | None, limit: int) -> list[Row]:
        """Rows in the order of tenant and id, from the first behind `after`."""
        ...

    def put(self, rows: Sequence[Row]) -> int:
        """Keeps all rows or none; returns the revision. A row's `revision` must be the one it was
        read with, 0 if it is new. Raises Stale."""
        ...

    def close(self) -> None: ...

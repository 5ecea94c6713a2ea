"""Opens the registry that the configuration names."""

from __future__ import annotations

from pathlib import Path

from headrace.data.registry.rows import Rows
from headrace.data.registry.sqlite import FILE_NAME, SqliteRows
from headrace.platform.secrets import Secret


def open_registry(folder: Path, url: Secret | None) -> Rows:
    """On the server at `url`, else in a file of the store's folder. Nothing is made or read yet.
    Raises Setup if what it needs is not installed."""
    if url is None:
        return SqliteRows(folder / FILE_NAME)
    from headrace.data.postgres import Postgres
    from headrace.data.registry.server import ServerRows

    return ServerRows(Postgres(url))

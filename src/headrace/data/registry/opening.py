"""Opens the registry that the configuration names."""

from __future__ import annotations

from pathlib import Path

from headrace.data.registry.rows import Rows
from headrace.data.registry.sqlite import FILE_NAME, SqliteRows


def open_registry(folder: Path) -> Rows:
    """`folder` is the store's. Nothing is made or read yet."""
    return SqliteRows(folder / FILE_NAME)

"""Tables for people, on a terminal of any width or in a pipe."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 400
"""Where nobody looks at columns: nothing is cut."""


def tally(number: int, noun: str) -> str:
    """Such as `1 row` and `1,200 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def wide_console() -> Console:
    """Standard output; as wide as it takes where it is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    asked = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
    return Console(highlight=False, width=asked)


def width_of(table: Table, console: Console) -> int:
    """What the table takes if nothing is cut or wrapped."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum

"""What is watched and what is an alert just now: written by who watches, read by who shows it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data import private_files

FILE_NAME = "alerts.json"


class AlertLine(Struct, frozen=True, kw_only=True):
    """One value that is watched. `about` and `do` are for people."""

    rule: str
    severity: str
    about: str
    do: str
    subject: str
    """A model, a backend, a budget."""
    value: float
    """In the short window, or now."""
    in_long: float
    """In the long window, or now."""
    threshold: float
    below: bool
    """It is bad below its threshold."""
    since_unix_s: float | None
    """When the alert began; null if it is none."""


class AlertBoard(Struct, frozen=True, kw_only=True):
    """As it was at the last look."""

    at_unix_s: float
    lines: list[AlertLine]
    told: list[str]
    """Names of those who are told, under `alerts.notify`."""


def write_board(folder: Path, board: AlertBoard) -> None:
    """`folder` is the store's. Raises OSError."""
    private_files.replace(folder / FILE_NAME, msgspec.json.encode(board))


def read_board(folder: Path) -> AlertBoard | None:
    """None if nobody watches. Raises OSError, ValueError."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=AlertBoard)
    except FileNotFoundError:
        return None

"""Brings a chain's rows to one sink, from where it was left: at least once each.

It reads what is stored and nothing else, so that a sink that is broken or slow holds up neither the
drain nor another sink. How far it is stands in a file of its own beside the ledger.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.data import private_files
from headrace.data.database import Database, DatabaseAway, Row
from headrace.data.export.sink import Sink, Undelivered
from headrace.data.ledger_tables import COLUMNS

log = logging.getLogger("headrace.export")

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 60.0
_SELECT = (
    f"SELECT r.name, {', '.join('l.' + name for name in COLUMNS[1:-1])} "  # noqa: S608
    "FROM ledger l JOIN ledger_runs r ON r.run = l.run "
    "JOIN ledger_chains c ON c.chain = l.chain "
    "WHERE c.name = ? AND l.position > ? ORDER BY l.position LIMIT ?"
)
_FIELDS = ("position", *COLUMNS[2:-1])


class Export:
    """One sink's way through a chain. For one thread."""

    def __init__(
        self, name: str, sink: Sink, database: Database, folder: Path, chain_name: str
    ) -> None:
        self.name = name
        self._sink = sink
        self._database = database
        self._chain_name = chain_name
        self._cursor = folder / f"export-{name.replace('/', '_')}.cursor"
        self._position = _read_cursor(self._cursor, chain_name)

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Until `stop`; what is then left is sent at the next start."""
        backoff_s, failing = 0.0, False
        while not stop.is_set():
            try:
                sent = self.turn()
                if failing:
                    log.warning("the export goes on", extra={"detail": self.name})
                backoff_s, failing = 0.0, False
                if not sent:
                    stop.wait(every_s)
            except (Undelivered, DatabaseAway) as fault:
                if not failing:
                    log.error("the export fails, it is tried again",
                              extra={"detail": self.name, "cause": str(fault)})  # fmt: skip
                failing = True
                backoff_s = min(max(FIRST_BACKOFF_S, 2 * backoff_s), LONGEST_BACKOFF_S)
                stop.wait(backoff_s)
        self._sink.close()
        self._database.close()

    def turn(self) -> int:
        """Sends the next batch; how many rows it had. Raises Undelivered, DatabaseAway."""
        rows = self._database.read(_SELECT, (self._chain_name, self._position, self._sink.batch))
        if not rows:
            return 0
        self._sink.send([told(row) for row in rows])
        position = rows[-1][1]
        assert isinstance(position, int)
        self._position = position
        _write_cursor(self._cursor, self._chain_name, position)
        return len(rows)


def told(row: Row) -> bytes:
    """A row as a JSON object. `id` is its own for ever: the same when it is sent again."""
    fields: dict[str, Any] = dict(zip(_FIELDS, row[1:], strict=True))
    fields["id"] = f"{row[0]!s}-{fields['number']}"
    del fields["run"]
    for name in ("tags", "tried"):
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name])
    if fields["tags"] is not None:
        fields["tags"] = dict(fields["tags"])
    fields["stream"], fields["orphan"] = bool(fields["stream"]), bool(fields["orphan"])
    return msgspec.json.encode(fields)


def _read_cursor(path: Path, chain_name: str) -> int:
    """0 where nothing was sent, or it was of another chain."""
    try:
        chain, position = path.read_text().split()
        return int(position) if chain == chain_name else 0
    except (OSError, ValueError):
        return 0


def _write_cursor(path: Path, chain_name: str, position: int) -> None:
    """What was sent is sent again if this is lost; that is what the id is for. Raises
    Undelivered."""
    try:
        private_files.replace(path, f"{chain_name} {position}\n".encode())
    except OSError as error:
        raise Undelivered(f"{path}: {error.strerror}") from error


def start(exports: Sequence[Export], stop: threading.Event, every_s: float) -> None:
    """Each in a thread of its own, which ends with the process."""
    for export in exports:
        threading.Thread(
            target=export.run, args=(stop, every_s), name=f"export {export.name}", daemon=True
        ).start()

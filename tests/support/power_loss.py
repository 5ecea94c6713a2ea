"""A disk that loses power: what SQLite wrote is recorded, and any moment of it can be put on a real
disk as a loss of power would leave it.

As SQLite tests itself (https://sqlite.org/testing.html#crash_testing): what was not synced is gone,
or there in part, in any order, torn between sectors. A file that was never synced may not be there.
Write-ahead logs work in exclusive mode here, for which they need no shared memory; what is written
and synced, and in which order, is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import apsw

NAME = "headrace-recorded"
SECTOR_BYTES = 512
PAGES_BETWEEN_CHECKPOINTS = 24


class Write(NamedTuple):
    file: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    file: str
    size: int


class Sync(NamedTuple):
    file: str


class Delete(NamedTuple):
    file: str


class Acknowledged(NamedTuple):
    """So much is promised from here on."""

    rows: int


Event = Write | Truncate | Sync | Delete | Acknowledged


class RecordedDisk(apsw.VFS):
    """SQLite's file system with a memory of what was asked of it."""

    def __init__(self, real: str) -> None:
        self.events: list[Event] = []
        self._real = real
        super().__init__(NAME, real, makedefault=True)

    def acknowledged(self, rows: int) -> None:
        self.events.append(Acknowledged(rows))

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - its name in SQLite
        return _File(self, self._real, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - its name in SQLite
        super().xDelete(filename, syncdir)
        self.events.append(Delete(Path(filename).name))


class _File(apsw.VFSFile):
    def __init__(self, disk: RecordedDisk, real: str, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__(real, name, flags)
        self._disk = disk
        self._name = Path(path).name

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - its name in SQLite
        super().xWrite(data, offset)
        self._disk.events.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - its name in SQLite
        super().xTruncate(newsize)
        self._disk.events.append(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - its name in SQLite
        super().xSync(flags)
        self._disk.events.append(Sync(self._name))


@contextmanager
def recorded_disk() -> Iterator[RecordedDisk]:
    """All databases that are opened in the block are on it."""

    def alone(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES_BETWEEN_CHECKPOINTS}")

    real = apsw.vfs_names()[0]
    disk = RecordedDisk(real)
    apsw.connection_hooks.append(alone)
    try:
        yield disk
    finally:
        apsw.connection_hooks.remove(alone)
        apsw.set_default_vfs(real)
        disk.unregister()


class Outage:
    """The disk after each event, for a loss of power that follows it."""

    def __init__(self) -> None:
        self.promised = 0
        self._safe: dict[str, bytearray] = {}
        """Files as they were last synced."""
        self._pending: dict[str, list[Write | Truncate]] = {}

    def passes(self, event: Event) -> None:
        match event:
            case Acknowledged(rows):
                self.promised = rows
            case Sync(file):
                safe = self._safe.setdefault(file, bytearray())
                for change in self._pending.pop(file, ()):
                    _apply(safe, change)
            case Delete(file):
                self._safe.pop(file, None)
                self._pending.pop(file, None)
            case Write() | Truncate():
                self._pending.setdefault(event.file, []).append(event)

    @property
    def anything_pending(self) -> bool:
        return any(self._pending.values())

    def leaves(self, folder: Path) -> None:
        """All that was not synced is gone."""
        for name, content in self._safe.items():
            (folder / name).write_bytes(content)

    def leaves_some(self, folder: Path, rng: Random) -> None:
        """Of what was not synced, any part may be there, and a sector that was being written may
        hold anything."""
        for name in self._safe.keys() | self._pending.keys():
            content = bytearray(self._safe.get(name, b""))
            for change in self._pending.get(name, ()):
                if rng.random() < 0.5:
                    _apply(content, _torn(change, rng))
            if name in self._safe or content:
                (folder / name).write_bytes(content)


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(max(0, change.size - len(content))))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data


def _torn(change: Write | Truncate, rng: Random) -> Write | Truncate:
    """A write of which only the beginning came through, and the sector after it as junk."""
    if isinstance(change, Truncate) or rng.random() < 0.5:
        return change
    cut = rng.randrange(0, len(change.data) + 1, SECTOR_BYTES)
    junk = rng.randbytes(min(SECTOR_BYTES, len(change.data) - cut))
    return change._replace(data=change.data[:cut] + junk)

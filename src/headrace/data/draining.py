"""Brings the journal's records into the store: each once, whatever is killed.

Files of the journal are the truth until their rows are committed. A run that is over and read to
its end leaves calls behind that were never settled: orphans, stored at their bound.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from headrace.data import private_files
from headrace.data.ledger import Batch, Ledger, Outrun, Run
from headrace.data.ledger_rows import Bound, row_of, row_of_orphan
from headrace.data.records import Intent, Opening
from headrace.data.segments import (
    DRAINED,
    Part,
    RunReader,
    Segment,
    by_run,
    is_being_written,
    segments,
)

PIECE_BYTES = 64 * 1024
"""Read at once and brought to rows before the next: what is in the processor's caches then stays
there from a line to its row's hash."""
BATCH_PIECES = 64
"""Of a run in one turn."""
CHAIN = "ledger-chain"
"""A file with the name of the chain."""
CAUGHT_UP = "ledger-caught-up"
"""A file that is touched while the store holds all that the journal does."""
GONE_S = 60.0
"""A run whose files are all gone for so long is over."""

BoundOf = Callable[[Intent], Bound]
Open = dict[tuple[int, int], list[Opening]]


class Turn(Struct, frozen=True):
    """What one turn did."""

    rows: int
    orphans: int
    more: bool
    """There is more to be read at once."""
    lost: int = 0
    """Records whose numbers are missing in what was read."""


class Drain:
    """Drains one folder into one ledger."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        bound: BoundOf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._bound = bound
        self._clock = clock
        self._open: Open | None = None
        self._stored: set[tuple[int, int]] = set()
        """Calls that are open in the store too."""
        self._missed: dict[str, float] = {}

    def turn(self) -> Turn:
        """Reads on in each run and stores what it finds. Raises DatabaseAway: nothing is lost, and
        the next turn begins where the store is."""
        try:
            if self._open is None:
                self._ledger.open()
                self._open = self._ledger.open_calls()
                self._stored = set(self._open)
            return self._turn(self._open)
        except Outrun:
            self._open = None
            return Turn(0, 0, True)
        except BaseException:
            self._open = None  # read anew: whether the commit came through is not known
            raise

    def _turn(self, calls: Open) -> Turn:
        batch, orphans, lost, more = self._ledger.batch(), 0, 0, False
        files = dict(by_run(segments(self._folder)))
        known = [run.name for run in self._ledger.runs.values() if not run.ended]
        touched: set[tuple[int, int]] = set()
        for name in sorted({*files, *known}):
            run = self._ledger.runs.get(name) or self._ledger.begin_run(name)
            if run.ended:
                continue  # its files were to be put away when the writer was killed
            part = self._read(run, files.get(name, ()), calls, batch, touched)
            if part.over:
                orphans += self._orphans(run, calls, batch)
            if part.over or part.place != run.place:
                lost += part.place.lost - run.place.lost
                batch.moves.append((run, part.place, part.over))
                more = more or part.more
        self._sort_open(calls, batch, touched)
        if batch.moves:
            self._ledger.commit(batch)
            self._stored.difference_update(batch.closed)
            self._stored.update((run, intent.number) for run, intent in batch.opened)
        self._put_away(files)
        return Turn(len(batch.rows), orphans, more, lost)

    def _read(
        self,
        run: Run,
        files: Sequence[Segment],
        calls: Open,
        batch: Batch,
        touched: set[tuple[int, int]],
    ) -> Part:
        """Reads and takes as much of a run as a turn may; the last part of it."""
        if not files:
            since = self._missed.setdefault(run.name, self._clock())
            return Part((), run.place, self._clock() - since > GONE_S, more=False)
        self._missed.pop(run.name, None)
        reader = RunReader(run.name, self._folder, run.place)
        for _ in range(BATCH_PIECES):
            part = reader.read(files, PIECE_BYTES)
            self._take(part, run, calls, batch, touched)
            if not part.more:
                break
            reader.place = part.place
        return part

    def _take(
        self, part: Part, run: Run, calls: Open, batch: Batch, touched: set[tuple[int, int]]
    ) -> None:
        id, stored, rows = run.id, self._stored, []
        for record in part.records:
            call = (id, record.number)
            if type(record) is Opening:
                if call in calls:
                    calls[call].append(record)
                else:
                    calls[call] = [record]
                touched.add(call)
            else:
                rows.append(row_of(id, record, calls.pop(call, ())))  # type: ignore[arg-type]
                touched.discard(call)
                if call in stored:
                    batch.closed.append(call)
        batch.add(rows)

    def _orphans(self, run: Run, calls: Open, batch: Batch) -> int:
        """Nothing more will be heard of these calls."""
        left, rows = sorted(call for call in calls if call[0] == run.id), []
        for call in left:
            intents = calls.pop(call)
            rows.append(row_of_orphan(run.id, intents, self._bound(intents[-1].intent())))
            if call in self._stored:
                batch.closed.append(call)
        batch.add(rows)
        return len(left)

    def _sort_open(self, calls: Open, batch: Batch, touched: set[tuple[int, int]]) -> None:
        """Calls that are open at the batch's end go into the store, all attempts of them."""
        for call in touched:
            intents = calls.get(call)
            if intents is not None:
                if call in self._stored:
                    batch.closed.append(call)
                batch.opened.extend((call[0], intent) for intent in intents)

    def _put_away(self, files: dict[str, list[Segment]]) -> None:
        """Files that are in the store to their end."""
        for name, there in files.items():
            run = self._ledger.runs[name]
            for file in there:
                if run.ended or file.number < run.place.segment:
                    drained = self._folder / DRAINED
                    drained.mkdir(mode=0o700, exist_ok=True)
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(file.path)
                        file.path.rename(drained / file.path.name)


def remove_drained(folder: Path, keep_s: float, keep_bytes: int, now: float) -> None:
    """Deletes drained files that are older than `keep_s`, or the oldest of too many. `now` is Unix
    seconds."""
    found = []
    for file in segments(folder / DRAINED):
        with contextlib.suppress(FileNotFoundError):
            status = file.path.stat()
            found.append((status.st_mtime, status.st_size, file.path))
    total = 0
    for put_away, size, path in sorted(found, reverse=True):
        total += size
        if now - put_away >= keep_s or total > keep_bytes:
            path.unlink(missing_ok=True)


def sync_journal(folder: Path) -> None:
    """Brings the journal's files to the disk itself, for while the store cannot take them."""
    for file in segments(folder):
        with contextlib.suppress(OSError):
            _sync(file.path)
    with contextlib.suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    """A file's content; a folder's names. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def unfinished(folder: Path) -> bool:
    """Whether there are files of runs that are over: calls that wait for their recovery."""
    return any(not is_being_written(files[-1].path) for _, files in by_run(segments(folder)))


def chain_name(folder: Path) -> str:
    """The name of the chain of a folder's gateway, made at the first start. Raises OSError."""
    path = folder / CHAIN
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unnamed = folder / f"{CHAIN}.{os.getpid()}"
        with open(unnamed, "w", opener=private_files.opener) as file:
            file.write(secrets.token_hex(8) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(unnamed, path)
        unnamed.unlink()
        _sync(folder)  # rows of a chain must not outlive its name when power is lost
        return path.read_text().strip()


@contextmanager
def writer_lock(folder: Path, patient: Callable[[], bool]) -> Iterator[bool]:
    """Whether this process is the one that drains the folder; asks again while `patient`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not patient():
                    yield False
                    return
                time.sleep(0.02)
            else:
                yield True
                return
    finally:
        os.close(fd)

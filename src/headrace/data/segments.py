"""Reads the journal's files while they are written: nothing twice, nothing by half, in order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data.journal import WINDOW_BYTES, segment_name
from headrace.data.records import Opening, Record, SegmentHead, Settlement

_NAME = re.compile(r"journal-([0-9a-f]{24})-(\d{6})\.jsonl\Z")
INTENT, SETTLEMENT = b'{"kind":"intent",', b'{"kind":"settlement",'
FIRST_INTENT = b'{"kind":"intent","seq":%d,"number":%d,"attempt":1,'
"""How the intent of a call's first attempt begins: the call has its number of this record."""
NUL = b"\\u0000"
DRAINED = "drained"
"""The folder, beside the journal, of segments that are safely in the store."""


class Segment(Struct, frozen=True, order=True):
    """One file of a run."""

    run: str
    number: int
    path: Path


class Place(Struct, frozen=True):
    """How far a run has been read."""

    segment: int = 0
    offset: int = 0
    next_seq: int = 1
    lost: int = 0
    """Records whose numbers are missing: files that were removed, or a disk that lost power."""


class Part(Struct, frozen=True):
    """What a look at a run brought."""

    records: Sequence[Settlement | Opening]
    place: Place
    over: bool
    """The run has ended and this was the last of it."""
    more: bool
    """There is more to read at once."""


def segments(folder: Path) -> list[Segment]:
    """The files of a folder, by run and number. A folder that is not there has none."""
    found = []
    for path in folder.glob("journal-*.jsonl"):
        named = _NAME.match(path.name)
        if named is not None:
            found.append(Segment(named[1], int(named[2]), path))
    return sorted(found)


def is_being_written(path: Path) -> bool:
    """Whether the process lives that writes it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class _Numbers(Struct, frozen=True, gc=False):
    """What must be known of an intent at once."""

    seq: int
    number: int
    attempt: int


class RunReader:
    """Reads one run on from a place. Each `read` may be followed by another from the same place,
    until `place` is set to what it brought."""

    def __init__(self, run: str, folder: Path, place: Place) -> None:
        self.run = run
        self.place = place
        self._folder = folder
        self._opening = msgspec.json.Decoder(_Numbers).decode
        self._settlement = msgspec.json.Decoder(Settlement).decode

    def read(self, files: Sequence[Segment], most_bytes: int = WINDOW_BYTES) -> Part:
        """The next records, of at most so many bytes and one window, or one that is longer.
        `files` are those of this run that are there, as `segments` gave them: older ones than the
        last are complete."""
        place = self.place
        later = [file for file in files if file.number > place.segment]
        here = next((file for file in files if file.number == place.segment), None)
        ended = bool(later)
        if here is not None and not ended:
            # Asked before it is read: what is read after its end is all of it.
            ended = not is_being_written(here.path)
            if ended:
                later = _begun_since(here)
        data, offset, exhausted = b"", place.offset, True
        if here is not None:
            with contextlib.suppress(FileNotFoundError):
                data, offset, exhausted = _next_bytes(here.path, place.offset, ended, most_bytes)
        records, next_seq, lost = self._records(data, place)
        if not (exhausted and ended):
            now_at = Place(place.segment, offset, next_seq, lost)
            return Part(records, now_at, False, more=not exhausted)
        if later:
            return Part(records, Place(later[0].number, 0, next_seq, lost), False, more=True)
        return Part(records, Place(place.segment, offset, next_seq, lost), True, more=False)

    def _records(self, data: bytes, place: Place) -> tuple[list[Settlement | Opening], int, int]:
        found: list[Settlement | Opening] = []
        next_seq, lost = place.next_seq, place.lost
        opening, settlement = self._opening, self._settlement
        if NUL in data:  # for which not every database has room in a text
            data = data.replace(NUL, b"\\ufffd")
        for line in data.split(b"\n"):
            record: Settlement | Opening
            try:
                if line.startswith(INTENT):
                    # What is as it is expected, as almost every one, need not be parsed.
                    if line.startswith(FIRST_INTENT % (next_seq, next_seq)) and _is_whole(line):
                        found.append(Opening(next_seq, next_seq, 1, line))
                        next_seq += 1
                        continue
                    known = opening(line)
                    record = Opening(known.seq, known.number, known.attempt, line)
                elif line.startswith(SETTLEMENT):
                    record = settlement(line)
                else:
                    continue
            except msgspec.MsgspecError:
                continue  # torn by a kill or by the loss of power; its number will be missing
            seq = record.seq
            if seq != next_seq:
                if seq < next_seq:
                    continue
                lost += seq - next_seq
            next_seq = seq + 1
            found.append(record)
        return found, next_seq, lost


def _is_whole(intent: bytes) -> bool:
    """Whether a line is surely all of an object that holds no other: one that was torn off within a
    text has an odd number of quotes, and elsewhere no brace at its end."""
    return intent.endswith(b"}") and not intent.count(b'"') & 1 and b"\\" not in intent


def _begun_since(ended: Segment) -> list[Segment]:
    """The file after one that is written no longer, should its process live and have gone on to
    another since the folder was looked at. It begins that one before it leaves this."""
    path = ended.path.with_name(segment_name(ended.run, ended.number + 1))
    return [Segment(ended.run, ended.number + 1, path)] if path.exists() else []


def _next_bytes(path: Path, offset: int, ended: bool, most_bytes: int) -> tuple[bytes, int, bool]:
    """Whole lines from `offset` on, the offset after them, and whether that is all for now."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if offset >= size:
            return b"", offset, True
        window = _window_bytes(fd)
        end = min((offset // window + 1) * window, size)
        # Asked before it is read, for nobody writes into a window that was left.
        final = ended or (end < size and os.pread(fd, 1, end) not in (b"\0", b""))
        until = min(offset + most_bytes, end)
        data = os.pread(fd, until - offset, offset)
    finally:
        os.close(fd)
    if final and until == end:
        return data.replace(b"\0", b"\n"), end, end >= size
    if final:
        data, written = data.replace(b"\0", b"\n"), True
    else:
        # A line that is just being copied has zeros in it, wherever they are.
        data, zero, _ = data.partition(b"\0")
        written = not zero and until < end
    data = data[: data.rfind(b"\n") + 1]
    if written and not data:
        return _next_bytes(path, offset, ended, window)
    return data, offset + len(data), not written


def _window_bytes(fd: int) -> int:
    """As the file's own head says."""
    line = os.pread(fd, 512, 0).partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=SegmentHead).window_bytes
    except msgspec.MsgspecError:
        return WINDOW_BYTES


def records(folder: Path) -> list[Record]:
    """All records of a folder and its drained part, run by run. For small journals and tests."""
    found: list[Record] = []
    for run, files in by_run([*segments(folder), *segments(folder / DRAINED)]):
        reader = RunReader(run, folder, Place(files[0].number))
        while True:
            part = reader.read(files)
            found.extend(r.intent() if isinstance(r, Opening) else r for r in part.records)
            reader.place = part.place
            if not part.more:
                break
    return found


def by_run(files: Sequence[Segment]) -> Iterator[tuple[str, list[Segment]]]:
    """Sorted, by run."""
    runs: dict[str, list[Segment]] = {}
    for file in sorted(files):
        runs.setdefault(file.run, []).append(file)
    yield from runs.items()

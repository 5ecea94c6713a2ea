"""What the gateway's journal holds of calls, for tests."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from headrace.data.records import Intent, Opening, Settlement
from headrace.data.segments import DRAINED, Place, RunReader, Segment, by_run, segments


class Account:
    """The records of one call: as many intents and settlements as there are."""

    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.settlements: list[Settlement] = []

    @property
    def settlement(self) -> Settlement:
        """The only one, of a call with one intent."""
        assert len(self.intents) == 1, self.intents
        assert len(self.settlements) == 1, self.settlements
        return self.settlements[0]


class _Book:
    """The journal of one folder, as far as it was read: it is asked about after each of hundreds
    of calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._readers: dict[str, RunReader] = {}
        self._found: dict[str, Account] = defaultdict(Account)

    def read_on(self) -> dict[str, Account]:
        files_of = by_run([*segments(self._folder), *segments(self._folder / DRAINED)])
        for run, files in files_of:
            reader = self._readers.get(run)
            if reader is None:
                reader = RunReader(run, self._folder, Place(files[0].number))
                self._readers[run] = reader
            while self._takes(reader, files):
                pass
        return defaultdict(Account, self._found)

    def _takes(self, reader: RunReader, files: list[Segment]) -> bool:
        """Whether there is more to be read at once."""
        part = reader.read(files)
        if any(f.number == reader.place.segment and not f.path.exists() for f in files):
            return False  # moved as drained, perhaps before it was read: the next look finds it
        for record in part.records:
            if isinstance(record, Opening):
                intent = record.intent()
                self._found[intent.call].intents.append(intent)
            else:
                self._found[record.call].settlements.append(record)
        reader.place = part.place
        return part.more


_book = cache(_Book)


def accounts(folder: Path) -> dict[str, Account]:
    """Accounts by call id, of the journal in `folder`."""
    return _book(folder).read_on()


def settled(folder: Path, calls: Iterable[str], timeout_s: float = 20.0) -> dict[str, Account]:
    """The accounts once each of `calls` has a settlement: the one of a client that left is
    written after it has gone. Raises AssertionError with those that have none."""
    wanted = set(calls)
    until = time.monotonic() + timeout_s
    while True:
        found = accounts(folder)
        missing = {call for call in wanted if call not in found or not found[call].settlements}
        if not missing:
            return found
        assert time.monotonic() < until, f"never settled: {sorted(missing)[:5]} of {len(missing)}"
        time.sleep(0.05)

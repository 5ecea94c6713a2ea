"""What the gateway's journal holds of calls, for tests."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from headrace.data.records import Intent, Settlement
from headrace.data.segments import records


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


def accounts(folder: Path) -> dict[str, Account]:
    """Accounts by call id, of the journal in `folder`."""
    found: dict[str, Account] = defaultdict(Account)
    for record in records(folder):
        kept = found[record.call]
        if isinstance(record, Intent):
            kept.intents.append(record)
        else:
            kept.settlements.append(record)
    return found


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

"""The scripted upstream as a process of its own, with its journal: for what is timed or counted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headrace_upstream.journal import EndedLine, SeenLine, read_journal


class Visit(NamedTuple):
    """One call as the upstream saw it. `ended` is None while it is in work."""

    seen: SeenLine
    ended: EndedLine | None


class UpstreamProcess:
    """`url` has no path."""

    def __init__(self, url: str, journal: Path) -> None:
        self.url = url
        self._journal = journal

    def visits(self) -> list[Visit]:
        """All calls so far, in order."""
        lines = read_journal(self._journal)
        ended = {line.seq: line for line in lines if isinstance(line, EndedLine)}
        return [Visit(line, ended.get(line.seq)) for line in lines if isinstance(line, SeenLine)]

    def visits_of(self, calls: set[str]) -> dict[str, list[Visit]]:
        """Visits by request id, of these calls alone."""
        found: dict[str, list[Visit]] = {call: [] for call in calls}
        for visit in self.visits():
            if visit.seen.request_id in found:
                found[visit.seen.request_id].append(visit)
        return found

    def wait_for(self, condition: Callable[[list[Visit]], bool], timeout_s: float = 30.0) -> None:
        """Returns when the journal satisfies `condition`. Raises AssertionError."""
        until = time.monotonic() + timeout_s
        while not condition(self.visits()):
            assert time.monotonic() < until, "the upstream never saw it"
            time.sleep(0.02)


@contextmanager
def upstream_process(folder: Path, *options: str) -> Iterator[UpstreamProcess]:
    """Runs until the block is left."""
    journal = folder / "upstream.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace_upstream", "--json", "--journal", str(journal), *options],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        yield UpstreamProcess(ready["url"], journal)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()

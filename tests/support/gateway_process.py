"""A gateway process under test, and what it wrote about its calls."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.commands import Start, forked

PATIENCE_S = 20.0


class Gateway:
    """`root` is the URL without a path, `url` the one with `/v1`."""

    def __init__(self, pid: int, serving: dict[str, Any], folder: Path) -> None:
        self.pid = pid
        self.serving = serving
        """What `headrace serve --json` said."""
        self.url: str = serving["url"]
        self.root = self.url.removesuffix("/v1")
        self.key: str | None = serving["key"]
        self.folder = folder

    @property
    def port(self) -> int:
        return int(self.root.rsplit(":", 1)[1])

    def workers(self) -> list[int]:
        """Processes that serve the port, where that is not the gateway's own."""
        return children_that_run(self.pid, "headrace.operate.worker_process")

    def ledger_writers(self) -> list[int]:
        """The process that writes the ledger; none for the moment after it died."""
        return children_that_run(self.pid, "headrace.operate.ledger_writer")

    def log_lines(self, call: str) -> list[dict[str, Any]]:
        """What the log says of one call, once it says anything: that is a moment after the call
        is settled. Raises AssertionError if it never does."""
        until = time.monotonic() + PATIENCE_S
        while True:
            lines = (self.folder / "log.jsonl").read_text().splitlines()
            if found := [json.loads(line) for line in lines if f'"call":"{call}"' in line]:
                return found
            assert time.monotonic() < until, f"the log says nothing of {call}"
            time.sleep(0.02)


def children_that_run(pid: int, module: str) -> list[int]:
    """Children of a process that run this module of Python."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    found = []
    for child in map(int, text.split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if module in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
                found.append(child)
    return found


@contextmanager
def running_gateway(
    config_text: str,
    folder: Path,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    start: Start = forked,
) -> Iterator[Gateway]:
    (folder / "headrace.yaml").write_text(config_text)
    arguments = ["serve", "--json", "--port", "0", *options]
    with (folder / "log.jsonl").open("wb") as log:
        process, output = start(arguments, folder, env or {}, log)
    try:
        line = output.readline()
        assert line, (folder / "log.jsonl").read_text()
        yield Gateway(process.pid, json.loads(line), folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        output.close()

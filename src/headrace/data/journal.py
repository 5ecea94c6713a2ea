"""The journal: what was about to be asked and how it ended, appended before and after.

One JSON line per record, each by a single `write` to a file opened for appending, so that a line
is whole or absent whatever is killed. An intent without its settlement is a call that was cut off.
Each worker process has a file of its own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from headrace.nouns import Usage

SEGMENT_BYTES = 64 * 1024 * 1024


class Intent(Struct, frozen=True, tag="intent", tag_field="kind", omit_defaults=True):
    """A call that is about to be sent to a backend."""

    at: float
    """Unix seconds."""
    call: str
    operation: str
    model: str
    backend: str
    key: str
    tenant: str
    team: str | None = None
    stream: bool = False
    attempt: int = 1
    """Of this call: each attempt has an intent of its own."""


class Settlement(Struct, frozen=True, tag="settlement", tag_field="kind", omit_defaults=True):
    """How a call ended."""

    at: float
    call: str
    status: int
    finish: str
    backend: str | None
    input_tokens: int
    output_tokens: int
    usage_source: Literal["upstream", "estimated", "none"]
    cost_microusd: int | None
    latency_ms: float
    ttft_ms: float | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    attempts: int = 0
    reason: str | None = None

    def usage(self) -> Usage:
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.usage_source,
        )


Record = Intent | Settlement


class Journal:
    """Appends records. Raises OSError where the disk does (full, read-only)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._encode = msgspec.json.Encoder().encode
        self._fd = -1
        self._written = 0
        self._pending: list[bytes] = []
        self._torn = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open_segment()

    def append(self, record: Record) -> None:
        """Writes one line, and what `defer` kept, before it returns."""
        self._pending.append(self._encode(record))
        try:
            self.flush()
        except OSError:
            self._pending.pop()  # what was not written did not happen; the kept lines did
            raise

    def defer(self, record: Record) -> bool:
        """Keeps a line for the next `append` or `flush`; True if the caller has to see to that
        (the first one kept). Saves a write for each call but the last of a turn of the loop."""
        self._pending.append(self._encode(record))
        return len(self._pending) == 1

    def flush(self) -> None:
        """Writes what is kept. On an error it stays kept and is tried again by the next one."""
        if not self._pending:
            return
        if self._written >= SEGMENT_BYTES:
            self._open_segment()
        # A line that was cut short must not swallow the next one: readers pass over it.
        lines = b"\n".join((b"", *self._pending, b"") if self._torn else (*self._pending, b""))
        written = os.write(self._fd, lines)
        self._written += written
        self._torn = written != len(lines)
        if self._torn:
            raise OSError("the journal's disk is full")
        self._pending.clear()

    def writable(self) -> bool:
        """Whether the file is still there and the disk has room."""
        try:
            space = os.fstatvfs(self._fd)
            return (
                space.f_bavail * space.f_frsize > 16 * 1024 * 1024
                and os.fstat(self._fd).st_nlink > 0
                and os.access(self._folder, os.W_OK)
            )
        except OSError:
            return False

    def close(self) -> None:
        """Flushes and closes."""
        try:
            self.flush()
        finally:
            os.close(self._fd)

    def _open_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        name = f"journal-{time.time_ns()}-{os.getpid()}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._folder / name, flags, 0o600)
        self._written = 0


def records(folder: Path) -> list[Record]:
    """All whole records of a folder, segment by segment. A torn line is passed over."""
    decoder = msgspec.json.Decoder(Intent | Settlement)
    found: list[Record] = []
    for path in sorted(folder.glob("journal-*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                found.append(decoder.decode(line))
            except msgspec.MsgspecError:
                continue
    return found

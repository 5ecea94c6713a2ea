"""The journal: what was about to be asked and how it ended, appended before and after.

One JSON line per record. A line that a kill cut short has no end, and readers pass over it. An
intent without its settlement is a call that was cut off.
Each worker process has a file of its own. The order of records is that of their lines, and of
files that of the number in their names: times tell nothing of it, since a clock may be set.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from headrace.nouns import Usage

SEGMENT_BYTES = 64 * 1024 * 1024
WINDOW_BYTES = 1024 * 1024
_FILES = "journal-*.jsonl"


class Intent(Struct, frozen=True, tag="intent", tag_field="kind", omit_defaults=True, gc=False):
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


class Settlement(
    Struct, frozen=True, tag="settlement", tag_field="kind", omit_defaults=True, gc=False
):
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
    """Appends records. Raises OSError where the disk does (full, read-only).

    The file is written through a window of shared memory: what was copied there is the kernel's
    at once, as after a `write`, and outlives the process whatever kills it, but costs no system
    call (which would cost a call three times the rest of this). Its blocks are reserved before
    they are mapped, so that a full disk is an error here and not a fault of memory later. Behind
    the last line stand zeros until the journal is closed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """`window_bytes` must be a multiple of the system's page, and divide `segment_bytes`."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._window_bytes = window_bytes
        self._encode = msgspec.json.Encoder().encode
        self._fd = -1
        self._window: mmap.mmap | None = None
        self._window_at = 0
        self._at = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open_segment()

    def append(self, record: Record) -> None:
        """Writes one line: it is there whole when this returns."""
        line = self._encode(record) + b"\n"
        end = self._at + len(line)
        if self._window is None or end > self._window_bytes:
            self._append_across(line)
        else:
            self._window[self._at : end] = line
            self._at = end

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

    def heal(self) -> None:
        """Begins a new file if somebody removed this one. Raises OSError."""
        if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open_segment()

    def close(self) -> None:
        """Cuts the file to what is written and closes it."""
        if self._fd < 0:
            return
        os.ftruncate(self._fd, self._window_at + self._at)
        if self._window is not None:
            self._window.close()
            self._window = None
        os.close(self._fd)
        self._fd = -1

    def _append_across(self, line: bytes) -> None:
        """A line that the window has no room for goes into the next one: in between stand zeros,
        which readers pass over."""
        if len(line) > self._window_bytes:
            raise OSError("a record is larger than the journal's window")
        if self._window is None or self._window_at + 2 * self._window_bytes > self._segment_bytes:
            self._open_segment()
        else:
            self._open_window(self._window_at + self._window_bytes)
        assert self._window is not None
        self._window[: len(line)] = line
        self._at = len(line)

    def _open_window(self, at: int) -> None:
        os.posix_fallocate(self._fd, at, self._window_bytes)
        window = mmap.mmap(self._fd, self._window_bytes, offset=at)
        if self._window is not None:
            self._window.close()
        self._window, self._window_at, self._at = window, at, 0

    def _open_segment(self) -> None:
        # By the clock, but after all that are there: it may stand still, or have been set back.
        number = max(time.time_ns(), 1 + max(map(_number, self._folder.glob(_FILES)), default=0))
        name = f"journal-{number}-{os.getpid()}.jsonl"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        opened = os.open(self._folder / name, flags, 0o600)
        old_fd, old_end = self._fd, self._window_at + self._at
        self._fd = opened
        try:
            self._open_window(0)
        except OSError:
            self._fd = old_fd
            os.close(opened)
            (self._folder / name).unlink(missing_ok=True)
            raise
        if old_fd >= 0:
            os.ftruncate(old_fd, old_end)
            os.close(old_fd)


def _number(path: Path) -> int:
    """0 for a file that somebody else has named."""
    number = path.name.split("-")[1]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0


def records(folder: Path) -> list[Record]:
    """All whole records of a folder, segment by segment. A torn line is passed over."""
    decoder = msgspec.json.Decoder(Intent | Settlement)
    found: list[Record] = []
    for path in sorted(folder.glob(_FILES), key=_number):
        for line in path.read_bytes().replace(b"\0", b"").splitlines():
            try:
                found.append(decoder.decode(line))
            except msgspec.MsgspecError:
                continue
    return found

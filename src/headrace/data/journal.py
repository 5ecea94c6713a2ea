"""The journal: what was about to be asked and how it ended, appended before and after.

One JSON line per record. A line that a kill cut short has no end, and readers pass over it. An
intent without its settlement is a call that was cut off.

Each life of a worker process is a run, with a name of its own and segments `journal-RUN-N.jsonl`.
Records of a run are numbered; a call's own number is that of its first record, so that calls whose
clients use one request id twice are still two. The process holds a lock on the segment that it
writes: who can take it knows that the run is over, however it ended. The order of records is that
of their numbers, and of runs that of their names: times tell nothing of it, since a clock may be
set.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import secrets
import time
from pathlib import Path

import msgspec

from headrace.data.records import Record, SegmentHead

SEGMENT_BYTES = 16 * 1024 * 1024
WINDOW_BYTES = 1024 * 1024
_HEX = re.compile(r"[0-7][0-9a-f]{15}\Z")
HEAD_ROOM_BYTES = 256
"""More than the first line of a segment takes."""
PAGES_BYTES = 64 * 1024
"""Made at once. The kernel looks at all that was made with a page when it is first touched, so a
whole window at once would cost each record more than the rest of this; and what was just made is
in the processor's caches when it is written."""
_ZEROS = bytes(PAGES_BYTES)


class Journal:
    """Appends records. Raises OSError where the disk does (full, read-only).

    The file is written through a window of shared memory: what was copied there is the kernel's
    at once, as after a `write`, and outlives the process whatever kills it, but costs no system
    call (which would cost a call three times the rest of this). Its blocks are reserved before
    they are mapped: so a full disk is an error here and not a fault of memory later. Zeros are
    written a little ahead, so that the kernel need not make each page when it is first touched
    (7 µs a page; this way 1). Behind the last line stand zeros until the journal is closed.
    """

    __slots__ = (
        "_at", "_encode_into", "_fd", "_folder", "_line", "_made", "_segment", "_segment_bytes",
        "_window", "_window_at", "_window_bytes", "next_seq", "run",
    )  # fmt: skip

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
        self._encode_into = msgspec.json.Encoder().encode_into
        self._line = bytearray()
        self._fd = -1
        self._segment = -1
        self._window: mmap.mmap | None = None
        self._window_at = 0
        self._at = 0
        self._made = 0
        """As far into the window its pages are made."""
        self.run = f"{_beginning(folder):016x}{secrets.token_hex(4)}"
        """The name of this process's life: no two have the same."""
        self.next_seq = 1
        """What the next record must have as its `seq`."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open_segment()

    def append(self, record: Record) -> None:
        """Writes one line: it is there whole when this returns. What failed has left nothing, and
        its `seq` is the next one's."""
        line, at, window = self._line, self._at, self._window
        self._encode_into(record, line)
        line += b"\n"
        end = at + len(line)
        if end > self._made or window is None:
            self._append_beyond(line)
        else:
            window[at:end] = line
            self._at = end
        self.next_seq += 1

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

    def _append_beyond(self, line: bytearray) -> None:
        """A line for which pages must be made. One that the window has no room for goes into the
        next: in between stand zeros, which readers pass over."""
        size, window_bytes = len(line), self._window_bytes
        if size > window_bytes - HEAD_ROOM_BYTES:
            raise OSError("a record is larger than the journal's window")
        if self._window is None or self._at + size > window_bytes:
            if self._window is None or self._window_at + 2 * window_bytes > self._segment_bytes:
                self._open_segment()
            else:
                self._open_window(self._fd, self._window_at + window_bytes)
        end = self._at + size
        while self._made < end:
            self._make_pages()
        assert self._window is not None
        self._window[self._at : end] = line
        self._at = end

    def _open_window(self, fd: int, at: int, written: int = 0) -> None:
        """`written` bytes of it are there already."""
        os.posix_fallocate(fd, at, self._window_bytes)
        window = mmap.mmap(fd, self._window_bytes, offset=at)
        if self._window is not None:
            self._window.close()
        self._window, self._window_at, self._at, self._made = window, at, written, written

    def _make_pages(self) -> None:
        """The next ones of the window, up to a multiple of their number."""
        made = self._made
        until = min((made // PAGES_BYTES + 1) * PAGES_BYTES, self._window_bytes)
        # Should less be written, the rest is zeros all the same.
        os.pwrite(self._fd, _ZEROS[: until - made], self._window_at + made)
        self._made = until

    def _open_segment(self) -> None:
        """The file gets its name when it is locked and has its head: nobody sees it before."""
        path = self._folder / segment_name(self.run, self._segment + 1)
        unnamed = path.with_suffix(".new")
        opened = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        head = SegmentHead(self.run, self._segment + 1, self._window_bytes, self.next_seq)
        line = msgspec.json.encode(head) + b"\n"
        old_end = self._window_at + self._at
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(opened, 0, self._window_bytes)
            os.pwrite(opened, line, 0)
            unnamed.rename(path)
            self._open_window(opened, 0, len(line))
        except OSError:
            os.close(opened)
            unnamed.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        old_fd, self._fd = self._fd, opened
        self._segment += 1
        if old_fd >= 0:
            os.ftruncate(old_fd, old_end)
            os.close(old_fd)


def _beginning(folder: Path) -> int:
    """By the clock, but after all that are there: it may stand still, or have been set back."""
    names = [path.name.split("-")[1][:16] for path in folder.glob("journal-*.jsonl")]
    before = [int(name, 16) for name in names if _HEX.match(name)]
    return max(time.time_ns(), 1 + max(before, default=0))


def segment_name(run: str, segment: int) -> str:
    return f"journal-{run}-{segment:06d}.jsonl"

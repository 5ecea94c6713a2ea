"""Lines of JSON in a file, which may be moved away at any time, as `logrotate` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from headrace.data.export.sink import Undelivered


class FileSink:
    """Appends, and syncs each batch."""

    batch = 5_000

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, rows: Sequence[bytes]) -> None:
        data = b"\n".join(rows) + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    data = b"\n" + data  # a kill or a full disk cut the last line short
                while data:
                    data = data[os.write(fd, data) :]
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise Undelivered(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """It is open only while it is written."""

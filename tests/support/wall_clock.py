"""A wall clock that a test sets, for a gateway in a process of its own.

By a `sitecustomize` on PYTHONPATH that puts another `time.time` and `time.time_ns` in place, in the
gateway and its workers. Not by libfaketime, which a bare machine does not have; the monotonic clock
is left alone, as it is when an administrator or NTP sets the time.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

DAY_S = 86_400.0

_SHIM = """
import os, struct, time

def _install(path, real=time.time):
    file = os.open(path, os.O_RDONLY)

    def wall():
        frozen, value = struct.unpack("dd", os.pread(file, 16, 0))
        return value if frozen else real() + value

    time.time = wall
    time.time_ns = lambda: int(wall() * 1e9)

_install(os.environ["WALL_CLOCK_OF_A_TEST"])
"""


class WallClock:
    """Right at first."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self._shim = folder / "wall-clock-shim"
        self._shim.mkdir()
        (self._shim / "sitecustomize.py").write_text(_SHIM)
        self.set_right()

    def env(self) -> dict[str, str]:
        """For the process whose clock it is to be."""
        path = os.pathsep.join(filter(None, [str(self._shim), os.environ.get("PYTHONPATH", "")]))
        return {"PYTHONPATH": path, "WALL_CLOCK_OF_A_TEST": str(self._file)}

    def set_right(self) -> None:
        self._write(0.0, 0.0)

    def jump(self, seconds: float) -> None:
        """It is so far ahead of the true time, or behind it."""
        self._write(0.0, seconds)

    def freeze(self) -> None:
        self._write(1.0, time.time())

    def _write(self, frozen: float, value: float) -> None:
        """In one write, so that no reader sees half of it."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(descriptor, struct.pack("dd", frozen, value), 0)
        os.close(descriptor)

"""What budgets have used, in a file that outlives the process, whatever ends it.

The file is mapped into memory, as the journal is: what was written there is the kernel's at once
and costs no system call. Each budget has a slot: spent, reserved, end of the period, and its key.
What is written together is copied at once: `pack_into` would make zeros of it for an instant, and a
kill in between would leave them.
Whatever is reserved when the file is opened was held by calls that a kill cut off. They may have
cost that much, so it counts as spent.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

log = logging.getLogger("headrace.limits")

NAME = "budgets.bin"
MAGIC = b"headrace budgets 1\n"
SLOT_BYTES = 512
GROWTH_BYTES = 128 * SLOT_BYTES
_HEAD = struct.Struct("<qqdH")
_SUMS = struct.Struct("<qq")
_PERIOD = struct.Struct("<qqd")
_MOST = 2**63 - 1
_MOST_KEY = SLOT_BYTES - _HEAD.size


class KeptBudget(Struct, frozen=True):
    """Of one budget. `spent` is micro-dollars or tokens, with what was reserved."""

    key: str
    spent: int
    ends_at: float
    """Unix seconds of the end of the period."""


class BudgetFile:
    """One process's. Raises OSError where the disk does."""

    __slots__ = ("_fd", "_free", "_kept", "_map", "_slots")

    def __init__(self, folder: Path, unix: float) -> None:
        """`unix` is now, in Unix seconds: what is of a period that is over is forgotten."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        size = os.fstat(self._fd).st_size // SLOT_BYTES * SLOT_BYTES
        self._map = self._mapped(max(size, GROWTH_BYTES))
        if self._map[: len(MAGIC)] != MAGIC:
            self._map[:] = bytes(len(self._map))
            self._map[: len(MAGIC)] = MAGIC
        self._kept = list(self._read(unix))

    def kept(self) -> list[KeptBudget]:
        """What was there when it was opened."""
        return self._kept

    def slot(self, key: str) -> int:
        """Where a budget stands; -1 if the disk has no room for it."""
        name = name_of(key)
        at = self._slots.get(name)
        if at is None:
            try:
                at = self._slots[name] = self._free.pop() if self._free else self._grown()
            except OSError as error:
                log.error("a budget is not kept on disk", extra={"cause": str(error)})
                return -1
            self._map[at : at + SLOT_BYTES] = _HEAD.pack(0, 0, 0.0, len(name)) + name.encode(
                "ascii"
            ).ljust(_MOST_KEY, b"\0")
        return at

    def begin(self, at: int, spent: int, ends_at: float) -> None:
        """A period: what is known to be spent in it, and when it ends."""
        if at >= 0:
            self._map[at : at + _PERIOD.size] = _PERIOD.pack(_fitting(spent), 0, ends_at)

    def write(self, at: int, spent: int, reserved: int) -> None:
        """The sums as they are now."""
        if at >= 0:
            try:
                sums = _SUMS.pack(spent, reserved)
            except struct.error:
                sums = _SUMS.pack(_fitting(spent), _fitting(reserved))
            self._map[at : at + 16] = sums

    def forget(self, key: str) -> None:
        """Another may have its place."""
        at = self._slots.pop(name_of(key), None)
        if at is not None:
            self._map[at : at + SLOT_BYTES] = bytes(SLOT_BYTES)
            self._free.append(at)

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    def _mapped(self, size: int) -> mmap.mmap:
        os.posix_fallocate(self._fd, 0, size)
        return mmap.mmap(self._fd, size)

    def _grown(self) -> int:
        size = len(self._map)
        grown = self._mapped(size + GROWTH_BYTES)
        self._map.close()
        self._map = grown
        self._free = list(range(len(grown) - SLOT_BYTES, size, -SLOT_BYTES))
        return size

    def _read(self, unix: float) -> Iterator[KeptBudget]:
        for at in range(SLOT_BYTES, len(self._map), SLOT_BYTES):
            spent, reserved, ends_at, length = _HEAD.unpack_from(self._map, at)
            raw = self._map[at + _HEAD.size : at + _HEAD.size + length]
            if not length or length > _MOST_KEY or ends_at <= unix or not raw.isascii():
                self._free.append(at)
                continue
            self._slots[raw.decode("ascii")] = at
            yield KeptBudget(raw.decode("ascii"), spent + max(0, reserved), ends_at)
        self._free.reverse()


def _fitting(sum: int) -> int:
    """As near as its place has room for: a budget of which so much is spent has nothing left."""
    return max(-_MOST - 1, min(sum, _MOST))


def name_of(key: str) -> str:
    """Keys are ASCII; one that is too long stands there by its digest."""
    if len(key) <= _MOST_KEY and key.isascii():
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

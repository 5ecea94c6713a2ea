"""The audit log's files: the one that is written, and those that it was rotated to.

A rotated file is named by the number of its first event; chain, tree and numbers go on over all of
them. Checkpoints are rotated with it, under the same number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from headrace.data.audit_chain import Checkpoint, decode_checkpoint, decode_line

FILE_NAME = "audit.jsonl"
CHECKPOINTS_NAME = "audit-checkpoints.jsonl"
SEGMENT_BYTES = 64 * 1024 * 1024
_SEGMENT = re.compile(r"audit-([0-9]{12})\.jsonl\Z")
_CHECKPOINTS = re.compile(r"audit-checkpoints-([0-9]{12})\.jsonl\Z")


class _Numbered(Struct):
    n: int


_number = msgspec.json.Decoder(_Numbered).decode


def segment_path(folder: Path, first: int) -> Path:
    """Of a file whose first event has this number."""
    return folder / f"audit-{first:012}.jsonl"


def checkpoints_path(folder: Path, first: int) -> Path:
    """Of the checkpoints that were made while that file was written."""
    return folder / f"audit-checkpoints-{first:012}.jsonl"


def rotated(folder: Path) -> list[Path]:
    """The log's, oldest first."""
    return sorted(path for path in folder.glob("audit-*.jsonl") if _SEGMENT.match(path.name))


def rotated_checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(
        path for path in folder.glob("audit-checkpoints-*.jsonl") if _CHECKPOINTS.match(path.name)
    )


def first_number(descriptor: int) -> int | None:
    """Of the first event of a file; None if it has none that can be read."""
    line, more, _ = os.pread(descriptor, 64 * 1024, 0).partition(b"\n")
    try:
        return _number(decode_line(line).event).n if more else None
    except msgspec.MsgspecError:
        return None


def lines(folder: Path) -> Iterator[bytes]:
    """Of all files in their order, with their ends. Raises OSError if there is no log."""
    with ExitStack() as stack:
        for file in _opened(folder, stack):
            yield from file


def _opened(folder: Path, stack: ExitStack) -> list[BinaryIO]:
    """All that belong together, though the log may be rotated meanwhile."""
    while True:
        current = stack.enter_context((folder / FILE_NAME).open("rb"))
        inode = os.fstat(current.fileno()).st_ino
        before = [stack.enter_context(path.open("rb")) for path in rotated(folder)]
        if all(os.fstat(file.fileno()).st_ino != inode for file in before):
            return [*before, current]


def checkpoint_lines(folder: Path) -> Iterator[bytes]:
    """Of all files in their order."""
    for path in (*rotated_checkpoints(folder), folder / CHECKPOINTS_NAME):
        try:
            yield from path.read_bytes().splitlines()
        except FileNotFoundError:
            continue


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """The last that can be read; the file's end may have been cut short by a full disk."""
    for path in (folder / CHECKPOINTS_NAME, *reversed(rotated_checkpoints(folder))):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        for line in reversed(data.splitlines()):
            try:
                return decode_checkpoint(line)
            except msgspec.MsgspecError:
                continue
    return None


def rotate(folder: Path, first: int) -> None:
    """Moves the file that is written, and its checkpoints, to the name of its first event. A kill
    in between leaves the checkpoints where they are, which is as good. Raises OSError."""
    (folder / FILE_NAME).rename(segment_path(folder, first))
    if (folder / CHECKPOINTS_NAME).exists():
        (folder / CHECKPOINTS_NAME).rename(checkpoints_path(folder, first))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The audit log: what administrators did and which credentials were refused.

One file, and one hash chain, for all processes that share the store's folder: each appends under
a lock on the file, after taking up what others appended. So the order is one, and no process's
part can be removed as a whole. Lines are the kernel's when `append` returns, as the journal's
are; `settle` brings them to the disk. A file that has grown large is put aside, and the chain goes
on in the next: `audit_files`. See `audit_chain` for the format, `audit_verify` for the check.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from headrace.data.audit_chain import (
    ZERO,
    Checkpoint,
    Frontier,
    Statement,
    chained,
    decode_line,
    encode_checkpoint,
    encode_line,
    leaf,
)
from headrace.data.audit_erasure import ERASURE, FIELDS, blank, fields_that_say
from headrace.data.audit_event import AuditEvent, encoded
from headrace.data.audit_files import (
    CHECKPOINTS_NAME,
    FILE_NAME,
    SEGMENT_BYTES,
    first_number,
    last_checkpoint,
    rotate,
    rotated,
    segment_path,
)
from headrace.data.audit_keys import EXTRA_HINT, Signer, own_signer
from headrace.errors import Setup

log = logging.getLogger("headrace.audit")

CHECKPOINT_EVENTS = 1000
CHECKPOINT_S = 60.0


class AuditSink(Protocol):
    """Where administration and authentication tell what they did."""

    def append(self, event: AuditEvent) -> None:
        """It is kept when this returns. Raises OSError: what cannot be told must not be done."""
        ...


class AuditLog:
    """Appends events. May be used from several threads. Raises OSError where the disk does."""

    def __init__(
        self,
        folder: Path,
        signer: Callable[[Path], Signer | None] = own_signer,
        *,
        clock: Callable[[], float] = time.time,
        scrub: Callable[[str], str] = str,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """`signer` is asked at the first checkpoint, since it takes a while to load; `clock` gives
        Unix seconds; `scrub` takes secrets out of each text. A file of `segment_bytes` is
        rotated."""
        self._folder = folder
        self._path = folder / FILE_NAME
        self._checkpoints = folder / CHECKPOINTS_NAME
        self._signer_of = signer
        self._signer: Signer | None = None
        self._signer_known = False
        self._clock = clock
        self.scrub = scrub
        self._turn = threading.Lock()
        self._fd = -1
        self._dirty = False
        self._segment_bytes = segment_bytes
        self._lost: str | None = None
        """What was there before the file was moved away or removed."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._turn:
            self._open()
            with self._locked():
                if self._frontier.count == 0:
                    self._began("")

    def append(self, event: AuditEvent) -> None:
        with self._turn, self._locked():
            self._write(event)
            pending = self._frontier.count - self._vouched
            if pending >= CHECKPOINT_EVENTS or self._clock() - self._waiting_since >= CHECKPOINT_S:
                try:
                    self._checkpoint()
                except OSError as error:  # the event is kept all the same
                    log.error("no audit checkpoint", extra={"cause": str(error)})
            if self._end >= self._segment_bytes:
                try:
                    self._rotate()
                except OSError as error:
                    log.error("the audit log is not rotated", extra={"cause": str(error)})

    def rotate(self) -> bool:
        """Puts the file aside and begins another, in which the chain goes on. False if there is
        nothing in it but that it was begun."""
        with self._turn, self._locked():
            if self._frontier.count - self._first < 2:
                return False
            self._rotate()
            return True

    def erase(self, text: str, by: str) -> int:
        """Takes out what is said of a person, wherever a field says exactly this: how many fields.
        The chain stays as it is, and holds that it was done."""
        with self._turn, self._locked():
            count = fields_that_say(self._folder, text)
            if count:
                self._write(AuditEvent(action=ERASURE, actor=by, detail={FIELDS: str(count)}))
                blank(self._folder, text)
            return count

    def settle(self) -> None:
        """Makes a checkpoint if one is due and brings what was written to the disk. Blocks for as
        long as the disk takes: to be called now and then, not on an event loop."""
        with self._turn:
            if self._fd < 0:
                return
            with self._locked():
                waiting = self._frontier.count > self._vouched
                if waiting and self._clock() - self._waiting_since >= CHECKPOINT_S:
                    self._checkpoint()
            if not self._dirty:
                return
            self._dirty = False
            descriptor = os.dup(self._fd)
        try:
            os.fdatasync(descriptor)  # not under the turn: an append must not wait for the disk
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """With a last checkpoint, so that all of it is vouched for. Idempotent."""
        with self._turn:
            if self._fd < 0:
                return
            with self._locked():
                if self._frontier.count > self._vouched:
                    self._checkpoint()
            os.fdatasync(self._fd)
            os.close(self._fd)
            self._fd = -1

    # --- under the turn

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o600)
        self._inode = os.fstat(self._fd).st_ino
        self._end = 0
        self._head = ZERO
        self._frontier = Frontier()
        self._vouched = 0
        """Events that the last checkpoint vouches for."""
        self._before = ZERO.hex()
        self._last: Checkpoint | None = None
        self._checkpoints_stamp = (0, 0)
        self._waiting_since = self._clock()
        self._first = 0
        """The number of the first event of the file."""
        self._begin_at_checkpoint()

    def _begin_at_checkpoint(self) -> None:
        """A long log is not read from its start: the last checkpoint holds all that is needed."""
        self._take_up_checkpoints()
        last, first = self._last, first_number(self._fd)
        frontier = None if last is None else last.frontier()
        if last is not None and frontier is not None:
            size = os.fstat(self._fd).st_size
            here = last.segment == first and last.end <= size
            put_aside = size == 0 and segment_path(self._folder, last.segment).exists()
            if here or put_aside or first == last.statement.size:
                self._frontier, self._end = frontier, last.end if here else 0
                self._head = bytes.fromhex(last.statement.head)
                self._first = last.segment if here else last.statement.size
                return
        for path in rotated(self._folder) if first != 0 else ():
            self._take_up_lines(path.read_bytes())
        self._first = self._frontier.count

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the file, and at its end."""
        self._lock()
        try:
            lost, self._lost = self._lost, None
            if lost is not None and self._end == 0:
                self._began(lost)
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _lock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        while not self._is_there():
            self._reopen()
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        size = os.fstat(self._fd).st_size
        if size != self._end:
            self._take_up(size)

    def _is_there(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode  # noqa: PTH116 - a third of the time
        except FileNotFoundError:
            return False

    def _reopen(self) -> None:
        """Another process rotated the file, or somebody took it away."""
        inodes = {path.stat().st_ino for path in rotated(self._folder)}
        if self._inode not in inodes:
            head, count = self._head.hex(), self._frontier.count
            self._lost = f"the file of {count} events up to {head} was moved or removed"
            log.error("the audit log was moved or removed", extra={"detail": str(self._path)})
        os.close(self._fd)
        self._open()

    def _rotate(self) -> None:
        """The checkpoint at its end is what the next file begins with. Raises OSError."""
        if self._frontier.count > self._vouched:
            self._checkpoint()
        os.fdatasync(self._fd)
        first = self._first
        rotate(self._folder, first)
        self._lock()  # of the next file; who waits for this one sees that it is put aside
        last = self._frontier.count - 1
        self._write(AuditEvent(action="audit.rotated", detail={"events": f"{first} to {last}"}))

    def _began(self, why: str) -> None:
        self._write(AuditEvent(action="audit.began", detail={"why": why} if why else {}))

    def _take_up(self, size: int) -> None:
        """What other processes appended. An incomplete line is one that its writer did not get to
        the end of (a full disk): nobody was told that it is kept, so it goes."""
        self._take_up_checkpoints()
        if size < self._end:
            # Somebody cut the file. We go on from what we know, so that it shows in the chain.
            log.error("the audit log was cut", extra={"detail": f"at {size} bytes"})
            self._end = size
            return
        before = self._frontier.count
        data = os.pread(self._fd, size - self._end, self._end)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._fd, self._end + whole)
        self._take_up_lines(data[:whole])
        self._end += whole
        if before <= self._vouched < self._frontier.count:
            self._waiting_since = self._clock()

    def _take_up_lines(self, data: bytes) -> None:
        for line in data.splitlines():
            try:
                read = decode_line(line)
                told = bytes.fromhex(read.hash)
            except (msgspec.MsgspecError, ValueError):
                log.error("the audit log is damaged: run `headrace audit verify`")
                continue
            if chained(self._head, bytes(read.event)) != told:
                log.error("the audit log was changed: run `headrace audit verify`")
            self._head = told
            self._frontier.add(leaf(bytes(read.event)))

    def _write(self, event: AuditEvent) -> None:
        body, said = encoded(event, self._frontier.count, self._clock(), self.scrub)
        head = chained(self._head, body)
        line = encode_line(head, body, said)
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self._end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._frontier.count == self._vouched:
            self._waiting_since = self._clock()
        self._end += written
        self._head = head
        self._frontier.add(leaf(body))
        self._dirty = True

    # --- checkpoints

    def _take_up_checkpoints(self) -> None:
        """The last checkpoint that any process made."""
        stamp = self._checkpoints_now()
        if stamp == self._checkpoints_stamp:
            return
        last = last_checkpoint(self._folder)
        self._checkpoints_stamp = stamp
        if last is not None:
            self._last, self._vouched = last, last.statement.size
            self._before = last.statement.digest()

    def _checkpoints_now(self) -> tuple[int, int]:
        """Which file it is, and its size."""
        try:
            found = self._checkpoints.stat()
        except FileNotFoundError:
            return (-1, 0)
        return (found.st_ino, found.st_size)

    def _checkpoint(self) -> None:
        self._take_up_checkpoints()  # another process may have made this one
        if self._vouched == self._frontier.count:
            return
        signer, frontier = self._known_signer(), self._frontier
        statement = Statement(
            size=frontier.count,
            head=self._head.hex(),
            root=frontier.root().hex(),
            at=round(self._clock(), 3),
            before=self._before,
            key=None if signer is None else signer.public.hex(),
        )
        made = Checkpoint(
            statement=statement,
            signature=None if signer is None else signer.sign(statement.encoded()).hex(),
            peaks=tuple(peak.hex() for peak in frontier.peaks),
            end=self._end,
            segment=self._first,
        )
        line = encode_checkpoint(made) + b"\n"
        self._append_checkpoint(line)
        self._last, self._vouched, self._before = made, statement.size, statement.digest()
        # Also a copy outside, where logs are shipped to.
        log.info("audit checkpoint", extra={"detail": line[: line.index(b',"peaks"')].decode()})

    def _known_signer(self) -> Signer | None:
        if not self._signer_known:
            self._signer_known = True
            try:
                self._signer = self._signer_of(self._folder)
            except Setup as fault:
                log.error("audit checkpoints are not signed", extra={"cause": str(fault)})
            else:
                if self._signer is None:
                    log.warning("audit checkpoints are not signed. %s", EXTRA_HINT)
        return self._signer

    def _append_checkpoint(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._checkpoints, flags, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        self._checkpoints_stamp = self._checkpoints_now()

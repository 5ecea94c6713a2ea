"""The audit log: what administrators did and which credentials were refused.

One file, and one hash chain, for all processes that share the store's folder: each appends under
a lock on the file, after taking up what others appended. So the order is one, and no process's
part can be removed as a whole. Lines are the kernel's when `append` returns, as the journal's
are; `settle` brings them to the disk. See `audit_chain` for the format, `audit_verify` for the
check.
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
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, field

from headrace.data.audit_chain import (
    ZERO,
    Checkpoint,
    Frontier,
    Statement,
    chained,
    decode_checkpoint,
    decode_line,
    encode_checkpoint,
    encode_line,
    leaf,
)
from headrace.data.audit_keys import EXTRA_HINT, Signer, own_signer
from headrace.errors import Setup

log = logging.getLogger("headrace.audit")

FILE_NAME = "audit.jsonl"
CHECKPOINTS_NAME = "audit-checkpoints.jsonl"
CHECKPOINT_EVENTS = 1000
CHECKPOINT_S = 60.0
TEXT_LIMIT = 200
"""Characters of one text of an event."""
DETAILS_LIMIT = 8
EVENT_BYTES = 1500
"""Of an event on disk: what keeps a proof for one below 4 KB."""


class AuditEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done. Texts are cut to `TEXT_LIMIT`; none may be a secret."""

    action: str
    """What, as `keys.create`, `auth.refused`."""
    actor: str = ""
    """Who: `key:NAME`, `user:NAME`, `local:USER` of the command line, "" if not known."""
    target: str = ""
    """To what: the id of a key, a team, ..."""
    outcome: Literal["done", "refused", "failed"] = "done"
    ip: str = ""
    """The address it came from."""
    tenant: str | None = None
    detail: dict[str, str] = field(default_factory=dict)
    """Further facts by name: what changed, why it was refused."""


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
    ) -> None:
        """`signer` is asked at the first checkpoint, since it takes a while to load; `clock` gives
        Unix seconds; `scrub` takes secrets out of each text."""
        self._folder = folder
        self._path = folder / FILE_NAME
        self._checkpoints = folder / CHECKPOINTS_NAME
        self._signer_of = signer
        self._signer: Signer | None = None
        self._signer_known = False
        self._clock = clock
        self.scrub = scrub
        self._turn = threading.Lock()
        self._encode = msgspec.json.Encoder().encode
        self._fd = -1
        self._dirty = False
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
        self._checkpoints_end = 0
        self._waiting_since = self._clock()
        self._begin_at_checkpoint()

    def _begin_at_checkpoint(self) -> None:
        """A long log is not read from its start: the last checkpoint holds all that is needed."""
        self._take_up_checkpoints()
        last = self._last
        frontier = None if last is None else last.frontier()
        if last is not None and frontier is not None and last.end <= os.fstat(self._fd).st_size:
            self._frontier, self._end = frontier, last.end
            self._head = bytes.fromhex(last.statement.head)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the file, and at its end."""
        self._reopen_if_moved()
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            size = os.fstat(self._fd).st_size
            if size != self._end:
                self._take_up(size)
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _reopen_if_moved(self) -> None:
        try:
            if os.stat(self._path).st_ino == self._inode:  # noqa: PTH116 - a third of the time
                return
        except FileNotFoundError:
            pass
        head, count = self._head.hex(), self._frontier.count
        log.error("the audit log was moved or removed", extra={"detail": str(self._path)})
        os.close(self._fd)
        self._open()
        if os.fstat(self._fd).st_size == 0:
            self._began(f"the file of {count} events up to {head} was moved or removed")

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
        for line in data[:whole].splitlines():
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
        self._end += whole
        if before <= self._vouched < self._frontier.count:
            self._waiting_since = self._clock()

    def _write(self, event: AuditEvent) -> None:
        body = self._encoded(event)
        head = chained(self._head, body)
        line = encode_line(head, body)
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

    def _encoded(self, event: AuditEvent) -> bytes:
        text = self._text
        known = AuditEvent(
            action=text(event.action),
            actor=text(event.actor),
            target=text(event.target),
            outcome=event.outcome,
            ip=text(event.ip),
            tenant=None if event.tenant is None else text(event.tenant),
            detail={text(k): text(v) for k, v in list(event.detail.items())[:DETAILS_LIMIT]},
        )
        prefix = b'{"n":%d,"at":%.3f,' % (self._frontier.count, self._clock())
        body = prefix + self._encode(known)[1:]
        if len(body) > EVENT_BYTES:
            short = msgspec.structs.replace(known, detail={"cut": "the details were too long"})
            body = prefix + self._encode(short)[1:]
        return body

    def _text(self, text: str) -> str:
        """Without secrets; cut only after, lest half of one remain."""
        return self.scrub(text)[:TEXT_LIMIT]

    # --- checkpoints

    def _take_up_checkpoints(self) -> None:
        """The last checkpoint that any process made."""
        try:
            with self._checkpoints.open("rb") as file:
                if os.fstat(file.fileno()).st_size == self._checkpoints_end:
                    return
                data = file.read()
        except FileNotFoundError:
            return
        self._checkpoints_end = len(data)
        for line in reversed(data.splitlines()):
            try:
                self._last = decode_checkpoint(line)
            except msgspec.MsgspecError:
                continue  # cut short by a full disk
            self._vouched = self._last.statement.size
            self._before = self._last.statement.digest()
            return

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
                    hint = f"audit checkpoints are not signed. {EXTRA_HINT}"
                    log.warning("no signatures", extra={"detail": hint})
        return self._signer

    def _append_checkpoint(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._checkpoints, flags, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._checkpoints_end = before + len(line)
        finally:
            os.close(descriptor)

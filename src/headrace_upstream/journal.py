"""The journal: one JSON line when a call is seen, before its answer, and one when it ended.

Lines are appended with one `os.write` each, so that processes may share a file and a line written
survives the process. With `fsync` it survives the machine too.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace_upstream.seen import Seen

_ENCODER = msgspec.json.Encoder()


class SeenLine(Struct, tag_field="event", tag="seen", kw_only=True):
    """A call has been read in full. Nothing of an answer has been sent yet.

    `attempt_id` is `x-gw-attempt-id`, `request_id` `x-request-id`, `retry_count`
    `x-stainless-retry-count`. `tokens_in` and `tokens_out` are what a complete answer reports.
    """

    seq: int
    pid: int
    time_s: float
    begun_ns: int
    tag: str
    method: str
    path: str
    model: str
    request_id: str | None
    attempt_id: str | None
    retry_count: str | None
    stream: bool
    status: int
    fault: str | None
    tokens_in: int
    tokens_out: int


class EndedLine(Struct, tag_field="event", tag="ended", kw_only=True):
    """How it ended: `completed`, `faulted` (as scripted) or `client_gone`."""

    seq: int
    pid: int
    ended: str
    ended_ns: int
    after_ms: float
    bytes_sent: int
    tokens_sent: int


Line = SeenLine | EndedLine


class Journal:
    """An append-only file of JSON lines."""

    def __init__(self, path: Path, fsync: bool = False) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._fsync = fsync
        self._pid = os.getpid()

    def seen(self, call: Seen) -> None:
        self._write(
            SeenLine(
                seq=call.seq,
                pid=self._pid,
                time_s=call.time_s,
                begun_ns=call.begun_ns,
                tag=call.tag,
                method=call.method,
                path=call.path,
                model=call.model,
                request_id=call.header("x-request-id"),
                attempt_id=call.header("x-gw-attempt-id"),
                retry_count=call.header("x-stainless-retry-count"),
                stream=call.stream,
                status=call.status,
                fault=call.fault,
                tokens_in=call.tokens_in,
                tokens_out=call.tokens_out,
            )
        )

    def ended(self, call: Seen) -> None:
        self._write(
            EndedLine(
                seq=call.seq,
                pid=self._pid,
                ended=call.ended,
                ended_ns=call.ended_ns,
                after_ms=round((call.ended_ns - call.begun_ns) / 1e6, 3),
                bytes_sent=call.bytes_sent,
                tokens_sent=call.tokens_sent,
            )
        )

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, line: Line) -> None:
        data = _ENCODER.encode(line) + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]
        if self._fsync:
            os.fsync(self._fd)


def read_journal(path: Path) -> list[Line]:
    """All complete lines. A last line cut short by a kill is left out."""
    text = path.read_bytes()
    complete = text[: text.rfind(b"\n") + 1]
    decoder = msgspec.json.Decoder(Line)
    return [decoder.decode(line) for line in complete.splitlines()]

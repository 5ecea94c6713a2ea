"""T27: whatever is done to the log's files shows, given the last signed checkpoint."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headrace.data.audit import AuditLog
from headrace.data.audit_chain import (
    Checkpoint,
    Frontier,
    chained,
    decode_checkpoint,
    decode_line,
    encode_checkpoint,
    encode_line,
)
from headrace.data.audit_event import AuditEvent
from headrace.data.audit_files import CHECKPOINTS_NAME, FILE_NAME
from headrace.data.audit_verify import ChainCheck, Report, check_statements, encode_proof, prove
from headrace.data.audit_verify import verify as verified

SOAK = "HEADRACE_SOAK" in os.environ
EVENTS, PLACES = (1_000_000, 1000) if SOAK else (6_000, 60)

Lines = list[bytes]


def _delete(lines: Lines, at: int, rng: random.Random) -> Lines:
    return lines[:at] + lines[at + 1 :]


def _edit(lines: Lines, at: int, rng: random.Random) -> Lines:
    """One bit of the line; or a fact of the event, with hashes to fit from there on is `_fork`."""
    line = bytearray(lines[at])
    line[rng.randrange(len(line))] ^= 1 << rng.randrange(7)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def _reorder(lines: Lines, at: int, rng: random.Random) -> Lines:
    other = at + 1 if at + 1 < len(lines) else at - 1
    changed = list(lines)
    changed[at], changed[other] = changed[other], changed[at]
    return changed


def _truncate(lines: Lines, at: int, rng: random.Random) -> Lines:
    return lines[:at]


def _fork(lines: Lines, at: int, rng: random.Random) -> Lines:
    """History as it should have been, with all hashes of the chain made to fit."""
    head = bytes.fromhex(decode_line(lines[at - 1]).hash) if at else bytes(32)
    made = lines[:at]
    for n, line in enumerate(lines[at:], at):
        event = bytes(decode_line(line).event)
        event = event.replace(b"key:root", b"key:fool") if n == at else event
        head = chained(head, event)
        made.append(encode_line(head, event))
    return made


TAMPERINGS: list[Callable[[Lines, int, random.Random], Lines]] = [
    _delete,
    _edit,
    _reorder,
    _truncate,
    _fork,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    log = AuditLog(folder, segment_bytes=1 << 40)  # one file: rotation has its own tests
    for i in range(EVENTS - 1):
        log.append(AuditEvent(action="keys.create", actor="key:root", target=str(i)))
    log.close()
    return folder


@pytest.fixture(scope="module")
def lines(folder: Path) -> Lines:
    return (folder / FILE_NAME).read_bytes().splitlines(keepends=True)


@pytest.fixture(scope="module")
def checkpoints(folder: Path) -> list[Checkpoint]:
    data = (folder / CHECKPOINTS_NAME).read_bytes()
    return [decode_checkpoint(line) for line in data.splitlines()]


def test_untouched_is_good(folder: Path, checkpoints: list[Checkpoint]) -> None:
    report = verified(folder, held=checkpoints[-1])
    assert report.problems == []
    assert report.events == report.vouched == EVENTS
    assert report.checkpoints == EVENTS // 1000
    assert report.signatures == "good"
    assert len(encode_proof(prove(folder, EVENTS // 3))) <= 4096


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__[1:])
def test_every_tampering_shows(
    tamper: Callable[[Lines, int, random.Random], Lines],
    lines: Lines,
    checkpoints: list[Checkpoint],
) -> None:
    """Each at random places. The check begins at the checkpoint before the place, for what stands
    before it is untouched, and is over at the first that does not hold."""
    rng = random.Random(f"27 {tamper.__name__}")
    for _ in range(PLACES):
        at = rng.randrange(EVENTS)
        start = at // 1000 * 1000
        stop = min(start + 3000, EVENTS)
        piece = tamper(lines[start:stop], at - start, rng)
        if tamper is not _truncate:
            piece += lines[stop : stop + 2]
        check = ChainCheck(checkpoint.statement for checkpoint in checkpoints)
        if start:
            before = checkpoints[start // 1000 - 1]
            check.head = bytes.fromhex(before.statement.head)
            frontier = before.frontier()
            assert frontier is not None
            check.frontier = Frontier(frontier.count, frontier.peaks)
        if all(check.feed(line) for line in piece):
            check.end()
        assert check.problem is not None, (tamper.__name__, at)


def _copy(folder: Path, to: Path, lines: Lines, checkpoints: list[Checkpoint]) -> Path:
    shutil.copytree(folder, to)
    (to / FILE_NAME).write_bytes(b"".join(lines))
    (to / CHECKPOINTS_NAME).write_bytes(
        b"".join(encode_checkpoint(checkpoint) + b"\n" for checkpoint in checkpoints)
    )
    return to


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__[1:])
def test_the_whole_check_finds_it(
    tamper: Callable[[Lines, int, random.Random], Lines],
    folder: Path,
    lines: Lines,
    checkpoints: list[Checkpoint],
    tmp_path: Path,
) -> None:
    """Also with all checkpoints but the one that is kept elsewhere gone or made to fit."""
    rng = random.Random(4)
    at = rng.randrange(EVENTS)
    changed = tamper(lines, at, rng)
    whole = _copy(folder, tmp_path / "whole", changed, checkpoints)
    assert verified(whole).problems
    bare = _copy(folder, tmp_path / "bare", changed, [])
    assert verified(bare, held=checkpoints[-1]).problems


@pytest.mark.parametrize("what", ["drop", "swap", "edit", "unsign", "sign", "last"])
def test_checkpoints_cannot_be_touched(what: str, checkpoints: list[Checkpoint]) -> None:
    rng = random.Random(what)
    for _ in range(60):
        at = rng.randrange(1, len(checkpoints) - 1)
        made = list(checkpoints)
        mine = made[at]
        match what:
            case "drop":
                del made[at]
            case "swap":
                made[at], made[at - 1] = made[at - 1], made[at]
            case "edit":
                forged = msgspec.structs.replace(mine.statement, head="00" * 32)
                made[at] = msgspec.structs.replace(mine, statement=forged)
            case "unsign":
                bare = msgspec.structs.replace(mine.statement, key=None)
                made[at] = Checkpoint(statement=bare)
            case "sign":
                signature = made[at - 1].signature
                made[at] = msgspec.structs.replace(mine, signature=signature)
            case "last":
                del made[-1]
        report = Report()
        check_statements(made, checkpoints[-1], None, report)
        assert report.problems, (what, at)

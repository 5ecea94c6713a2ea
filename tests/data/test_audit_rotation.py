"""The audit log goes on over its files: one chain, whoever rotates it and whatever is killed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from headrace.data import audit_files
from headrace.data.audit import AuditLog
from headrace.data.audit_event import AuditEvent
from headrace.data.audit_files import CHECKPOINTS_NAME, FILE_NAME, rotated, rotated_checkpoints
from headrace.data.audit_verify import check_proof, events, prove, verify
from headrace.errors import Setup
from support.audit_writers import NAMES, written_at_once

EVENT = AuditEvent(action="keys.create", actor="key:root", target="k1")
SMALL = 2_000


def filled(folder: Path, count: int = 40, segment_bytes: int = SMALL) -> None:
    log = AuditLog(folder, segment_bytes=segment_bytes)
    for _ in range(count):
        log.append(EVENT)
    log.close()


def numbers(folder: Path) -> list[int]:
    return [event["n"] for event in events(folder)]


def test_the_chain_goes_on_over_its_files(tmp_path: Path) -> None:
    filled(tmp_path)
    assert len(rotated(tmp_path)) >= 3
    assert len(rotated_checkpoints(tmp_path)) == len(rotated(tmp_path))
    assert all(path.stat().st_size < SMALL + 500 for path in rotated(tmp_path))
    report = verify(tmp_path)
    assert (report.problems, report.signatures, report.first) == ([], "good", 0)
    assert numbers(tmp_path) == list(range(report.events))
    assert report.vouched == report.events == 41 + len(rotated(tmp_path))
    for n in (0, report.events // 2, report.events - 1):
        assert check_proof(prove(tmp_path, n), None) == []


def test_it_goes_on_after_restarts(tmp_path: Path) -> None:
    for _ in range(12):
        filled(tmp_path, 5)
    report = verify(tmp_path)
    assert report.problems == []
    assert report.events == 1 + 60 + len(rotated(tmp_path))
    assert len(rotated(tmp_path)) >= 3


def test_processes_rotate_it_under_each_other(tmp_path: Path) -> None:
    written_at_once(tmp_path, 400, segment_bytes=5_000)
    report = verify(tmp_path)
    assert report.problems == []
    assert len(rotated(tmp_path)) > 20
    assert report.events == 1 + 4 * 400 + len(rotated(tmp_path))
    kept = list(events(tmp_path))
    for name in NAMES:
        mine = [event["target"] for event in kept if event.get("actor") == name]
        assert mine == [str(i) for i in range(400)]


@pytest.mark.parametrize("done", ["nothing", "log", "both", "created"])
def test_a_kill_within_a_rotation_loses_nothing(tmp_path: Path, done: str) -> None:
    filled(tmp_path, 20, segment_bytes=10**9)
    if done != "nothing":
        (tmp_path / FILE_NAME).rename(audit_files.segment_path(tmp_path, 0))
    if done in ("both", "created"):
        (tmp_path / CHECKPOINTS_NAME).rename(audit_files.checkpoints_path(tmp_path, 0))
    if done == "created":
        (tmp_path / FILE_NAME).touch()
    filled(tmp_path, 20)
    report = verify(tmp_path)
    assert report.problems == []
    assert report.events == 41 + len(rotated(tmp_path)) - (done not in ("nothing",))
    assert numbers(tmp_path) == list(range(report.events))


def test_a_log_that_lost_its_checkpoints_is_read_from_its_start(tmp_path: Path) -> None:
    filled(tmp_path)
    for path in (*rotated_checkpoints(tmp_path), tmp_path / CHECKPOINTS_NAME):
        path.unlink(missing_ok=True)
    before = len(numbers(tmp_path))
    filled(tmp_path, 3, segment_bytes=10**9)
    assert numbers(tmp_path) == list(range(before + 3))


def test_files_that_were_put_elsewhere_are_missed_or_vouched_for(tmp_path: Path) -> None:
    filled(tmp_path)
    gone = rotated(tmp_path)[:2]
    for path in gone:
        path.unlink()
    first = numbers(tmp_path)[0]
    assert verify(tmp_path).problems == [f"events 0 to {first - 1} are not here"]
    report = verify(tmp_path, partial=True)
    assert (report.problems, report.first, report.signatures) == ([], first, "good")
    with pytest.raises(Setup, match="first files are not here"):
        prove(tmp_path, first + 1)
    filled(tmp_path, 5)
    assert verify(tmp_path, partial=True).problems == []
    for path in rotated_checkpoints(tmp_path)[:1]:
        path.unlink()
    assert verify(tmp_path, partial=True).problems == []


def test_a_file_from_the_middle_is_missed_always(tmp_path: Path) -> None:
    filled(tmp_path)
    rotated(tmp_path)[2].unlink()
    assert verify(tmp_path).problems
    assert verify(tmp_path, partial=True).problems


@pytest.mark.parametrize("what", ["edit", "swap", "end", "forged start"])
def test_tampering_with_a_file_that_was_put_aside_shows(tmp_path: Path, what: str) -> None:
    filled(tmp_path, 60)
    rng, files = random.Random(what), rotated(tmp_path)
    path = files[2]
    lines = path.read_bytes().splitlines(keepends=True)
    match what:
        case "edit":
            path.write_bytes(path.read_bytes().replace(b"key:root", b"key:fool"))
        case "swap":
            other = files[3].read_bytes()
            files[3].write_bytes(path.read_bytes())
            path.write_bytes(other)
        case "end":
            path.write_bytes(b"".join(lines[: rng.randrange(len(lines))]))
        case "forged start":
            for gone in files[:3]:
                gone.unlink()
            lines = files[3].read_bytes().splitlines(keepends=True)
            files[3].write_bytes(b"".join(lines[1:]))
    assert verify(tmp_path, partial=True).problems


def test_nothing_is_put_aside_twice(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    assert not log.rotate()
    log.append(EVENT)
    assert log.rotate()
    assert not log.rotate()
    log.append(EVENT)
    other = AuditLog(tmp_path)
    assert other.rotate()
    log.append(EVENT)
    log.close()
    other.close()
    assert len(rotated(tmp_path)) == 2
    assert verify(tmp_path).problems == []
    assert [e["action"] for e in events(tmp_path)] == [
        "audit.began", "keys.create", "audit.rotated", "keys.create", "audit.rotated",
        "keys.create",
    ]  # fmt: skip

"""The audit log by itself: appended by several processes, cut, full, and its figures."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from headrace.data import audit_event, audit_files, audit_keys
from headrace.data.audit import AuditLog
from headrace.data.audit_event import AuditEvent
from headrace.data.audit_keys import own_signer
from headrace.data.audit_refusals import TOLD, WINDOW_S, Refusals
from headrace.data.audit_verify import (
    check_proof,
    decode_proof,
    encode_proof,
    events,
    prove,
    verify,
)
from headrace.errors import Setup
from support.audit_writers import NAMES, written_at_once

EVENT = AuditEvent(action="keys.create", actor="key:root", target="k1", detail={"team": "search"})


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_keeps_what_was_done(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(EVENT)
    log.close()
    began, event = events(tmp_path)
    assert began["action"] == "audit.began"
    assert event["n"] == 1
    assert (event["action"], event["actor"], event["target"]) == ("keys.create", "key:root", "k1")
    assert event["detail"] == {"team": "search"}
    report = verify(tmp_path)
    assert (report.events, report.vouched, report.signatures) == (2, 2, "good")
    assert not report.problems


def test_goes_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(4):
        log = AuditLog(tmp_path)
        log.append(EVENT)
        log.close()
    report = verify(tmp_path)
    assert report.events == 5
    assert report.checkpoints == 4
    assert not report.problems


def test_a_checkpoint_each_thousand_events_or_minute(tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(tmp_path, clock=clock)
    for _ in range(2500):
        log.append(EVENT)
    assert verify(tmp_path).checkpoints == 2
    log.settle()
    assert verify(tmp_path).checkpoints == 2
    clock.now += 61
    log.settle()
    log.settle()
    report = verify(tmp_path)
    assert (report.checkpoints, report.vouched) == (3, 2501)
    log.close()
    assert verify(tmp_path).checkpoints == 3


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    signer = own_signer(tmp_path)
    assert signer is not None
    assert stat.S_IMODE((tmp_path / audit_keys.KEY_NAME).stat().st_mode) == 0o600
    assert (tmp_path / audit_keys.PUBLIC_NAME).read_text().strip() == signer.public.hex()
    again = own_signer(tmp_path)
    assert again is not None
    assert again.public == signer.public
    assert len(list(tmp_path.iterdir())) == 2
    log = AuditLog(tmp_path)
    log.close()
    assert stat.S_IMODE((tmp_path / audit_files.FILE_NAME).stat().st_mode) == 0o600


def test_a_key_that_is_none_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / audit_keys.KEY_NAME).write_text("no key\n")
    with pytest.raises(Setup, match="does not hold"):
        own_signer(tmp_path)
    log = AuditLog(tmp_path)
    log.append(EVENT)
    log.close()
    assert "audit checkpoints are not signed" in caplog.text
    assert verify(tmp_path).signatures == "none"


def test_works_without_the_extra_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path, lambda folder: None)
    log.append(EVENT)
    log.close()
    assert "are not signed" in caplog.text
    report = verify(tmp_path)
    assert report.signatures == "none"
    assert not report.problems
    assert check_proof(prove(tmp_path, 1), None) == ["the checkpoint is not signed"]
    signed = AuditLog(tmp_path)
    signed.append(EVENT)
    signed.close()
    report = verify(tmp_path)
    assert report.signatures == "good"
    assert not report.problems


def test_processes_share_one_chain_whatever_is_killed(tmp_path: Path) -> None:
    written_at_once(tmp_path, 700)
    report = verify(tmp_path)
    assert report.problems == []
    assert report.events == 1 + 4 * 700
    kept = list(events(tmp_path))
    for name in NAMES:
        mine = [event["target"] for event in kept if event.get("actor") == name]
        assert mine == [str(i) for i in range(700)]


def test_what_a_full_disk_cut_short_goes(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(EVENT)
    with (tmp_path / audit_files.FILE_NAME).open("ab") as file:
        file.write(b'{"hash":"00')
    log.append(EVENT)
    log.close()
    report = verify(tmp_path)
    assert (report.events, report.problems) == (3, [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, log._fd)
    os.close(full)
    with pytest.raises(OSError, match="No space"):
        log.append(EVENT)


def test_a_file_that_was_moved_away_is_begun_anew_and_shows(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(EVENT)
    log.settle()
    (tmp_path / audit_files.FILE_NAME).rename(tmp_path / "elsewhere")
    log.append(EVENT)
    log.close()
    began = next(iter(events(tmp_path)))
    assert "moved or removed" in began["detail"]["why"]


def test_texts_are_bounded_and_scrubbed(tmp_path: Path) -> None:
    canary = "hunter2-" + "x" * 300
    log = AuditLog(tmp_path, scrub=lambda text: text.replace(canary, "***"))
    detail = {f"{i}-{'k' * 300}": "v" * 5000 for i in range(50)}
    log.append(AuditEvent(action="a" * 500, actor=canary, target="x" * 190 + canary, detail=detail))
    log.append(AuditEvent(action="test", detail={str(i): "\u0007" * 5000 for i in range(9)}))
    log.close()
    data = (tmp_path / audit_files.FILE_NAME).read_bytes()
    assert b"hunter2" not in data
    assert max(map(len, data.splitlines())) < audit_event.EVENT_BYTES + 100
    assert not verify(tmp_path).problems
    for n in (1, 2):
        assert len(encode_proof(prove(tmp_path, n))) <= 4096


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 64, 65])
def test_each_event_can_be_proved(tmp_path: Path, count: int) -> None:
    log = AuditLog(tmp_path)
    for _ in range(count - 1):
        log.append(EVENT)
    log.close()
    for n in range(count):
        proof = decode_proof(encode_proof(prove(tmp_path, n)))
        assert check_proof(proof, None) == []
        changed = encode_proof(proof).replace(b"audit.began", b"audit.begun").replace(b"k1", b"k2")
        assert check_proof(decode_proof(changed), None)
        assert check_proof(proof, "00" * 32)
    with pytest.raises(Setup, match="no checkpoint yet"):
        prove(tmp_path, count)


def test_a_flood_of_refusals_makes_few_events() -> None:
    refusals, told, now = Refusals(), [], 0.0
    for i in range(100_000):
        now = i / 1000
        event = refusals.note(f"2001:db8::{i % 50_000:x}", "unknown key", now)
        told += ([] if event is None else [event]) + refusals.due(now)
    told += refusals.rest()
    assert len(told) <= (100 / WINDOW_S + 1) * (2 * TOLD + 1)
    counted = sum(int(event.detail.get("again", "1")) for event in told)
    assert counted == 100_000


def test_the_first_refusal_is_told_at_once() -> None:
    refusals = Refusals()
    first = refusals.note("192.0.2.1", "expired", 5.0)
    assert first is not None
    assert first.detail == {"why": "expired"}
    assert refusals.note("192.0.2.1", "expired", 6.0) is None
    assert refusals.due(5.0 + WINDOW_S - 1) == []
    (again,) = refusals.due(5.0 + WINDOW_S)
    assert again.detail == {"why": "expired", "again": "1"}
    assert refusals.due(500.0) == []

"""A person's name and address can be taken out of the log; its chain and proofs stay good."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from headrace.data.audit import AuditLog
from headrace.data.audit_event import AuditEvent
from headrace.data.audit_files import FILE_NAME, rotated
from headrace.data.audit_said import ERASED
from headrace.data.audit_verify import (
    check_proof,
    decode_proof,
    encode_proof,
    events,
    prove,
    verify,
)

ANN, BEN, HOME = "token:idp:ann", "token:idp:ben", "203.0.113.77"


def filled(folder: Path) -> AuditLog:
    """Open, over several files: by two users, from one address, and by a key."""
    log = AuditLog(folder, segment_bytes=3_000)
    for _ in range(8):
        log.append(AuditEvent(action="keys.create", actor=ANN, target="k1", ip=HOME))
        log.append(AuditEvent(action="users.create", actor=BEN, target="ann", ip="192.0.2.1"))
        log.append(AuditEvent(action="keys.revoke", actor="key:abc", target="k1"))
    assert len(rotated(folder)) >= 2
    return log


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (*rotated(folder), folder / FILE_NAME))


def test_what_says_who_somebody_is_goes_and_all_else_stays(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.close()
    before = list(events(tmp_path))
    old = [prove(tmp_path, n) for n in (1, 2)]
    log = AuditLog(tmp_path, segment_bytes=3_000)
    assert log.erase(ANN, "local:root") == 8
    assert log.erase(HOME, "local:root") == 8
    assert log.erase("ann", "local:root") == 8
    assert log.erase("ann", "local:root") == 0
    log.close()
    data = bytes_of(tmp_path)
    assert ANN.encode() not in data
    assert HOME.encode() not in data
    report = verify(tmp_path)
    assert (report.problems, report.erased, report.signatures) == ([], 24, "good")
    after = list(events(tmp_path))
    gone = {ANN, HOME, "ann"}
    assert after[: len(before)] == [
        {name: ERASED if value in gone else value for name, value in event.items()}
        if all(isinstance(v, str | int | float) for v in event.values())
        else event
        for event in before
    ]
    assert [e["detail"]["fields"] for e in after if e["action"] == "audit.erased"] == ["8"] * 3
    for n, proof in enumerate(old, 1):
        assert check_proof(proof, None) == [], "a proof from before"
        assert check_proof(prove(tmp_path, n), None) == [], "a proof from after"


def test_who_has_the_log_open_goes_on(tmp_path: Path) -> None:
    log = filled(tmp_path)
    other = AuditLog(tmp_path)
    assert other.erase(BEN, "local:root") == 8
    log.append(AuditEvent(action="keys.create", actor=BEN))
    other.close()
    log.close()
    report = verify(tmp_path)
    assert (report.problems, report.erased) == ([], 8)
    assert list(events(tmp_path))[-1]["actor"] == BEN


def test_what_is_left_tells_nobody_that_two_were_the_same(tmp_path: Path) -> None:
    filled(tmp_path).close()
    kept = [line.split(b'"kept":')[1].split(b"}")[0] for line in bytes_of(tmp_path).splitlines()
            if ANN.encode() in line]  # fmt: skip
    assert len(set(kept)) == len(kept) == 8


@pytest.mark.parametrize("what", ["another", "by hand", "moved", "added", "all"])
def test_what_stands_beside_an_event_cannot_be_changed(tmp_path: Path, what: str) -> None:
    filled(tmp_path).close()
    path = rotated(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    mine = next(line for line in lines if ANN.encode() in line)
    other = next(line for line in lines if BEN.encode() in line)
    said = mine[mine.index(b',"said":') : -2]
    made = {
        "another": mine.replace(ANN.encode(), BEN.encode()),
        "by hand": mine.replace(said, b',"said":{}' + b" " * (len(said) - 10)),
        "moved": mine.replace(said, other[other.index(b',"said":') : -2]),
        "added": mine.replace(b',"said":{', b',"said":{"who":["x","y"],'),
        "all": mine.replace(said, b""),
    }[what]
    assert made != mine
    path.write_bytes(b"".join(made if line is mine else line for line in lines))
    assert verify(tmp_path).problems


def test_any_bit_of_a_line_that_says_or_said_something_counts(tmp_path: Path) -> None:
    """T27 for these lines."""
    log = filled(tmp_path)
    log.erase(HOME, "local:root")
    log.close()
    path, rng = rotated(tmp_path)[0], random.Random(27)
    data = path.read_bytes()
    assert verify(tmp_path).problems == []
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
        path.write_bytes(changed)
        assert verify(tmp_path).problems
    path.write_bytes(data)


def test_long_names_leave_room_for_proofs(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for text in ("\u0007" * 300, "ä" * 300, "x" * 300):
        detail = {str(i): text for i in range(8)}
        log.append(
            AuditEvent(action="users.create", actor=text, target=text, ip=text, detail=detail)
        )
    log.close()
    assert verify(tmp_path).problems == []
    for n in (1, 2, 3):
        proof = encode_proof(prove(tmp_path, n))
        assert len(proof) <= 4096
        assert check_proof(decode_proof(proof), None) == []
        forged = proof.replace(b'"said":{"actor":["', b'"said":{"actor":["x')
        assert check_proof(decode_proof(forged), None)

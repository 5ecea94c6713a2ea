"""Checks an audit log's files without the gateway, and proves single events. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from headrace.data.audit_chain import (
    ZERO,
    Checkpoint,
    Frontier,
    Statement,
    chained,
    decode_checkpoint,
    decode_line,
    leaf,
    path_ranges,
    root_by_path,
)
from headrace.data.audit_erasure import ERASURE, FIELDS
from headrace.data.audit_files import checkpoint_lines, last_checkpoint, lines
from headrace.data.audit_keys import can_sign, signature_holds
from headrace.data.audit_said import (
    Said,
    as_told,
    decode_numbered,
    disagrees,
    is_as_written,
    said_beside,
)
from headrace.errors import Setup


class Report(Struct):
    """What a check found."""

    events: int = 0
    first: int = 0
    """The number of the first event that is here: those before were put elsewhere."""
    checkpoints: int = 0
    vouched: int = 0
    """Events up to the last checkpoint; what is cut behind it does not show."""
    erased: int = 0
    """Fields that said who a person is, and were erased."""
    signatures: str = "none"
    """`good`, `none` (nothing is signed) or `unchecked` (the extra is missing)."""
    problems: list[str] = msgspec.field(default_factory=list)


class ChainCheck:
    """Follows the log line by line. `problem` is the first thing that does not hold."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self._statements: dict[int, list[Statement]] = {}
        for statement in statements:
            self._statements.setdefault(statement.size, []).append(statement)
        self.head = ZERO
        self.frontier = Frontier()
        self.problem: str | None = None
        self.erased = 0
        """Fields that are not there any more."""
        self.erased_told = 0
        """Fields that events say were erased."""

    def feed(self, line: bytes) -> bool:
        """One line with its end. False once something does not hold."""
        n = self.frontier.count
        try:
            read = decode_line(line)
            event = bytes(read.event)
            numbered = decode_numbered(event)
        except msgspec.MsgspecError:
            return self._fail(f"event {n} cannot be read")
        head = chained(self.head, event)
        if numbered.n != n:
            return self._fail(f"event {numbered.n} stands where event {n} should")
        if not is_as_written(line, head, read):
            return self._fail(f"event {n} was changed, or what stood before it")
        said = said_beside(read)
        if disagrees(numbered.kept, said):
            return self._fail(f"what stands beside event {n} was changed")
        self.erased += len(numbered.kept) - len(said)
        if numbered.action == ERASURE:
            self.erased_told += int(numbered.detail.get(FIELDS, "0"))
        self.head = head
        self.frontier.add(leaf(event))
        for statement in self._statements.get(n + 1, ()):
            if statement.head != head.hex() or statement.root != self.frontier.root().hex():
                return self._fail(f"the first {n + 1} events are not those of their checkpoint")
        return True

    def end(self) -> None:
        """There are no more lines."""
        missing = [size for size in self._statements if size > self.frontier.count]
        if self.problem is None and missing:
            self._fail(f"{self.frontier.count} events are left of {max(missing)} in a checkpoint")

    def _fail(self, problem: str) -> bool:
        self.problem = problem
        return False


def verify(
    folder: Path,
    *,
    held: Checkpoint | None = None,
    key: str | None = None,
    partial: bool = False,
) -> Report:
    """Checks all of the log in `folder`. `held` is a checkpoint kept elsewhere, `key` the public
    key (hexadecimal) kept elsewhere; without it the first one in the file is taken. `partial`: its
    first files may be elsewhere. Raises Setup if there is no log."""
    report = Report()
    found = list(_checkpoints(folder, report))
    report.checkpoints = len(found)
    check_statements(found, held, key, report, partial=partial)
    statements = [checkpoint.statement for checkpoint in found]
    if held is not None:
        statements.append(held.statement)
    chain = ChainCheck(statements)
    _begin(chain, _first_number(folder), found, report, partial=partial)
    for line in _lines(folder):
        if not chain.feed(line):
            break
    else:
        chain.end()
    if chain.problem is not None:
        report.problems.append(chain.problem)
    report.erased = chain.erased
    if chain.erased > chain.erased_told:
        report.problems.append(
            f"{chain.erased} fields were erased, and only {chain.erased_told} by a command"
        )
    report.events = chain.frontier.count
    report.vouched = max((statement.size for statement in statements), default=0)
    return report


def _first_number(folder: Path) -> int:
    """Of the first event that is here; 0 if it cannot be read."""
    for line in _lines(folder):
        try:
            return decode_numbered(decode_line(line).event).n
        except msgspec.MsgspecError:
            break
    return 0


def _begin(
    chain: ChainCheck, first: int, found: Sequence[Checkpoint], report: Report, *, partial: bool
) -> None:
    """Where the log's first files are elsewhere, at the checkpoint that was made when the last of
    them was put aside."""
    if first == 0:
        return
    report.first = first
    if not partial:
        report.problems.append(f"events 0 to {first - 1} are not here")
    start = next((each for each in found if each.statement.size == first), None)
    frontier = None if start is None else start.frontier()
    if start is None or frontier is None:
        report.problems.append(f"no checkpoint vouches for the {first} events that are not here")
    else:
        chain.head, chain.frontier = bytes.fromhex(start.statement.head), frontier


def check_statements(
    found: Sequence[Checkpoint],
    held: Checkpoint | None,
    key: str | None,
    report: Report,
    *,
    partial: bool = False,
) -> None:
    """Signatures, order and links of checkpoints, by themselves. `partial`: the first may be
    elsewhere."""
    before, size = ZERO.hex(), 0
    if partial and found:
        before = found[0].statement.before
    if key is None and held is not None:
        key = held.statement.key
    signed = False
    for checkpoint in found:
        statement = checkpoint.statement
        if statement.before != before:
            report.problems.append(f"a checkpoint before that of {statement.size} events is gone")
        if statement.size <= size:
            report.problems.append(f"the checkpoint of {statement.size} events is out of order")
        before, size = statement.digest(), statement.size
        if statement.key is None and not signed:
            continue  # the extra came later; the first signed one vouches for those before it
        signed, key = True, key or statement.key
        _check_signature(checkpoint, key, report)
    if key is not None and not signed:
        report.problems.append("no checkpoint is signed, though you hold a key")
    if held is not None:
        if key is not None:
            _check_signature(held, key, report)
        digests = {checkpoint.statement.digest() for checkpoint in found}
        if held.statement.digest() not in digests:
            report.problems.append("the checkpoint that you hold is not one of this log's")


def _check_signature(checkpoint: Checkpoint, key: str | None, report: Report) -> None:
    statement = checkpoint.statement
    of = f"the checkpoint of {statement.size} events"
    if key is None or statement.key != key:
        report.problems.append(f"{of} is not signed with the log's key")
    elif not can_sign():
        report.signatures = "unchecked"
    elif signature_holds(key, checkpoint.signature or "", statement.encoded()):
        report.signatures = "good"
    else:
        report.problems.append(f"the signature of {of} is wrong")


class Proof(Struct, frozen=True, forbid_unknown_fields=True):
    """That one event is in the log that a signed checkpoint vouches for."""

    event: msgspec.Raw
    said: dict[str, tuple[str, str]]
    """What it commits to: see `audit_said`."""
    path: tuple[str, ...]
    """Hexadecimal hashes, nearest first."""
    statement: Statement
    signature: str | None


encode_proof = msgspec.json.Encoder().encode
decode_proof = msgspec.json.Decoder(Proof).decode


def prove(folder: Path, n: int) -> Proof:
    """The proof for event `n`, by the last checkpoint. Raises Setup if there is none."""
    checkpoint = last_checkpoint(folder)
    size = 0 if checkpoint is None else checkpoint.statement.size
    if checkpoint is None or not 0 <= n < size:
        raise Setup(
            f"There is no checkpoint yet that vouches for event {n}: they go up to {size}.",
            "A checkpoint is made a minute after an event at the latest.",
        )
    ranges = path_ranges(n, size)
    parts = {r: Frontier() for r in ranges}
    mine: bytes | None = None
    said: Said = {}
    of_each = sorted((*ranges, (n, n + 1)))
    turn = iter(of_each)
    current = next(turn)
    if _first_number(folder):
        raise Setup(
            "The log's first files are not here, and a proof needs all of them.",
            "Put them back beside it, or into a copy of the folder.",
        )
    for at, line in enumerate(_lines(folder)):
        if at >= size:
            break
        if at >= current[1]:
            current = next(turn)
        try:
            read = decode_line(line)
            event = bytes(read.event)
        except msgspec.MsgspecError:
            raise Setup("The log is damaged.", "Run `headrace audit verify`.") from None
        if at == n:
            mine, said = event, said_beside(read)
        else:
            parts[current].add(leaf(event))
    path = [parts[r].root() for r in ranges]
    root = None if mine is None else root_by_path(leaf(mine), n, size, path)
    if mine is None or root is None or root.hex() != checkpoint.statement.root:
        raise Setup(
            "The log does not fit its last checkpoint, so nothing can be proved by it.",
            "Run `headrace audit verify`.",
        )
    return Proof(
        event=msgspec.Raw(mine),
        said=said,
        path=tuple(hash_.hex() for hash_ in path),
        statement=checkpoint.statement,
        signature=checkpoint.signature,
    )


def check_proof(proof: Proof, key: str | None) -> list[str]:
    """What does not hold; empty for a good proof. Raises Setup without the extra."""
    statement = proof.statement
    try:
        path = [bytes.fromhex(each) for each in proof.path]
        numbered = decode_numbered(bytes(proof.event))
        n = numbered.n
    except (ValueError, msgspec.MsgspecError):
        return ["it cannot be read"]
    problems = []
    if disagrees(numbered.kept, proof.said):
        problems.append("what stands beside the event is not what it commits to")
    inside = 0 <= n < statement.size
    root = root_by_path(leaf(bytes(proof.event)), n, statement.size, path) if inside else None
    if root is None or root.hex() != statement.root:
        problems.append("the path does not lead to the checkpoint's root")
    if key is not None and statement.key != key:
        problems.append("the checkpoint is not signed with the log's key")
    elif statement.key is None:
        problems.append("the checkpoint is not signed")
    elif not signature_holds(statement.key, proof.signature or "", statement.encoded()):
        problems.append("the signature is wrong")
    return problems


def events(folder: Path) -> Iterator[dict[str, Any]]:
    """All events as they stand, unchecked. Raises Setup if there is no log."""
    for line in _lines(folder):
        try:
            yield as_told(decode_line(line))
        except msgspec.MsgspecError:
            continue


def _lines(folder: Path) -> Iterator[bytes]:
    try:
        yield from lines(folder)
    except OSError as error:
        raise Setup(
            f"There is no audit log in {folder}: {error.strerror}.",
            "Name the store's folder, or the configuration that names it.",
        ) from error


def _checkpoints(folder: Path, report: Report) -> Iterator[Checkpoint]:
    for line in checkpoint_lines(folder):
        if not line:
            continue
        try:
            yield decode_checkpoint(line)
        except msgspec.MsgspecError:
            report.problems.append("a checkpoint cannot be read")

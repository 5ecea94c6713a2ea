"""`headrace audit`: list, verify, prove, check, export. Reads the store's files; needs no gateway
that runs."""

from __future__ import annotations

import json
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from headrace.data.audit import AuditLog
from headrace.data.audit_chain import Checkpoint, decode_checkpoint
from headrace.data.audit_erasure import fields_that_say
from headrace.data.audit_files import (
    CHECKPOINTS_NAME,
    FILE_NAME,
    rotated,
    rotated_checkpoints,
)
from headrace.data.audit_keys import EXTRA_HINT, PUBLIC_NAME
from headrace.data.audit_verify import (
    Report,
    check_proof,
    decode_proof,
    encode_proof,
    events,
    prove,
    verify,
)
from headrace.errors import Misused, Setup
from headrace.operate.finding import find_config
from headrace.operate.registry import user_name
from headrace.operate.tables import tally, wide_console

BAD = 1


def log_folder(folder: Path | None, config: Path | None) -> Path:
    """Raises Setup."""
    return folder if folder is not None else find_config(config).store_folder


def list_events(
    folder: Path, action: str | None, actor: str | None, limit: int, *, as_json: bool
) -> None:
    """Prints the last events that fit. Raises Setup."""
    if limit < 1:
        raise Misused(f"--limit cannot be {limit}.", "Write how many to show, 1 or more.")
    fitting = (e for e in events(folder) if _fits(e, action, actor))
    last = deque(fitting, maxlen=limit)
    if as_json:
        for event in last:
            print(json.dumps(event))
        return
    table = Table("n", "Time", "Action", "By", "Target", "Outcome", "Details", box=None)
    for event in last:
        detail = "; ".join(f"{k}: {v}" for k, v in event.get("detail", {}).items())
        by = " ".join(filter(None, (event.get("actor"), event.get("ip"))))
        time = datetime.fromtimestamp(event["at"], UTC).isoformat(" ", "seconds")
        outcome = event.get("outcome", "done")
        cells = (str(event["n"]), time[:19], event["action"], by, event.get("target", ""), outcome)
        table.add_row(*map(Text, (*cells, detail)))
    wide_console().print(table)


def _fits(event: dict[str, Any], action: str | None, actor: str | None) -> bool:
    name = event["action"]
    if action is not None and name != action and not name.startswith(f"{action}."):
        return False
    return actor is None or event.get("actor") == actor


def verify_log(
    folder: Path, checkpoint: Path | None, key: str | None, *, partial: bool, as_json: bool
) -> int:
    """Prints what was found; returns the exit code. Raises Setup."""
    held = None if checkpoint is None else _held(checkpoint)
    report = verify(folder, held=held, key=_key(key), partial=partial)
    if as_json:
        print(json.dumps({"ok": not report.problems, **msgspec.to_builtins(report)}))
    elif report.problems:
        for problem in report.problems:
            print(problem, file=sys.stderr)
    else:
        print(_good(report, held is not None))
    return BAD if report.problems else 0


def _good(report: Report, held: bool) -> str:
    lines = [f"{tally(report.events, 'event')}: nothing was changed."]
    if report.first:
        lines.append(
            f"The first {report.first} of them are not here: a checkpoint vouches for them."
        )
    behind = report.events - report.vouched
    vouching = (
        "1 checkpoint vouches"
        if report.checkpoints == 1
        else (f"{report.checkpoints:,} checkpoints vouch")
    )
    lines.append(f"{vouching} for all {f'but the last {behind}' if behind else 'of them'}.")
    match report.signatures:
        case "good":
            lines.append("Their signatures are good.")
        case "unchecked":
            lines.append(f"Their signatures were not checked. {EXTRA_HINT}")
        case _:
            lines.append("They are not signed: who can write the files could make all anew.")
    if report.erased:
        lines.append(f"Fields that said who a person is, and were erased: {report.erased}.")
    if not held:
        lines.append("Give --checkpoint, kept elsewhere, to know that the end was not cut.")
    return "\n".join(lines)


def rotate_log(folder: Path, *, as_json: bool) -> None:
    """Raises Setup."""
    with _there(folder), closing(AuditLog(folder)) as log:
        aside = rotated(folder)[-1] if log.rotate() else None
    if as_json:
        print(json.dumps({"put_aside": None if aside is None else str(aside)}))
    else:
        print(f"Put aside as {aside}." if aside else "There is nothing to put aside yet.")


def erase_from_log(folder: Path, text: str, *, sure: bool, as_json: bool) -> None:
    """Raises Setup."""
    if sure:
        with _there(folder), closing(AuditLog(folder)) as log:
            count = log.erase(text, f"local:{user_name()}")
    else:
        with _there(folder):
            count = fields_that_say(folder, text)
    if as_json:
        print(json.dumps({"fields": count, "erased": sure}))
    elif sure:
        print(f"Fields erased: {count}. Copies elsewhere still have them.")
    else:
        again = "Nothing was erased: add --yes. It cannot be undone." if count else ""
        print(f"Fields that say so: {count}. {again}".rstrip())


@contextmanager
def _there(folder: Path) -> Iterator[None]:
    """For what needs a log in the folder, and its files. Raises Setup."""
    if not (folder / FILE_NAME).exists():
        raise Setup(f"There is no audit log in {folder}.", "Name the store's folder.")
    try:
        yield
    except OSError as error:
        raise Setup(
            f"The audit log in {folder} cannot be written: {error.strerror}.",
            "Run this as the user that runs the gateway.",
        ) from error


def print_proof(folder: Path, number: int) -> None:
    """Raises Setup."""
    if number < 0:
        raise Misused(f"There is no event {number}.", "`headrace audit list` shows their numbers.")
    print(encode_proof(prove(folder, number)).decode())


def check_proof_file(file: Path, key: str | None) -> int:
    """Prints whether it holds; returns the exit code. Raises Setup."""
    public = _key(key)
    try:
        proof = decode_proof(_read(file))
    except msgspec.MsgspecError:
        raise Setup(f"{file} is not a proof.", "`headrace audit prove N` prints one.") from None
    problems = check_proof(proof, public)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return BAD
    print(bytes(proof.event).decode())
    for name, (_, text) in proof.said.items():
        print(f"{name}: {text}")
    print(f"It is in the log of {proof.statement.size} events signed by {proof.statement.key}.")
    if key is None:
        print("Give --key, kept elsewhere, to know that this is your log's key.")
    return 0


def export_log(folder: Path, to: Path) -> None:
    """Raises Setup. The checkpoints first: the log may grow meanwhile, and must hold all that they
    vouch for."""
    if to.exists() and any(to.iterdir()):
        raise Setup(f"{to} is not empty.", "Name a new folder.")
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in (CHECKPOINTS_NAME, FILE_NAME, PUBLIC_NAME):
            if (folder / name).exists():
                shutil.copyfile(folder / name, to / name)
        for path in (*rotated_checkpoints(folder), *rotated(folder)):
            shutil.copyfile(path, to / path.name)
    except OSError as error:
        raise Setup(f"The log cannot be copied to {to}: {error.strerror}.") from error
    if not (to / FILE_NAME).exists():
        raise Setup(f"There is no audit log in {folder}.", "Name the store's folder.")
    print(f"Copied to {to}. Check it with `headrace audit verify --folder {to}`.")


def _held(path: Path) -> Checkpoint:
    """The last checkpoint of a file: a copy of the log's own, or one line of it."""
    for line in reversed(_read(path).splitlines()):
        try:
            return decode_checkpoint(line)
        except msgspec.MsgspecError:
            continue
    raise Setup(f"There is no checkpoint in {path}.", f"Keep a copy of {CHECKPOINTS_NAME}.")


def _key(given: str | None) -> str | None:
    if given is None:
        return None
    text, hint = given.strip(), f"Give {PUBLIC_NAME}, or the 64 digits that it holds."
    if Path(text).is_file():
        key = _public_key(_read(Path(text)).decode("ascii", "replace").strip())
        if key is None:
            raise Setup(f"There is no public key in {text}.", hint)
    else:
        key = _public_key(text)
        if key is None:
            raise Misused("This is neither a public key nor a file that holds one.", hint)
    return key


def _public_key(text: str) -> str | None:
    """The text as it is compared, None if it is no key."""
    try:
        return text.lower() if len(bytes.fromhex(text)) == 32 else None
    except ValueError:
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Setup(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error

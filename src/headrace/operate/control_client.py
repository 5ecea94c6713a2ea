"""`headrace backends` and `headrace why`: ask the workers of a running gateway by their sockets."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.table import Table

from headrace.config.loading import Loaded
from headrace.edge.worker_sockets import ask_each
from headrace.errors import Setup
from headrace.gateway.step_words import IN_WORDS
from headrace.operate.tables import wide_console


def ask_workers(
    folder: Path, method: str, target: str, body: bytes | None = None
) -> list[tuple[int, Any]]:
    """Status and answer of each worker that runs. Raises Setup if there is none."""
    try:
        answers = ask_each(folder, method, target, body)
        if not answers and folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "no sockets can be seen")
    except PermissionError as error:
        raise Setup(
            f"This user may not open the sockets in {folder}.",
            "Run it as the user that runs the gateway.",
        ) from error
    except (OSError, ValueError) as error:
        raise Setup("The gateway's workers do not answer.", "Try again shortly.") from error
    if not answers:
        raise Setup(
            f"No gateway runs with the store {folder}.",
            "Run this where `headrace serve` was started, or name its file with --config.",
        )
    return answers


def list_backends(loaded: Loaded, *, as_json: bool) -> int:
    """Prints how each backend fares in each worker; returns the exit code."""
    rows = [row for _, told in ask_workers(loaded.store_folder, "GET", "/backends") for row in told]
    if as_json:
        print(json.dumps(rows))
        return 0
    table = Table(
        "Backend", "State", "May be asked", "Why", "Again in", "Running", "Failing", "Worker"
    )
    for row in rows:
        table.add_row(
            row["name"],
            row["state"],
            "yes" if row["may_be_asked"] else "no",
            row["why"],
            "" if row["in_s"] is None else f"{row['in_s']} s",
            f"{row['running']} of {row['limit']}",
            "" if row["failure_share"] is None else f"{100 * row['failure_share']:.0f} %",
            str(row["pid"]),
        )
    wide_console().print(table)
    return 0


def change_backend(loaded: Loaded, name: str, verb: str, *, as_json: bool) -> int:
    """Isolates or restores a backend in all workers; returns the exit code. Raises Setup."""
    from headrace.operate.audited import tell  # the registry, which other commands do without

    folder = loaded.store_folder
    known = {row["name"] for _, rows in ask_workers(folder, "GET", "/backends") for row in rows}
    if name not in known:  # so that no event tells of what no gateway did
        raise Setup(f"There is no backend {name!r}.", "See `headrace backends list`.")
    tell(loaded, f"backends.{verb}", name, {})
    answers = ask_workers(folder, "POST", f"/backends/{quote(name, safe='')}/{verb}")
    for status, told in answers:
        if status != 200:
            raise Setup(f"{told['error']}.", "See `headrace backends list`.")
    state = answers[0][1]["state"]
    done = {"name": name, "state": state, "workers": len(answers)}
    print(json.dumps(done) if as_json else f"{name}: {state}")
    return 0


def explain_call(loaded: Loaded, call_id: str, *, as_json: bool) -> int:
    """Prints the decisions of a call, for machines as JSON lines, or else what the ledger has of
    it; returns the exit code. Raises Setup if neither is known."""
    try:
        decisions = _remembered(loaded.store_folder, call_id)
    except Setup:
        from headrace.operate.recorded_calls import print_recorded  # the ledger, else done without

        if print_recorded(loaded, call_id, as_json=as_json):
            return 0
        raise
    for decision in decisions:
        print(json.dumps(decision) if as_json else _in_words(decision))
    return 0


def _remembered(folder: Path, call_id: str) -> list[dict[str, Any]]:
    for status, told in ask_workers(folder, "GET", f"/calls/{quote(call_id, safe='')}"):
        if status == 200:
            return list(told)
    raise Setup(
        f"No worker remembers the call {call_id}, and the ledger does not have it.",
        "The last thousand calls that were refused and that met with trouble are remembered; all "
        "that have ended are in the ledger a moment later. What the cache did for one: `headrace "
        "cache why REQUEST_ID`. Why a key or an access token was refused: `headrace audit list "
        "--action auth.refused`.",
    )


def _in_words(decision: dict[str, Any]) -> str:
    did = IN_WORDS.get(decision["did"], decision["did"])
    line = f"{_time(decision['at_s'])}  " + " ".join(filter(None, (decision.get("backend"), did)))
    if decision.get("why"):
        line += f": {decision['why']}"
    if decision.get("took_s") is not None:
        line += f" ({_time(decision['took_s']).strip()})"
    return line


def _time(seconds: float) -> str:
    return f"{seconds:7.2f} s " if seconds >= 1 else f"{1000 * seconds:7.1f} ms"

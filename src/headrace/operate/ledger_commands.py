"""`headrace ledger verify`."""

from __future__ import annotations

import json
import sys

import msgspec
from rich.console import Console

from headrace.config.loading import Loaded
from headrace.data.database import DatabaseAway
from headrace.data.ledger_verify import verify
from headrace.errors import Setup
from headrace.operate.faults import print_fault
from headrace.operate.ledger_faults import remedy, unreadable
from headrace.operate.tables import tally
from headrace.operate.usage_commands import open_ledger


def verify_ledger(loaded: Loaded, *, as_json: bool) -> int:
    """Prints what is wrong; returns the exit code: 1 if anything is."""
    kept = open_ledger(loaded)
    told = Console(stderr=True)
    try:
        with told.status("Reading the ledger") as status:
            report = verify(
                kept, loaded.store_folder, lambda rows: status.update(f"Read {tally(rows, 'row')}")
            )
    except DatabaseAway as error:
        raise unreadable(loaded, error) from error
    finally:
        kept.close()
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        print(
            f"{tally(report.rows, 'row')} in {tally(len(report.ends), 'chain')}, "
            f"{tally(report.journal_calls, 'call')} of the journal"
        )
        for finding in report.findings:
            print(json.dumps(finding, ensure_ascii=False)[1:-1])
        print("Something is wrong." if report.findings else "All of it fits.")
    if report.damaged:
        print_fault(
            Setup("The ledger is damaged.", remedy(loaded.store_folder, loaded.config.store))
        )
    return 1 if report.findings else 0

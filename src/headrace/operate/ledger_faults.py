"""What to do about a ledger that cannot be read."""

from __future__ import annotations

from pathlib import Path

from headrace.config.loading import Loaded
from headrace.config.storing import Store
from headrace.data.database import DatabaseDamaged
from headrace.data.databases import FILE_NAME
from headrace.data.segments import DRAINED, segments
from headrace.errors import Setup

PAGE = 'docs/ledger.md, "A damaged ledger"'


def unreadable(loaded: Loaded, fault: Exception) -> Setup:
    """For a command that reads it."""
    if isinstance(fault, DatabaseDamaged):
        return Setup(
            f"The ledger is damaged: {fault}.", remedy(loaded.store_folder, loaded.config.store)
        )
    return Setup(
        f"The ledger cannot be read: {fault}.",
        "See that its database is up and its file is whole; a gateway that starts makes tables "
        "that are not there yet.",
    )


def remedy(folder: Path, store: Store) -> str:
    """What mends a damaged file, and what of it comes back from the journal."""
    drained = folder / DRAINED
    hours = f"{store.journal_keep_hours:g} h"
    back = (
        f"Then move the files of {drained} up into {folder}: from them the next start stores the "
        f"calls of the last {hours} again."
        if segments(drained)
        else f"The journal keeps no file that was stored (`store.journal_keep_hours`: {hours}), "
        "so only calls that wait to be stored come back."
    )
    return (
        "`headrace ledger verify` tells what can be read. To begin anew, stop the gateway and "
        f"move {folder / FILE_NAME} away, with its -wal and -shm; put a copy from a backup in its "
        f"place if there is one. {back} See {PAGE}."
    )

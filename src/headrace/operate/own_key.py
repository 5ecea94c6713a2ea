"""The key of a gateway whose operator configured none."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.data.registry.key_text import CLIENT, mint, new_id
from headrace.errors import Setup
from headrace.platform.secrets import Secret

FILE_NAME = "key"
PREFIX = "hr_"


def own_key(folder: Path) -> tuple[Secret, bool]:
    """The key in the store's folder, made at the first start; and whether it was made now.

    Only the gateway's own user may read the file; `headrace chat` takes it from there. Raises
    Setup if the folder cannot be written.
    """
    found = stored_key(folder)
    if found is not None:
        return found, False
    text = mint(CLIENT, new_id())
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / FILE_NAME
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)  # what was there before may have been open to others
            file.write(text + "\n")
    except OSError as error:
        raise Setup(
            f"The store's folder {folder} cannot be written: {error.strerror}.",
            "Start Headrace where it may write, or set `store.folder` in headrace.yaml.",
        ) from error
    return Secret(text), True


def stored_key(folder: Path) -> Secret | None:
    """The key in the store's folder, None if there is none."""
    try:
        text = (folder / FILE_NAME).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Secret(text) if text.startswith(PREFIX) and len(text) > 30 else None

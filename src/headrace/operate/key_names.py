"""Names of virtual keys: the ledger knows a key by its id, and people by its name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from headrace.config.loading import Loaded
from headrace.data.databases import database_url
from headrace.data.registry.opening import open_registry
from headrace.data.registry.records import key_of
from headrace.data.registry.rows import Rows, Wanted
from headrace.data.registry.sqlite import FILE_NAME
from headrace.errors import Misused
from headrace.platform.secrets import Secrets

MOST = 500
"""Keys that are looked up for one table; further ones go by their ids."""


def labels_of(loaded: Loaded, ids: Iterable[str]) -> dict[str, str]:
    """Such as `shop (8a0aLxQYbUSZ)`, by id. Keys of the configuration go by their names already."""
    found: dict[str, str] = {}
    with _registry(loaded) as rows:
        if rows is not None:
            for id in list(dict.fromkeys(ids))[:MOST]:
                for row in rows.page(Wanted("key", id=id), None, 1):
                    found[id] = f"{row.label} ({id})"
    return found


def with_key_id(loaded: Loaded, where: Mapping[str, str]) -> dict[str, str]:
    """The same conditions, with a key's id in place of its name. Raises Misused if several have
    that name: one that is revoked was used, too."""
    said, keys = where.get("key"), []
    with _registry(loaded) as rows:
        if said and rows is not None and not rows.page(Wanted("key", id=said), None, 1):
            keys = [key_of(row) for row in rows.page(Wanted("key", label=said), None, 100)]
    if len(keys) > 1:
        ids = ", ".join(
            key.id if key.revoked_unix_s is None else f"{key.id} (revoked)" for key in keys[:5]
        )
        raise Misused(f"{len(keys)} keys have the name {said!r}.", f"Name one by its id: {ids}.")
    return {**where, "key": keys[0].id} if keys else dict(where)


@contextmanager
def _registry(loaded: Loaded) -> Iterator[Rows | None]:
    """None where there is none. One that cannot be read ends the look-up: names are a comfort, and
    the ledger can be read without."""
    secrets = Secrets(os.environ, loaded.folder)
    url = database_url(loaded.config.store, secrets, time.monotonic())
    if url is None and not (loaded.store_folder / FILE_NAME).exists():
        yield None
        return
    rows = open_registry(loaded.store_folder, url)
    try:
        with suppress(OSError):
            yield rows
    finally:
        rows.close()

"""Names of virtual keys: the ledger knows a key by its id, and people by its name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from headrace.console.page import Visit
from headrace.gateway.administration.faults import Denied, Why

MOST = 200
"""Keys that are looked up for one page; further ones go by their ids."""


async def names_of(visit: Visit, ids: Iterable[str]) -> dict[str, str]:
    """By id, of those that this person may see. Keys of the configuration go by their names
    already."""
    names = {}
    for id in list(dict.fromkeys(ids))[:MOST] if visit.may("get_key") else ():
        with suppress(Denied):
            names[id] = (await visit.ask("get_key", path={"id": id})).name
    return names


async def key_id_of(visit: Visit, said: str) -> str:
    """Of the key that has this name; else it is an id. Raises Denied, Refusal."""
    if not visit.may("list_keys"):
        return said
    keys = (await visit.ask("list_keys", query={"name": said, "limit": "5"})).items
    if len(keys) > 1:
        ids = ", ".join(f"{key.id} (revoked)" if key.state == "revoked" else key.id for key in keys)
        raise Denied(Why.INVALID, f"Several keys are called {said!r}. Search by an id: {ids}.")
    return str(keys[0].id) if keys else said

"""Items that a request names by their ids in place of sending them, as some SDKs do of themselves.

https://platform.openai.com/docs/api-reference/responses/create (`item_reference`). What the gateway
keeps is put where it was named; what a provider keeps goes to the backend that made it. A provider
gives an item to whoever uses its key, so only those of the caller's own tenant are let through.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from headrace.data.response_store import KeptResponse
from headrace.errors import Reason, Refused
from headrace.services.dialects.responses_answering import OWN

_TYPE = "item_reference"
_QUOTED = b'"item_reference"'
_OF_OWN = re.compile(r"[a-z]+_([0-9a-f]{48})[0-9a-f]{3,}")
"""An item's id that this gateway gave, with that of its response."""

Find = Callable[[str], Awaitable[KeptResponse | None]]
"""What is kept of the caller's tenant under a name. Raises Refused."""


class Followed(NamedTuple):
    """A request's items. `backend` keeps what is still only named, of `tokens` at most."""

    items: list[Raw]
    backend: str | None
    tokens: int


class _Item(Struct, gc=False):
    type: object = None
    role: object = None
    id: object = None

    @property
    def stands_for_another(self) -> bool:
        """It says so, or has but an id."""
        return self.type == _TYPE or (self.type is None and self.role is None)


_items = msgspec.json.Decoder(list[_Item])
_lists = msgspec.json.Decoder(list[Raw])
_one = msgspec.json.Decoder(_Item)


def key_of(item: str) -> str:
    """The name under which it is kept who has an item."""
    return f"item {item}"


def ids_of(output: list[Raw]) -> list[str]:
    """The ids of items, of those that have one."""
    return [id for raw in output if isinstance(id := _one.decode(raw).id, str) and id]


def names_items(value: bytes) -> bool:
    """Whether the member `input` has such items. Raises Refused if it is nothing known."""
    if not value.startswith(b"["):
        return False
    # The bytes too: of two members of one name, readers differ on which one holds.
    return _QUOTED in value or any(item.stands_for_another for item in _read(value))


async def followed(value: bytes, find: Find) -> Followed:
    """What the member `input` has, with the items that the gateway keeps. Raises Refused."""
    return await _Following(find).all(_read(value), _lists.decode(value))


class _Following:
    """From the last item to the first: what is kept of a response holds what went before it."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._known: dict[str, Raw] = {}
        self._tokens: dict[str, int] = {}
        self._backends: set[str] = set()

    async def all(self, items: list[_Item], raws: list[Raw]) -> Followed:
        for at in reversed(range(len(raws))):
            if items[at].stands_for_another:
                raws[at] = await self._meant(items[at].id)
            elif _QUOTED in bytes(raws[at]):
                raise _refused(
                    "An item of the input has 'item_reference' beside what it is. Send either the "
                    "item itself, or its 'type' and 'id' alone."
                )
        if len(self._backends) > 1:
            raise _refused(
                "The items that the input names are kept by different backends. Send the items "
                "themselves."
            )
        backend = next(iter(self._backends), None)
        return Followed(raws, backend, sum(self._tokens.values()))

    async def _meant(self, id: object) -> Raw:
        """The item itself, or its name where the provider keeps it."""
        if not isinstance(id, str):
            raise _refused("An 'item_reference' needs the 'id' of the item.")
        if id not in self._known and (own := _OF_OWN.fullmatch(id)):
            kept = await self._find(OWN + own[1])
            if kept is not None and kept.items:
                self._learn(_lists.decode(kept.items))
        if id in self._known:
            return self._known[id]
        there = await self._find(key_of(id))
        if there is None or there.backend is None:
            raise Refused(
                Reason.UNKNOWN_RESPONSE,
                f"There is no item {id[:80]!r}, or it is kept no longer. Send the item itself: "
                "SDKs do with `store: false`.",
                param="input",
            )
        self._backends.add(there.backend)
        self._tokens[id] = there.tokens
        return Raw(msgspec.json.encode({"type": _TYPE, "id": id}))

    def _learn(self, raws: list[Raw]) -> None:
        for raw in raws:
            if isinstance(id := _one.decode(raw).id, str):
                self._known.setdefault(id, raw)


def _read(value: bytes) -> list[_Item]:
    try:
        return _items.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        raise _refused("'input' must be text or a list of items.") from None


def _refused(detail: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, detail, param="input")

"""Answers that replicas share by Redis or Valkey.

Each is one key, which ends with it. What is kept, dropped and purged is told in a stream
(`redis_stream.py`), which each worker reads from its oldest entry on, so that all of them know the
same questions. While the server is away, a worker goes on with what it knows, and tells what it
kept later.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.data.answer_file import AnswerRow, decode, encode
from headrace.data.redis_link import Command, RedisAway, RedisLink
from headrace.gateway.cache.outbox import Change, Outbox
from headrace.gateway.cache.redis_stream import RedisStream, checked
from headrace.gateway.cache.shelf import Follower, Key

log = logging.getLogger("headrace.cache")

LOOK_S = 0.05
"""A call waits so long at most for the server."""
REST_S = 5.0
"""After a call waited in vain, none asks for so long."""
READ_AT_ONCE = 64
SCANNED_AT_ONCE = 1_000
_KEEP, _DROP, _PURGE = b"keep", b"drop", b"purge"


class RedisShelf:
    """One worker's part."""

    def __init__(self, link: RedisLink, prefix: str, most: int) -> None:
        """`most` answers are told of; older ones are still found word by word."""
        self._link = link
        self._most = most
        self._answers = f"{prefix}answer:"
        self._stream = RedisStream(link, f"{prefix}answers")
        self._own = secrets.token_hex(8).encode()
        self._follower: Follower | None = None
        self._outbox = Outbox(self._stream.tell)
        self._rests_until = 0.0

    searches = False

    def follow(self, follower: Follower) -> None:
        self._follower = follower
        self._stream.look()

    async def run(self) -> None:
        """Reads and tells, until it is cancelled."""
        await self._stream.run(self._read, self._tell)

    async def rows(self, now: float, most: int) -> AsyncIterator[list[AnswerRow]]:
        """None: the stream brings them."""
        none: tuple[list[AnswerRow], ...] = ()
        for rows in none:
            yield rows

    async def get(self, key: Key) -> AnswerRow | None:
        now = time.monotonic()
        if now < self._rests_until or not self._link.up:
            return None
        try:
            async with asyncio.timeout(LOOK_S):
                (data,) = await self._link.ask([("GET", self._name(key))])
        except TimeoutError:
            self._rests_until = now + REST_S
            return None
        except RedisAway:
            return None
        row = _row(data)
        return row if row is not None and (row.partition, row.exact) == key else None

    async def nearest(
        self, around: Key, vector: Any, count: int
    ) -> Sequence[tuple[AnswerRow, float]]:
        """Nothing: the follower has an index of its own."""
        return ()

    def keep(self, row: AnswerRow) -> None:
        self._outbox.keep(row)

    def drop(self, key: Key) -> None:
        self._outbox.drop(key)

    def evicted(self, key: Key) -> None:
        """Other workers may have room for it."""

    def purge(self, partition: str | None) -> None:
        self._outbox.purge(partition)

    async def close(self) -> None:
        """Tells what is still to be told, unless the server is away."""
        try:
            await self._tell()
        except RedisAway as error:
            log.warning("answers are not shared", extra={"cause": str(error)})

    # Telling

    async def _tell(self) -> None:
        """Raises RedisAway; what could not be told waits."""
        await self._outbox.send(self._purge, self._change)

    async def _change(self, part: Sequence[Change]) -> None:
        commands: list[Command] = []
        for key, row in part:
            commands += self._dropping(key) if row is None else self._keeping(key, row)
        await self._link.ask([*commands, self._stream.announced()])

    def _keeping(self, key: Key, row: AnswerRow) -> list[Command]:
        left_ms = int((row.until - time.time()) * 1000)
        if left_ms <= 0:
            return []
        return [
            ("SET", self._name(key), encode(row), "PX", left_ms),
            self._entry(_KEEP, key[0].encode(), key[1]),
        ]

    def _dropping(self, key: Key) -> list[Command]:
        return [("DEL", self._name(key)), self._entry(_DROP, key[0].encode(), key[1])]

    def _entry(self, what: bytes, partition: bytes, exact: bytes) -> Command:
        trimmed = ("XADD", self._stream.name, "MAXLEN", "~", self._most, "*")
        return (*trimmed, "by", self._own, "what", what, "in", partition, "of", exact)

    async def _purge(self, partition: str | None) -> None:
        """Others are told last: who was told may ask for an answer, and must not find it here."""
        pattern = f"{self._answers}{'' if partition is None else _digest(partition)}*"
        cursor: Any = b"0"
        while True:
            scan: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED_AT_ONCE)
            ((cursor, names),) = checked(await self._link.ask([scan]))
            if names:
                await self._link.ask([("UNLINK", *names)])
            if int(cursor) == 0:
                break
        told = self._entry(_PURGE, b"" if partition is None else partition.encode(), b"")
        await self._link.ask([told, self._stream.announced()])

    def _name(self, key: Key) -> str:
        return f"{self._answers}{_digest(key[0])}:{key[1].hex()}"

    # Hearing

    async def _read(self) -> None:
        """Raises RedisAway."""
        follower = self._follower
        if follower is None:
            return
        await self._begin_again_if_cut(follower)
        async for entries in self._stream.unread(READ_AT_ONCE):
            await self._take(entries, follower)
            self._stream.read_to = entries[-1][0]
            await follower.caught_up()

    async def _begin_again_if_cut(self, follower: Follower) -> None:
        """Where the stream has lost entries that were not read, a drop may be among them."""
        if self._stream.read_to == b"0-0":
            return
        oldest: Command = ("XRANGE", self._stream.name, "-", "+", "COUNT", 1)
        (entries,) = checked(await self._link.ask([oldest]))
        if not entries or _place(entries[0][0]) > _place(self._stream.read_to):
            self._stream.read_to = b"0-0"
            follower.purged_elsewhere(None)

    async def _take(self, entries: Sequence[Any], follower: Follower) -> None:
        heard = [_Told.of(fields) for _, fields in entries]
        told = [one for one in heard if one is not None and one.by != self._own]
        kept = [one.key for one in told if one.what == _KEEP]
        rows: dict[Key, AnswerRow | None] = {}
        if kept:
            replies = await self._link.ask([("GET", self._name(key)) for key in kept])
            rows = {key: _row(data) for key, data in zip(kept, replies, strict=True)}
        for one in told:
            row = rows.get(one.key)
            if one.what == _KEEP and row is not None and (row.partition, row.exact) == one.key:
                follower.kept_elsewhere(row)
            elif one.what == _DROP:
                follower.dropped_elsewhere(one.key)
            elif one.what == _PURGE:
                follower.purged_elsewhere(one.key[0] or None)


class _Told(NamedTuple):
    """An entry of the stream."""

    by: bytes
    what: bytes
    key: Key

    @classmethod
    def of(cls, told: Mapping[bytes, bytes]) -> _Told | None:
        """None for what another version may have written."""
        try:
            return cls(told[b"by"], told[b"what"], (told[b"in"].decode(), told[b"of"]))
        except (KeyError, UnicodeDecodeError):
            return None


def _row(data: Any) -> AnswerRow | None:
    """None for what is no answer. One of a host whose clock is ahead was kept now."""
    if not isinstance(data, bytes):
        return None
    try:
        row = decode(data)
    except msgspec.MsgspecError as error:
        log.warning("an answer in redis cannot be read", extra={"cause": str(error)})
        return None
    return msgspec.structs.replace(row, kept_at=min(row.kept_at, time.time()))


def _digest(partition: str) -> str:
    return hashlib.sha256(partition.encode()).hexdigest()[:32]


def _place(identifier: bytes) -> tuple[int, ...]:
    """Of an entry in the stream."""
    return tuple(int(part) for part in identifier.split(b"-"))

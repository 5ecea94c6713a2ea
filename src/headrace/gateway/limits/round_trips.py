"""One worker's round trips to the shared counters: what is told and asked, packed for the script on
the server, and its answer. Nothing told is counted twice, even if an answer was lost."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from headrace.data.redis_link import Command, RedisAway, RedisLink
from headrace.gateway.limits.measures import AtOnce, Budget, Rate
from headrace.gateway.limits.shares import US, Report

log = logging.getLogger("headrace.limits")

SCRIPT = Path(__file__).with_name("counters.lua").read_bytes()
KEPT_AFTER_S = 2 * 86_400

Ask = tuple[list[tuple[Raw, int, int]], bool, bool]
"""Counters with the amount that is needed and the calls that a share is wanted for; whether the
price is known, whether the answer has a bound."""

pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, list[Any], list[Any]]).decode


class Answer(Struct, frozen=True):
    workers: int
    """That live."""
    heard: list[list[Any]] | None
    """A reply to each report; None if they were heard before and the answer to that was lost."""
    verdicts: list[list[Any]]


class RoundTrips:
    """One at a time."""

    def __init__(self, link: RedisLink, prefix: str, worker: str, by_own_clock: bool) -> None:
        """`by_own_clock` takes instants from the caller, for tests."""
        self._link = link
        self._prefix = prefix
        self._worker = worker
        self._by_own_clock = by_own_clock
        self._digest = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()
        self._number = 0
        self._unheard: Sequence[Report] = ()

    @property
    def up(self) -> bool:
        return self._link.up

    async def make(self, reports: Sequence[Report], asks: Sequence[Ask], unix: float) -> Answer:
        """Raises RedisAway; the reports are then told again by the next, which can take no others.
        The server knows them by their number."""
        if not self._unheard and reports:
            self._number += 1
            self._unheard = reports
        job = pack(
            {
                "w": self._worker,
                "p": self._prefix,
                "n": int(unix * US) if self._by_own_clock else 0,
                "b": [(self._number, self._unheard)] if self._unheard else [],
                "t": asks,
            }
        )
        try:
            workers, heard, verdicts = _unpack(await self._evaluate(job))
        except msgspec.MsgspecError as error:
            raise RedisAway(f"no answer of the script: {error}") from error
        self._unheard = ()
        return Answer(max(1, workers), heard[0] or None if heard else [], verdicts)

    async def _evaluate(self, job: bytes) -> bytes:
        for command in (("EVALSHA", self._digest, 0, job), ("EVAL", SCRIPT, 0, job)):
            sent: Command = command
            reply = await self._link.ask_one(sent)
            if isinstance(reply, bytes):
                return reply
            why = str(reply)
            if not why.startswith("NOSCRIPT"):
                break
        log.error("redis refused the counters' script", extra={"cause": why})
        raise RedisAway(f"the script failed: {why}")


def rate_spec(key: str, rate: Rate) -> Raw:
    """How the script is told of a rate."""
    kind = 2 if rate.unit == "tokens" else 1
    return Raw(pack((kind, key, rate.step_s * US, rate.burst_s * US, rate.quota)))


def at_once_spec(key: str, one: AtOnce) -> Raw:
    return Raw(pack((3, key, one.most)))


def budget_spec(key: str, budget: Budget, ends_at: float) -> Raw:
    """`ends_at` is Unix seconds, the end of the period that `key` is for."""
    needs_price = budget.unit == "usd" and budget.unpriced == "refuse"
    expires_ms = int((ends_at + KEPT_AFTER_S) * 1000)
    return Raw(
        pack((4, key, budget.cap, int(budget.stop), int(needs_price), expires_ms, int(ends_at)))
    )

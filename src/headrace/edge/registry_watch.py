"""Keeps one worker's keyring up with the registry: a look at its revision twice a second.

A key that was made, changed or revoked anywhere is so here within a second. No call waits for it.
While the registry cannot be read, what is known goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from headrace.data.registry.records import UnitRecord
from headrace.data.registry.rows import Row, Rows, Unreachable
from headrace.errors import Setup
from headrace.gateway.keyring import Keyring, UnitName

log = logging.getLogger("headrace.registry")

LOOK_S = 0.5
AT_ONCE = 500
"""Keys that are taken up between two calls; more are prepared beside."""


class RegistryWatch:
    """`keyring` is what calls look up in."""

    def __init__(
        self,
        rows: Rows,
        on_kind: Callable[[], None],
        written: Mapping[UnitName, UnitRecord] | None = None,
    ) -> None:
        """`on_kind` is called when the first key with limits or budgets has come, and the first
        that goes by addresses. `written` are the tenants, teams and users of the configuration."""
        self.keyring = Keyring(written)
        self._on_kind = on_kind
        self._rows = rows
        self._away = False
        self.known = True
        """The registry was read since the start."""

    def load(self) -> None:
        """Before the first call. While a server is away, the gateway begins without its keys and
        is not ready. Raises Setup if the registry is there but cannot be read."""
        try:
            self.keyring.become(self._all())
        except Unreachable as error:
            self.known = False
            self._tell_away(error)
        except OSError as error:
            raise Setup(
                f"The keys in the registry cannot be read: {error}.",
                "Mend what is the matter with it, or put a copy from a backup in its place.",
            ) from error

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception as error:
                self._tell_away(error)
            else:
                self.known = True
                self._tell_back()

    async def look(self) -> None:
        """Takes up what has changed. Raises OSError."""
        before = self.keyring.bounded, self.keyring.by_address
        found = await asyncio.to_thread(self._changed, self.keyring.revision)
        if isinstance(found, Keyring):
            self.keyring.become(found)
        elif found:
            self.keyring.take(found)
            log.info("keys taken up", extra={"detail": f"changed rows: {len(found)}"})
        after = self.keyring.bounded, self.keyring.by_address
        if any(now and not then for now, then in zip(after, before, strict=True)):
            self._on_kind()

    def close(self) -> None:
        self._rows.close()

    def _changed(self, known: int) -> list[Row] | Keyring:
        revision = self._rows.revision()
        stale = self.keyring.stale
        if revision == known and self.known and not stale:
            return []
        rows = self._rows.since(known) if revision > known else []
        if stale or not rows or len(rows) > AT_ONCE or self.keyring.concerns_units(rows):
            return self._all()  # an older copy was put back, or what holds for many has changed
        return rows

    def _all(self) -> Keyring:
        made = self.keyring.empty()
        made.take(self._rows.since(0))
        return made

    def _tell_away(self, error: Exception) -> None:
        if not self._away:
            extra = {"detail": "what is known goes on", "cause": f"{error}"}
            log.error("the registry cannot be read", extra=extra)
        self._away = True

    def _tell_back(self) -> None:
        if self._away:
            log.info("the registry can be read again", extra={})
        self._away = False

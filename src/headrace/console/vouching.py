"""Somebody for whom an identity provider spoke, and who it is asked about again.

A session outlives what was so when it began: people leave groups, and the company. So the provider
is asked every few minutes, by the refresh token that it gave. While it is away its last word
stands, for no longer than the session does: in an outage the console is needed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec.structs import replace

from headrace.config.terms import networks_of
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant
from headrace.gateway.administration.sign_in import SignedIn, SignIn
from headrace.gateway.callers import is_from

log = logging.getLogger("headrace.console")


class Vouched:
    """One session's. For the loop's thread."""

    def __init__(
        self, sign_in: SignIn, came: SignedIn, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sign_in = sign_in
        self._known = came
        self._clock = clock
        self._asked_at = clock()
        self._asking: asyncio.Task[None] | None = None
        self._refused: Denied | None = None

    @property
    def grant(self) -> Grant:
        """By the provider's last word."""
        return self._known.grant

    async def prove(self, ip: str) -> Grant:
        """What they may do who come from `ip` now. Raises Denied(UNAUTHENTICATED)."""
        if self._asking is None and self._is_due():
            self._asking = asyncio.create_task(self._ask(ip), name="sign-in")
        if self._asking is not None:
            # Who no longer waits must not end it: a refresh token often counts once.
            await asyncio.shield(self._asking)
        if self._refused is not None:
            refused = self._refused
            raise Denied(Why.UNAUTHENTICATED, refused.detail) from refused.__cause__
        ranges = self.grant.ip_ranges
        if ranges is not None and not is_from(ip, networks_of(ranges)):
            raise Denied(Why.UNAUTHENTICATED, "You may not administer from your address.")
        return replace(self.grant, ip=ip)

    def _is_due(self) -> bool:
        every_s = self._sign_in.terms.recheck_s
        return self._known.refresh is not None and self._clock() - self._asked_at >= every_s

    async def _ask(self, ip: str) -> None:
        try:
            self._known = await self._sign_in.again(self._known, ip)
        except Denied as denied:
            if denied.why is not Why.UNAVAILABLE:
                self._refused = denied
            cause = denied.detail if denied.__cause__ is None else str(denied.__cause__)
            log.warning(
                "somebody who is signed in could not be asked about"
                if denied.why is Why.UNAVAILABLE
                else "somebody who was signed in is so no more",
                extra={"detail": self.grant.actor, "cause": cause},
            )
        finally:
            self._asked_at, self._asking = self._clock(), None

"""Fetches an issuer's keys: discovery, JWKS, over our own transport. One fetch at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from headrace.platform.http.documents import DocumentError
from headrace.platform.oidc.jose import Jose, PublicKey
from headrace.platform.oidc.key_set import KeySet

log = logging.getLogger("headrace.oidc")

DOCUMENT_BYTES = 512 * 1024
FETCH_S = 8.0
"""Discovery and keys together."""
DISCOVERED_S = 3600.0

Fetch = Callable[[str, int], Awaitable[bytes]]
"""A document by its URL and the bytes that it may have at most. Raises DocumentError."""


class KeyPlace(Struct, frozen=True):
    """Where an issuer's keys are."""

    issuer: str
    jwks_url: str | None
    """None: it is in the discovery document."""
    discovery_url: str
    allow_private: bool = False


class _Discovery(Struct):
    issuer: str
    jwks_uri: str


class IssuerKeys:
    """The keys of one issuer, kept fresh. `now` is monotonic seconds; `clock` gives it."""

    def __init__(
        self, place: KeyPlace, jose: Jose, fetch: Fetch, clock: Callable[[], float]
    ) -> None:
        self.place = place
        self.set = KeySet()
        self._jose = jose
        self._fetch = fetch
        self._clock = clock
        self._jwks_url = place.jwks_url
        self._discovered_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    def find(self, kid: str | None, algorithm: str, now: float) -> PublicKey | None:
        """The key that a token names, if it is known. Asks for new ones if these are old."""
        if self.set.stale(now) and self.set.slot_in_s(now) <= 0 and not self.set.empty:
            self._start(now)
        return self.set.find(kid, algorithm)

    def fetch_for(self, kid: str | None, now: float) -> asyncio.Task[None] | None:
        """The fetch that may bring a key that was not found; None if none is due."""
        if self._fetching is None and self.set.wanted(kid, now):
            self._start(now)
        return self._fetching

    def looked_for(self, kid: str | None) -> None:
        """After a fetch that was made for a `kid`: remembers one that is not in the new set."""
        if kid is not None:
            self.set.looked_for(kid, self._clock())

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _start(self, now: float) -> None:
        self.set.claim(now)
        self._fetching = asyncio.get_running_loop().create_task(self._run(), name="issuer's keys")
        self._fetching.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _run(self) -> None:
        """Logs what fails: tokens whose keys are known go on."""
        try:
            async with asyncio.timeout(FETCH_S):
                keys = self._jose.keys(await self._document())
        except (DocumentError, ValueError, TimeoutError) as error:
            self._discovered_at = float("-inf")  # it may have moved
            self._tell(str(error) or f"no answer within {FETCH_S:g} s")
            return
        except Exception:
            log.exception("the keys of an issuer cannot be read")
            return
        if not self.set.take(keys, self._clock()):
            self._tell("there is no key for signatures in the set")

    async def _document(self) -> bytes:
        place = self.place
        if place.jwks_url is None and self._clock() - self._discovered_at >= DISCOVERED_S:
            data = await self._fetch(place.discovery_url, DOCUMENT_BYTES)
            try:
                found = msgspec.json.decode(data, type=_Discovery)
            except msgspec.MsgspecError:
                raise ValueError("it is no discovery document") from None
            if found.issuer != place.issuer:
                raise ValueError("the discovery document is another issuer's")
            if place.discovery_url.startswith("https:") and not found.jwks_uri.startswith("https:"):
                raise ValueError("the discovery document names keys without TLS")
            self._jwks_url, self._discovered_at = found.jwks_uri, self._clock()
        assert self._jwks_url is not None
        return await self._fetch(self._jwks_url, DOCUMENT_BYTES)

    def _tell(self, why: str) -> None:
        text = f"{self.place.issuer}: {why}"
        if self.set.empty:
            log.error("no keys of an issuer, its tokens are refused", extra={"cause": text})
        else:
            log.warning("keys of an issuer not renewed, known ones go on", extra={"cause": text})

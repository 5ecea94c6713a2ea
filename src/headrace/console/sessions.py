"""Who is signed in: kept in this process's memory, and gone with it.

A session holds the credential itself, and each request proves it anew: a key that was revoked, has
expired or comes from elsewhere opens nothing from that moment on. Where an identity provider said
who it is, the session holds what that gave, and by what the provider can be asked again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from headrace.console.vouching import Vouched
from headrace.platform.secrets import Secret

LONGEST_S = 12 * 3600.0
IDLE_S = 2 * 3600.0
MOST = 1_000


class Session:
    """`csrf` stands in each of its forms."""

    __slots__ = ("client_key", "csrf", "ends", "notices", "proof", "seen")

    def __init__(self, proof: Secret | Vouched, now: float, ends: float) -> None:
        self.proof = proof
        self.csrf = secrets.token_urlsafe(24)
        self.seen = now
        self.ends = ends
        self.client_key: Secret | None = None
        """What the playground calls with."""
        self.notices: list[str] = []
        """Sentences for the next page."""

    def is_of_form(self, token: str) -> bool:
        return hmac.compare_digest(self.csrf.encode(), token.encode("utf-8", "replace"))


class Sessions:
    """By the digests of their tokens; the one that was used longest ago makes room."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, proof: Secret | Vouched, lasts_s: float = LONGEST_S) -> str:
        """Of a credential that was proved, or of what a provider's word gave. Returns the token for
        the cookie."""
        token, now = secrets.token_urlsafe(32), self._clock()
        self._known[_digest(token)] = Session(proof, now, now + min(lasts_s, LONGEST_S))
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return token

    def find(self, token: str | None) -> Session | None:
        """None if it is not known or over. Counts as use."""
        if token is None:
            return None
        name, now = _digest(token), self._clock()
        session = self._known.get(name)
        if session is None:
            return None
        if now > session.ends or now - session.seen > IDLE_S:
            del self._known[name]
            return None
        session.seen = now
        self._known.move_to_end(name)
        return session

    def end(self, token: str | None) -> None:
        """Idempotent."""
        if token is not None:
            self._known.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

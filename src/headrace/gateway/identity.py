"""Who calls: a key proves a caller. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from headrace.errors import Reason, Refused
from headrace.nouns import Caller


def fingerprint(secret: bytes) -> bytes:
    """What a key is looked up by: BLAKE2, which needs half of SHA-256's time here. Keys hold 128
    bits and more of chance, so that no slow hash is needed, and a look-up by digest tells nothing
    by its time."""
    return hashlib.blake2b(secret, digest_size=32).digest()


class Identity:
    """Callers by the fingerprint of their key."""

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        self._callers = dict(callers)

    def identify(self, credential: bytes | None) -> Caller:
        """Raises Refused(UNAUTHENTICATED)."""
        if credential is None:
            raise Refused(
                Reason.UNAUTHENTICATED,
                "No API key was sent. Send yours as `Authorization: Bearer KEY`, `api-key: KEY` or "
                "`x-api-key: KEY`.",
            )
        caller = self._callers.get(fingerprint(credential))
        if caller is None:
            raise Refused(
                Reason.UNAUTHENTICATED,
                "This API key is not known here. Check that you copied it whole and that it was "
                "not revoked; whoever runs this gateway can give you a new one.",
            )
        return caller

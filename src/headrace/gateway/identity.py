"""Who calls: a key proves a caller. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.data.registry.key_text import digest, is_mistyped
from headrace.errors import Reason, Refused
from headrace.gateway.keyring import Keyring
from headrace.gateway.tokens import BEGINS, Tokens
from headrace.nouns import Caller

_UNKNOWN = (
    "This API key is not known here. Check that you copied it whole and that it was "
    "not revoked; whoever runs this gateway can give you a new one."
)
_MISTYPED = (
    "This API key is not as it was given out: a part is missing or mistyped. Copy it whole, from "
    "`hr_` to its last letter."
)


def fingerprint(secret: bytes) -> bytes:
    """What a key is looked up by. Keys hold 128 bits and more of chance, so that no slow hash is
    needed, and a look-up by digest tells nothing by its time: nobody can make a key whose digest
    is near another's."""
    return digest(secret)


class Identity:
    """Callers by the fingerprint of their key: those of the configuration and of the registry,
    which change while this is in use."""

    def __init__(
        self,
        keyring: Keyring,
        clock: Callable[[], float] = time.time,
        tokens: Tokens | None = None,
    ) -> None:
        self._keyring = keyring
        self._clock = clock
        self._tokens = tokens

    def identify(
        self, credential: bytes | None, ip: str = "", printed: bytes | None = None
    ) -> Caller:
        """`ip` is the client's address, `printed` the credential's `fingerprint` where it was taken
        before. Raises Refused(UNAUTHENTICATED, ADDRESS_FORBIDDEN,
        ACCESS_NOT_GRANTED), and KeysAwaited for a token whose key is being fetched."""
        if credential is None:
            raise Refused(
                Reason.UNAUTHENTICATED,
                "No API key was sent. Send yours as `Authorization: Bearer KEY`, `api-key: KEY` or "
                "`x-api-key: KEY`.",
            )
        wanted = digest(credential) if printed is None else printed
        known = self._keyring.known.get(wanted) or self._keyring.own.get(wanted)
        if known is None and self._tokens is not None and credential.startswith(BEGINS):
            known = self._tokens.prove(credential, wanted).known
        if known is None:
            mistyped = is_mistyped(credential)  # asked of every key, for the sake of equal times
            raise Refused(Reason.UNAUTHENTICATED, _MISTYPED if mistyped else _UNKNOWN)
        if known.conditions is not None:
            known.conditions.check(self._clock(), ip)
        return known.caller

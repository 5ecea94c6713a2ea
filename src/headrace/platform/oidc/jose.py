"""Signatures, by joserfc. The one module that imports it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from headrace.errors import Setup, install_extra

KEYS_LIMIT = 100
_LEAST_MODULUS, _MOST_MODULUS = 342, 1366
"""Characters of a modulus in base64: 2048 bits at least, and so few that a check is quick."""
HEADER_BYTES = 4096

_KINDS = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Of each algorithm: the type and curve that its keys have. There is none with a shared secret."""
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")


class PublicKey(Struct, frozen=True):
    """A key of a provider's set."""

    kid: str | None
    kind: tuple[str, str | None]
    """Type, and curve if it has one."""
    algorithm: str | None
    """The only one that it is for, if its provider says so."""
    key: Any
    """joserfc's."""

    def fits(self, algorithm: str) -> bool:
        return self.algorithm in (None, algorithm) and _KINDS.get(algorithm) == self.kind


class Jose:
    """Reads key sets and checks signatures. Raises Setup if the extra is not installed."""

    def __init__(self) -> None:
        try:
            from joserfc import jwk, jws
            from joserfc.errors import JoseError
        except ImportError:
            raise Setup(
                "Access tokens (`oidc` in headrace.yaml) need a library that is not installed.",
                install_extra("oidc"),
            ) from None

        class Registry(jws.JWSRegistry):
            max_header_length = HEADER_BYTES

        self._jwk, self._jws, self._fault = jwk, jws, JoseError
        self._registries = {name: Registry(None, [name], False) for name in _KINDS}

    def keys(self, document: bytes) -> list[PublicKey]:
        """The keys of a JWKS document that can check signatures (RFC 7517); others in it are
        passed over. Raises ValueError for what is no JWKS."""
        try:
            members = msgspec.json.decode(document, type=_Document).keys
        except msgspec.MsgspecError:
            raise ValueError("it is no JWKS document") from None
        keys = [self._key(member) for member in members[:KEYS_LIMIT]]
        return [key for key in keys if key is not None]

    def _key(self, member: Mapping[str, Any]) -> PublicKey | None:
        kind = (str(member.get("kty")), None if "crv" not in member else str(member["crv"]))
        kid, algorithm = member.get("kid"), member.get("alg")
        operations = member.get("key_ops")
        if (
            kind not in _KINDS.values()
            or member.get("use", "sig") != "sig"
            or (operations is not None and "verify" not in operations)
            or not isinstance(kid, str | None)
            or (algorithm is not None and algorithm not in _KINDS)
        ):
            return None
        public = {name: member[name] for name in _PUBLIC if name in member}
        try:
            if kind[0] == "RSA" and not _LEAST_MODULUS <= len(public["n"]) <= _MOST_MODULUS:
                return None
            key = self._jwk.import_key(public)
            _ = key.public_key  # it is made here, so that a point off its curve shows now
        except (self._fault, ValueError, TypeError, KeyError, AttributeError):
            return None
        return PublicKey(kid=kid, kind=kind, algorithm=algorithm, key=key)

    def signed(self, token: str, algorithm: str, key: PublicKey) -> bool:
        """Whether the compact token is signed with the key. `algorithm` is not taken from it."""
        try:
            if algorithm != "EdDSA":
                return self._check(token, algorithm, key)
            with warnings.catch_warnings():  # RFC 9864 has a better name for it; providers use it
                warnings.simplefilter("ignore")
                return self._check(token, algorithm, key)
        except (self._fault, ValueError, TypeError, KeyError):
            return False

    def _check(self, token: str, algorithm: str, key: PublicKey) -> bool:
        """True, or raises."""
        registry = self._registries[algorithm]
        self._jws.deserialize_compact(token, key.key, algorithms=[algorithm], registry=registry)
        return True


class _Document(Struct):
    keys: list[dict[str, Any]]

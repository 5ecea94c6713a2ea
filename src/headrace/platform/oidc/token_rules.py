"""Whether a token is good: the rules of RFC 8725 and RFC 9068, apart from its signature. Pure.

The header is read for what it must not say; which algorithm and which keys count is the issuer's
configuration. Causes are for the log and never quote the token.
"""

from __future__ import annotations

import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
from msgspec import Struct

TOKEN_BYTES = 16 * 1024
KID_LIMIT = 64
_SHAPE = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")
_FORBIDDEN = ("jku", "x5u", "jwk", "x5c", "crit", "b64", "zip", "enc")
"""Keys that a token brings itself, and extensions, which are all unknown here."""
_KID = re.compile(r"[\x20-\x7e]+\Z")

Claims = dict[str, Any]


class Rejected(Exception):  # noqa: N818 - reads as what happened: the token was rejected
    """The token is not good; says why, without a word of it."""


class Rules(Struct, frozen=True):
    """Of one issuer."""

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    token_type: str | None = None
    """What `typ` in the header must be, in lower case and without `application/`."""
    leeway_s: float = 30.0
    directory: str | None = None
    """What Entra's `tid` must be."""
    required: tuple[tuple[str, frozenset[str]], ...] = ()
    """Claims, and the values of which each must have one."""


class Parsed(Struct, frozen=True):
    """A token that was taken apart, and nothing of which is to be believed yet."""

    token: str
    algorithm: str
    kid: str | None
    token_type: str | None
    claims: Claims

    def __repr__(self) -> str:
        return "Parsed()"


def parse(credential: bytes) -> Parsed:
    """Raises Rejected."""
    shape = _SHAPE.match(credential) if len(credential) <= TOKEN_BYTES else None
    if shape is None:
        raise Rejected("it is no signed token in compact form, or too large")
    header, claims = _object(shape[1]), _object(shape[2])
    _decoded(shape[3])
    for name in _FORBIDDEN:
        if name in header:
            raise Rejected(f"its header has `{name}`")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str):
        raise Rejected("its header has no `alg`")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= KID_LIMIT and _KID.match(kid)):
        raise Rejected("its `kid` is no text of 1 to 64 characters")
    return Parsed(
        token=credential.decode("ascii"),
        algorithm=algorithm,
        kid=kid,
        token_type=kind if isinstance(kind, str) else None,
        claims=claims,
    )


def check_header(parsed: Parsed, rules: Rules) -> None:
    """Before a key is looked for. Raises Rejected."""
    if parsed.algorithm not in rules.algorithms:
        raise Rejected("its algorithm is none of its issuer's")
    if rules.token_type is not None:
        kind = (parsed.token_type or "").lower().removeprefix("application/")
        if kind != rules.token_type:
            raise Rejected("its `typ` is another")


def check_claims(claims: Claims, rules: Rules, now_unix_s: float) -> float:
    """Returns the Unix second from which it is refused. Raises Rejected."""
    if claims.get("iss") != rules.issuer:
        raise Rejected("its issuer is another")
    ends = _instant(claims, "exp")
    if ends is None:
        raise Rejected("it has no `exp`")
    until = ends + rules.leeway_s
    if now_unix_s >= until:
        raise Rejected("it has expired")
    for name in ("nbf", "iat"):
        begins = _instant(claims, name)
        if begins is not None and begins > now_unix_s + rules.leeway_s:
            raise Rejected(f"its `{name}` is in the future")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if (
        not isinstance(audiences, list)
        or not all(isinstance(each, str) for each in audiences)
        or rules.audiences.isdisjoint(audiences)
    ):
        raise Rejected("it is meant for another audience")
    if rules.directory is not None and claims.get("tid") != rules.directory:
        raise Rejected("its `tid` is another directory's")
    for name, values in rules.required:
        if values.isdisjoint(values_of(claims, name)):
            raise Rejected(f"its `{name}` is not as required")
    return until


def claim_of(claims: Claims, name: str) -> Any:
    """The claim's value, None if there is none. `realm_access.roles` is the member `roles` of the
    claim `realm_access`, where no claim has that very name; names of members may have dots too."""
    if name in claims:
        return claims[name]
    end = name.find(".")
    while end != -1:
        within = claims.get(name[:end])
        if isinstance(within, dict):
            found = claim_of(within, name[end + 1 :])
            if found is not None:
                return found
        end = name.find(".", end + 1)
    return None


def values_of(claims: Claims, name: str) -> list[str]:
    """A claim's values: a text, the texts of a list, the words of `scp` and `scope`."""
    value = claim_of(claims, name)
    if isinstance(value, str):
        return value.split(" ") if name in ("scp", "scope") else [value]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)] if isinstance(value, int) else []


def _instant(claims: Claims, name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2)."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected(f"its `{name}` is no number")
    if not math.isfinite(value) or abs(value) > 1e12:
        raise Rejected(f"its `{name}` is no time")
    return float(value)


def _object(segment: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(_decoded(segment))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Rejected("a part of it is no JSON") from None
    if not isinstance(value, dict):
        raise Rejected("a part of it is no JSON object")
    return value


def _decoded(segment: bytes) -> bytes:
    """Strictly: of the texts that decode to the same bytes only one is good."""
    try:
        data = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except ValueError:
        raise Rejected("a part of it is no base64url") from None
    if urlsafe_b64encode(data).rstrip(b"=") != segment:
        raise Rejected("a part of it is no base64url")
    return data

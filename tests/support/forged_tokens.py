"""Tokens that are not what they claim to be, by name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.identity_provider import (
    AUDIENCE,
    IdentityProvider,
    Private,
    b64,
    jwk,
    part,
    signature,
)

OCT = b"a shared secret that stands in the set of keys"
WEAK = rsa.generate_private_key(65537, 1024)
FOR_ENCRYPTION = rsa.generate_private_key(65537, 2048)
FOR_RS512 = rsa.generate_private_key(65537, 2048)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ON_P384 = ec.generate_private_key(ec.SECP384R1())


def bad_members() -> list[dict[str, Any]]:
    """Of the provider's set: keys that no token may be checked with."""
    return [
        {"kty": "oct", "kid": "oct", "k": b64(OCT), "alg": "HS256", "use": "sig"},
        jwk(WEAK, "weak"),
        jwk(FOR_ENCRYPTION, "enc", use="enc"),
        jwk(FOR_RS512, "rs512", alg="RS512"),
        jwk(FOR_RS512, "ops", key_ops=["encrypt"]),
        jwk(ON_P384, "p384"),
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "kid": "off", "crv": "P-256", "x": b64(b"\1" * 32), "y": b64(b"\2" * 32)},
        {"kid": "nothing"},
        {"kty": ["RSA"], "kid": {"a": 1}},
    ]


def hs(secret: bytes, provider: IdentityProvider, algorithm: str, kid: str = "rsa") -> str:
    text = f"{part({'alg': algorithm, 'kid': kid, 'typ': 'JWT'})}.{part(provider.claims())}"
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    return f"{text}.{b64(hmac.digest(secret, text.encode(), digest))}"


def forgeries(provider: IdentityProvider) -> dict[str, str]:
    """None of these may be let in."""
    now = int(time.time())
    token, claims, good = provider.token, provider.claims, provider.token()
    mallory = rsa.generate_private_key(65537, 2048)
    mallory_ec = ec.generate_private_key(ec.SECP256R1())
    head, body, sign = good.split(".")
    public = provider.keys["rsa"].public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    spki = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pkcs1 = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    modulus = public.public_numbers().n.to_bytes(256, "big")
    own_jwk = json.dumps(jwk(provider.keys["rsa"], "rsa")).encode()

    def unsigned(name: Any, tail: str = "") -> str:
        return f"{part({'alg': name, 'kid': 'rsa', 'typ': 'JWT'})}.{part(claims())}.{tail}"

    def by(key: Private, kid: Any = "rsa", signed_as: str = "RS256", **header: Any) -> str:
        return token(key=key, signed_as=signed_as, header={"kid": kid, **header})

    def claimed(**changes: Any) -> str:
        """Signed rightly: only what it says is wrong."""
        return token(**changes)

    def raw(payload: str) -> str:
        return token(claims=payload)

    def says(**header: Any) -> str:
        """Signed rightly: only the header is wrong."""
        return token(header=header)

    found = {
        # No signature.
        **{f"alg {name!r}": unsigned(name) for name in ("none", "None", "NONE", "nOnE", "")},
        "alg none with a signature": unsigned("none", sign),
        "alg none, two parts": unsigned("none")[:-1],
        "alg null": unsigned(None, sign),
        "alg missing": says(alg=...),
        "alg a list": says(alg=["RS256"]),
        "alg an object": says(alg={"RS256": 1}),
        "alg with a blank": says(alg="RS256 "),
        "alg in lower case": says(alg="rs256"),
        "alg unknown": says(alg="XX256"),
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        # The public key as a shared secret.
        "hs256 spki": hs(spki, provider, "HS256"),
        "hs256 spki without line end": hs(spki.strip(), provider, "HS256"),
        "hs384 spki": hs(spki, provider, "HS384"),
        "hs512 spki": hs(spki, provider, "HS512"),
        "hs256 pkcs1": hs(pkcs1, provider, "HS256"),
        "hs256 der": hs(der, provider, "HS256"),
        "hs256 modulus": hs(modulus, provider, "HS256"),
        "hs256 jwk": hs(own_jwk, provider, "HS256"),
        "hs256 empty": hs(b"", provider, "HS256"),
        "hs256 secret": hs(b"secret", provider, "HS256"),
        "hs256 by a key of the set": hs(OCT, provider, "HS256", "oct"),
        # Keys that the token brings itself.
        "jku": by(mallory, jku="https://evil.example/keys"),
        "jku of the issuer": says(jku=f"{provider.root}/keys"),
        "x5u": by(mallory, x5u="https://evil.example/cert"),
        "jwk": by(mallory, jwk=jwk(mallory, "rsa")),
        "jwk, no kid": by(mallory, ..., jwk=jwk(mallory, None)),
        "jwk and a right signature": says(jwk=jwk(provider.keys["rsa"], "rsa")),
        "x5c": by(mallory, x5c=[base64.b64encode(der).decode()]),
        # Other keys.
        "another's key": by(mallory),
        "another's key, no kid": by(mallory, ...),
        "another's key, kid of ec": by(mallory, "ec"),
        "ec key, kid of rsa": token(key=mallory_ec, signed_as="ES256", header={"alg": "ES256"}),
        "another's ec key": token("ec", key=mallory_ec, signed_as="ES256"),
        "another's ed key": token("ed", key=ed25519.Ed25519PrivateKey.generate()),
        "kid unknown": by(mallory, "other"),
        "kid a path": by(mallory, "../../../../../../dev/null"),
        "kid a path, hs": hs(b"", provider, "HS256", "../../../../../../dev/null"),
        "kid sql": by(mallory, "x' UNION SELECT 'secret' --"),
        "kid sql, hs": hs(b"secret", provider, "HS256", "x' UNION SELECT 'secret' --"),
        "kid a command": by(mallory, "|/usr/bin/id"),
        "kid a url": by(mallory, "https://evil.example/key"),
        "kid long": by(mallory, "k" * 65),
        "kid very long": by(mallory, "k" * 3000),
        "kid empty": by(mallory, ""),
        "kid a number": by(mallory, 7),
        "kid a list": by(mallory, ["rsa"]),
        "kid an object": by(mallory, {"$ne": ""}),
        "kid true": by(mallory, True),
        "kid with NUL": by(mallory, "rsa\0"),
        "kid with a line end": by(mallory, "rsa\n"),
        "kid in upper case": by(mallory, "RSA"),
        "weak key": by(WEAK, "weak"),
        "key for encryption": by(FOR_ENCRYPTION, "enc"),
        "key for another algorithm": by(FOR_RS512, "rs512"),
        "key for other operations": by(FOR_RS512, "ops"),
        "key on another curve": token(
            key=ON_P384, signed_as="ES256", header={"alg": "ES256", "kid": "p384"}
        ),
        # Algorithms that are not on the list, rightly signed.
        "rs512": by(provider.keys["rsa"], signed_as="RS512", alg="RS512"),
        "ps256": by(provider.keys["rsa"], signed_as="PS256", alg="PS256"),
        "es384": token(key=ON_P384, signed_as="ES384", header={"alg": "ES384", "kid": "p384"}),
        "ps256 said rs256": by(provider.keys["rsa"], signed_as="PS256"),
        # Extensions.
        "crit exp": says(crit=["exp"]),
        "crit unknown": says(crit=["http://example.com/UNDEFINED"], x=1),
        "crit empty": says(crit=[]),
        "crit a text": says(crit="exp"),
        "crit null": says(crit=None),
        "crit b64": says(crit=["b64"], b64=False),
        "b64 without crit": says(b64=False),
        "zip": says(zip="DEF"),
        "enc": says(enc="A128GCM"),
        # Signatures.
        "a bit of the signature": f"{head}.{body}.{'A' if sign[0] != 'A' else 'B'}{sign[1:]}",
        "half a signature": f"{head}.{body}.{sign[: len(sign) // 2]}",
        "a longer signature": f"{head}.{body}.{sign}AAAA",
        "zeros": f"{head}.{body}.{b64(bytes(256))}",
        "ones": f"{head}.{body}.{b64(bytes([255]) * 256)}",
        "another token's signature": f"{part(claims())}.{body}.{token(sub='eve').split('.')[2]}",
        "psychic signature": "{}.{}.{}".format(*token("ec").split(".")[:2], b64(bytes(64))),
        "ec order as signature": "{}.{}.{}".format(
            *token("ec").split(".")[:2],
            b64(P256_ORDER.to_bytes(32, "big") * 2),
        ),
        "ec signature in der": "{}.{}.{}".format(
            *(parts := token("ec").split(".")[:2]),
            b64(_der(provider.keys["ec"], ".".join(parts).encode())),
        ),
        "padded": good + "=" * (-len(sign) % 4 or 4),
        "other base64": good.replace("-", "+").replace("_", "/") + "+",
        "loose last bits": f"{head}.{body}.{_loose(sign)}",
        "a blank within": f"{head}. {body}.{sign}",
        "a line end within": f"{head}.{body}%0A.{sign}",
        # Bodies changed after signing.
        "another user": f"{head}.{part(claims(sub='eve'))}.{sign}",
        "another group": f"{head}.{part(claims(groups=['g-admin']))}.{sign}",
        "a later end": f"{head}.{part(claims(exp=now + 99999))}.{sign}",
        "another header": f"{part({'alg': 'RS256', 'kid': 'rsa'})}.{body}.{sign}",
        # Times.
        "no exp": claimed(exp=...),
        "exp null": claimed(exp=None),
        "exp a text": claimed(exp=str(now + 3600)),
        "exp true": claimed(exp=True),
        "exp a list": claimed(exp=[now + 3600]),
        "exp an object": claimed(exp={"at": now + 3600}),
        "exp without end": raw(json.dumps(claims()).replace(str(claims()["exp"]), "1e999")),
        "exp Infinity": raw(json.dumps(claims(exp=float("inf")))),
        "exp NaN": raw(json.dumps(claims(exp=float("nan")))),
        "exp huge": claimed(exp=10**30),
        "exp negative": claimed(exp=-(now + 3600)),
        "exp zero": claimed(exp=0),
        "exp a minute ago": claimed(exp=now - 60),
        "exp 31 s ago": claimed(exp=now - 31),
        "exp in milliseconds, ago": claimed(exp=-now * 1000),
        "nbf in two minutes": claimed(nbf=now + 120),
        "nbf a text": claimed(nbf=str(now)),
        "nbf null": claimed(nbf=None),
        "nbf true": claimed(nbf=True),
        "iat in two minutes": claimed(iat=now + 120),
        "iat a text": claimed(iat=str(now)),
        "iat in milliseconds": claimed(iat=now * 1000),
        # Issuers.
        "no iss": claimed(iss=...),
        "iss null": claimed(iss=None),
        "iss of another": claimed(iss="https://evil.example"),
        "iss with a slash": claimed(iss=f"{provider.issuer}/"),
        "iss in upper case": claimed(iss=provider.issuer.upper()),
        "iss longer": claimed(iss=f"{provider.issuer}.evil.example"),
        "iss shorter": claimed(iss=provider.issuer[:-1]),
        "iss a list": claimed(iss=[provider.issuer]),
        "iss an object": claimed(iss={provider.issuer: 1}),
        # Audiences.
        "no aud": claimed(aud=...),
        "aud null": claimed(aud=None),
        "aud of another": claimed(aud="api://other"),
        "aud empty": claimed(aud=""),
        "aud an empty list": claimed(aud=[]),
        "aud a list of others": claimed(aud=["api://other", "api://third"]),
        "aud longer": claimed(aud=f"{AUDIENCE}/x"),
        "aud shorter": claimed(aud=AUDIENCE[:-1]),
        "aud in upper case": claimed(aud=AUDIENCE.upper()),
        "aud several in one text": claimed(aud=f"api://other {AUDIENCE}"),
        "aud by commas": claimed(aud=f"api://other,{AUDIENCE}"),
        "aud a nested list": claimed(aud=[[AUDIENCE]]),
        "aud a mixed list": claimed(aud=[AUDIENCE, 7]),
        "aud an object": claimed(aud={AUDIENCE: 1}),
        # Users.
        "no user": claimed(sub=...),
        "user empty": claimed(sub=""),
        "user a number": claimed(sub=7),
        "user a list": claimed(sub=["ada"]),
        "user with a line end": claimed(sub="ada\nX-Admin: 1"),
        "user with NUL": claimed(sub="ada\0"),
        "user very long": claimed(sub="a" * 200),
        # Shapes.
        "one part": head,
        "four parts": f"{good}.{sign}",
        "five parts": f"{head}.{body}.{sign}.{sign}.{sign}",
        "json serialization": b64(
            json.dumps({"payload": body, "protected": head, "signature": sign}).encode()
        ),
        "too large": claimed(filler="x" * 17_000),
        "header no json": f"{b64(b'{not json')}.{body}.{sign}",
        "header a list": f"{part(['RS256'])}.{body}.{sign}",
        "header a text": f"{part(json.dumps('RS256'))}.{body}.{sign}",
        "payload a list": raw("[]"),
        "payload a text": raw('"ada"'),
        "payload no json": raw("{"),
        "payload empty": raw(""),
        "payload a token": raw(good),
        "payload no utf-8": f"{head}.{b64(bytes([123, 34, 255, 34, 58, 49, 125]))}.{sign}",
        "deep": raw('{"a":' * 900 + "1" + "}" * 900),
    }
    assert hashlib.sha256(good.encode()).hexdigest() not in {
        hashlib.sha256(forged.encode()).hexdigest() for forged in found.values()
    }
    return found


def good_tokens(provider: IdentityProvider) -> dict[str, str]:
    """All of these must be let in."""
    now = int(time.time())
    token = provider.token
    return {
        "rsa": token(),
        "ec": token("ec"),
        "ed": token("ed"),
        "ec without kid": token("ec", header={"kid": ...}),
        "aud a list": token(aud=["api://other", AUDIENCE]),
        "aud a list of one": token(aud=[AUDIENCE]),
        "exp just now": token(exp=now - 5),
        "exp with a fraction": token(exp=now + 60.5),
        "exp far": token(exp=now + 10**8),
        "nbf within the leeway": token(nbf=now + 15),
        "iat within the leeway": token(iat=now + 15),
        "no nbf": token(nbf=...),
        "no iat": token(iat=...),
        "typ at+jwt": token(header={"typ": "at+jwt"}),
        "no typ": token(header={"typ": ...}),
        "thumbprint": token(header={"x5t": "AAAA", "x5t#S256": "AAAA"}),
        "many groups": token(groups=["g-search", *(f"group-{i:030}" for i in range(200))]),
        "group a text": token(groups="g-search"),
        "unknown claims": token(nonce="n", azp="client", ver="2.0", amr=["pwd"], rh={"a": None}),
        "user of another kind": token(sub="auth0|5f7c8ec7c33c6c004bbafe82"),
        "user an address": token(sub="ada@example.com"),
        "user with a blank": token(sub="Ada Lovelace"),
    }


def _der(key: Private, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    raw = signature(key, "ES256", data)
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def _loose(sign: str) -> str:
    """Another text for the same bytes: the last character's unused bits are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(sign[-1])
    return sign[:-1] + alphabet[at | 1 if at % 2 == 0 else at & ~1]

"""An identity provider on a real socket: discovery and keys over HTTPS, and tokens of any kind,
good and forged."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from support.free_ports import free_port

AUDIENCE = "api://headrace"
Answer = tuple[int, str, bytes]
"""Status, content type and body."""
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: object) -> str:
    """A part of a token: JSON, or text as it is."""
    return b64(value.encode() if isinstance(value, str) else json.dumps(value).encode())


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(key: Private, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half."""
    members: dict[str, Any] = {}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        members = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        name = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[key.curve.name]
        x, y = number(point.x, size), number(point.y, size)
        members = {"kty": "EC", "crv": name, "x": x, "y": y}
    else:
        x = b64(key.public_key().public_bytes_raw())
        members = {"kty": "OKP", "crv": "Ed25519", "x": x}
    return members | ({} if kid is None else {"kid": kid}) | {"use": "sig"} | more


def signature(key: Private, algorithm: str, data: bytes) -> bytes:
    """As the algorithm says, whatever the key was meant for."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[
        algorithm[-3:]
    ]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if algorithm.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(data, padding.PKCS1v15(), digest)


class IdentityProvider:
    """`keys` are its own by `kid`; `extra` are further members of its set; `status`, `body` and
    `location` change its answers. Counts what is fetched."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)
        self.keys: dict[str, Private] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.algorithms = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}
        self.extra: list[dict[str, Any]] = []
        self.status = 200
        self.body: bytes | None = None
        self.location: str | None = None
        self.fetched: list[str] = []
        self.port = free_port()
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def root(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.root}/directory/v2.0"

    @property
    def key_fetches(self) -> int:
        return self.fetched.count("/keys")

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context

    def key_set(self) -> bytes:
        own = [jwk(key, kid) for kid, key in self.keys.items()]
        return json.dumps({"keys": [*own, *self.extra]}).encode()

    def discovery(self) -> dict[str, Any]:
        return {"issuer": self.issuer, "jwks_uri": f"{self.root}/keys"}

    def answer(self, path: str) -> Answer:
        """To a GET."""
        body = self.key_set() if path == "/keys" else json.dumps(self.discovery()).encode()
        return self.status, "application/json", body if self.body is None else self.body

    def answer_form(self, path: str, form: Mapping[str, str], authorization: str) -> Answer:
        """To a POST."""
        return 404, "text/plain", b""

    def start(self) -> None:
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetched.append(self.path)
                self._say(*provider.answer(self.path))

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                form = dict(parse_qsl(data.decode()))
                given = self.headers.get("authorization", "")
                self._say(*provider.answer_form(self.path, form, given))

            def _say(self, status: int, media: str, body: bytes) -> None:
                self.send_response(status)
                if provider.location is not None:
                    self.send_header("location", provider.location)
                self.send_header("content-type", media)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def claims(self, now: float | None = None, **changes: Any) -> dict[str, Any]:
        """Good ones; a change to `...` takes a claim away."""
        at = int(time.time() if now is None else now)
        good = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "exp": at + 3600,
            "nbf": at - 5,
            "iat": at - 5,
            "sub": "ada",
            "groups": ["g-search"],
        }
        return {name: value for name, value in (good | changes).items() if value is not ...}

    def token(
        self,
        kid: str = "rsa",
        *,
        header: Mapping[str, Any] | None = None,
        key: Private | None = None,
        signed_as: str | None = None,
        claims: object = None,
        now: float | None = None,
        **changes: Any,
    ) -> str:
        """Signed with the key of `kid`, or with `key`. `header` changes the header's members."""
        algorithm = self.algorithms.get(kid, "RS256")
        members = {"alg": algorithm, "kid": kid, "typ": "JWT"} | dict(header or {})
        members = {name: value for name, value in members.items() if value is not ...}
        body = self.claims(now, **changes) if claims is None else claims
        text = f"{part(members)}.{part(body)}"
        signer = self.keys[kid] if key is None else key
        return f"{text}.{b64(signature(signer, signed_as or algorithm, text.encode()))}"


@contextmanager
def identity_provider(folder: Path) -> Iterator[IdentityProvider]:
    provider = IdentityProvider(folder)
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()

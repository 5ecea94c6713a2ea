"""The authorization code flow of OpenID Connect Core 1.0 (section 3.1), with PKCE (RFC 7636) and
the issuer in the answer (RFC 9207): what is sent, and what must come back. Pure but for chance.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import msgspec
from msgspec import Struct

from headrace.platform.oidc.token_rules import Claims, Rejected
from headrace.platform.secrets import Secret

CODE_LIMIT = 4096


class NotSignedIn(Rejected):
    """The provider says why."""

    def __init__(self, error: str) -> None:
        super().__init__(f"its provider says {error}")
        self.error = error


class Endpoints(Struct, frozen=True):
    """Of a provider's discovery document (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    token_endpoint_auth_methods_supported: list[str] = msgspec.field(
        default_factory=lambda: ["client_secret_basic"]
    )
    authorization_response_iss_parameter_supported: bool = False


class Client(Struct, frozen=True):
    """As what we are registered at the provider."""

    id: str
    secret: Secret | None
    """None for a public client."""
    scopes: tuple[str, ...]


class Flow(Struct, frozen=True):
    """What one sign-in is known by: it must come back with `state`, its ID token must have `nonce`,
    and only who has `verifier` gets the token for its code."""

    state: str
    nonce: str
    verifier: str

    def __repr__(self) -> str:
        return "Flow()"


def new_flow() -> Flow:
    return Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


def authorization_url(endpoints: Endpoints, client: Client, flow: Flow, redirect_url: str) -> str:
    """Where the browser is sent."""
    digest = hashlib.sha256(flow.verifier.encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect_url,
        "scope": " ".join(client.scopes),
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    parts = urlsplit(endpoints.authorization_endpoint)
    kept = [pair for pair in parse_qsl(parts.query) if pair[0] not in asked]
    return parts._replace(query=urlencode([*kept, *asked.items()]), fragment="").geturl()


def code_of(answer: Mapping[str, str], flow: Flow, endpoints: Endpoints) -> str:
    """The code that the browser brought. Raises Rejected."""
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise Rejected("its `state` is another's")
    issuer = answer.get("iss")
    if issuer is None and endpoints.authorization_response_iss_parameter_supported:
        raise Rejected("its provider does not say who it is")
    if issuer is not None and issuer != endpoints.issuer:
        raise Rejected("it comes from another provider")
    if "error" in answer:
        raise NotSignedIn(plain_error(answer["error"]))
    code = answer.get("code", "")
    if not 0 < len(code) <= CODE_LIMIT:
        raise Rejected("it has no code")
    return code


def token_request(
    endpoints: Endpoints, client: Client, flow: Flow, code: str, redirect_url: str
) -> tuple[dict[str, str], bytes | None]:
    """The form for the token endpoint, and the header `Authorization` where the client's secret
    goes there (RFC 6749, section 2.3.1)."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_url,
        "code_verifier": flow.verifier,
    }
    return _of_client(form, endpoints, client)


def refresh_request(
    endpoints: Endpoints, client: Client, refresh: Secret
) -> tuple[dict[str, str], bytes | None]:
    """As `token_request`, for whom a refresh token was given (OpenID Connect Core, section 12)."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh.reveal()}
    return _of_client(form, endpoints, client)


def _of_client(
    form: dict[str, str], endpoints: Endpoints, client: Client
) -> tuple[dict[str, str], bytes | None]:
    if client.secret is None:
        return {**form, "client_id": client.id}, None
    if "client_secret_post" in endpoints.token_endpoint_auth_methods_supported:
        return {**form, "client_id": client.id, "client_secret": client.secret.reveal()}, None
    pair = f"{quote_plus(client.id)}:{quote_plus(client.secret.reveal())}"
    return form, b"Basic " + base64.b64encode(pair.encode())


class Tokens(Struct, frozen=True):
    """What a provider gives. To whom refreshes it need give no ID token, nor a refresh token that
    is another."""

    id_token: str | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return "Tokens()"


class _Refusal(Struct):
    error: str = ""


def tokens_of(status: int, data: bytes) -> Tokens:
    """Of the token endpoint's answer. Raises Rejected."""
    try:
        if status == 200:
            return msgspec.json.decode(data, type=Tokens)
        error = msgspec.json.decode(data, type=_Refusal).error
    except msgspec.MsgspecError:
        error = ""
    raise Rejected(f"its provider gave no token: {status} {plain_error(error)}")


def check_identity(claims: Claims, client_id: str, flow: Flow) -> None:
    """What an ID token must say beside what every token must (OpenID Connect Core, section
    3.1.3.7). Raises Rejected."""
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), flow.nonce.encode()):
        raise Rejected("its `nonce` is another's")
    _check_party(claims, client_id)


def check_same_identity(claims: Claims, subject: object, client_id: str) -> None:
    """What a refreshed ID token must say (OpenID Connect Core, section 12.2): it is of the same
    person, and needs no `nonce`. `subject` is the first one's `sub`. Raises Rejected."""
    if claims.get("sub") != subject:
        raise Rejected("its `sub` is another's")
    _check_party(claims, client_id)


def _check_party(claims: Claims, client_id: str) -> None:
    audience, party = claims.get("aud"), claims.get("azp")
    several = isinstance(audience, Sequence) and not isinstance(audience, str) and len(audience) > 1
    if party != client_id and (party is not None or several):
        raise Rejected("its `azp` is another's")


def plain_error(error: str) -> str:
    """A provider's code of an error, if that is all it is (RFC 6749, section 4.1.2.1)."""
    words = error.replace("_", "").replace("-", "")
    return error if 0 < len(error) <= 64 and words.isascii() and words.isalnum() else "an error"

"""An identity provider that signs people in: the authorization code flow, as OpenID Connect has it,
with what it does wrong by wish."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from support.identity_provider import Answer, IdentityProvider

CLIENT = "headrace-console"
SECRET = "a secret/of the client's+own"


class SignInProvider(IdentityProvider):
    """`claims_of_people` change its ID tokens, `sent_back` what browsers bring back, and
    `discovered` its discovery document. A code counts once, for who has its verifier."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.claims_of_people: dict[str, Any] = {}
        self.sent_back: dict[str, Any] = {}
        self.discovered: dict[str, Any] = {}
        self.key_of_tokens = "rsa"
        self.asked: dict[str, dict[str, str]] = {}
        """What was asked for, by the codes that were given."""
        self.refused: list[str] = []
        """Why codes were not taken."""
        self.refreshes = False
        """It gives refresh tokens, each of which counts once."""
        self.vouched: dict[str, dict[str, Any]] = {}
        """What ID tokens said, by the refresh tokens that were given with them."""
        self.later: dict[str, dict[str, Any] | None] = {}
        """By `sub`, what is so of people since they signed in; None of who is known no more."""
        self.asked_again: list[str] = []
        """`sub` of each who was asked about again."""

    def discovery(self) -> dict[str, Any]:
        return {
            **super().discovery(),
            "authorization_endpoint": f"{self.root}/authorize?theme=plain",
            "token_endpoint": f"{self.root}/token",
            **self.discovered,
        }

    def way_back(self, url: str) -> str:
        """Where a browser goes that was sent to `url` and signs in."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert asked["theme"] == "plain", "what the endpoint's own query had is kept"
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.asked[code] = asked
        answer = {"code": code, "state": asked["state"], **self.sent_back}
        kept = {name: value for name, value in answer.items() if value is not ...}
        return f"{asked['redirect_uri']}?{urlencode(kept)}"

    def answer(self, path: str) -> Answer:
        if not path.startswith("/authorize"):
            return super().answer(path)
        back = html.escape(self.way_back(path))
        return 200, "text/html", (
            f"<!doctype html><title>Sign in</title><h1>Who?</h1><a id=go href='{back}'>Ada</a>"
        ).encode()  # fmt: skip

    def answer_form(self, path: str, form: Mapping[str, str], authorization: str) -> Answer:
        if path != "/token" or self.status != 200:
            return self.status if path == "/token" else 404, "text/plain", b"no"
        if form.get("grant_type") == "refresh_token":
            return self._again(form, authorization)
        why = self._fault(form, authorization)
        if why is not None:
            self.refused.append(why)
            return 400, "application/json", json.dumps({"error": "invalid_grant"}).encode()
        asked = self.asked.pop(form["code"])
        return self._given({"nonce": asked["nonce"], **self.claims_of_people})

    def _given(self, claims: dict[str, Any]) -> Answer:
        token = self.token(self.key_of_tokens, **{"aud": CLIENT, **claims})
        answer = {"access_token": "opaque", "token_type": "Bearer", "id_token": token}
        if self.refreshes:
            answer["refresh_token"] = secrets.token_urlsafe(16)
            self.vouched[answer["refresh_token"]] = claims
        if claims.get("id_token") is ...:
            del answer["id_token"]
        return 200, "application/json", json.dumps(answer).encode()

    def _again(self, form: Mapping[str, str], authorization: str) -> Answer:
        """As OpenID Connect Core has it in section 12."""
        known = self.vouched.pop(form["refresh_token"], None)
        sub = "" if known is None else known["sub"]
        self.asked_again.append(sub)
        claims = self.later.get(sub, {})
        if known is None or claims is None or self._client(form, authorization) != (CLIENT, SECRET):
            return 400, "application/json", json.dumps({"error": "invalid_grant"}).encode()
        return self._given({**known, "nonce": ..., **claims})

    def _fault(self, form: Mapping[str, str], authorization: str) -> str | None:
        asked = self.asked.get(form.get("code", ""))
        if asked is None:
            return "code"
        if self._client(form, authorization) != (CLIENT, SECRET):
            return "client"
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return "verifier"
        if form.get("redirect_uri") != asked["redirect_uri"]:
            return "redirect"
        return None

    @staticmethod
    def _client(form: Mapping[str, str], authorization: str) -> tuple[str | None, str | None]:
        if not authorization:
            return form.get("client_id"), form.get("client_secret")
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        name, _, secret = pair.partition(":")
        return unquote_plus(name), unquote_plus(secret)


@contextmanager
def sign_in_provider(folder: Path) -> Iterator[SignInProvider]:
    provider = SignInProvider(folder)
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()

"""Signing in with an identity provider: who comes in, as what, and what is not taken."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import msgspec
import pytest

from console.world import until
from headrace.config.admin_oidc import AdminTokens as AdminRules
from headrace.config.oidc import Oidc
from headrace.console import providers
from headrace.console.app import Console
from headrace.data.audit_verify import events
from headrace.gateway.token_assembly import KeyStore, admin_tokens, sign_ins
from headrace.platform.secrets import Secret
from support.admin_thread import admin_thread
from support.admin_tokens import ADMIN_AUDIENCE, oidc_of
from support.sign_in_provider import CLIENT, SECRET, SignInProvider, sign_in_provider

GRANTS = [
    {"when": {"groups": "g-ops"}, "role": "operator", "tenants": ["acme"]},
    {"when": {"groups": "g-far"}, "role": "admin", "ip_ranges": ["10.0.0.0/8"]},
    {"when": {"groups": "g-search"}, "role": "viewer"},
]
BEGIN = "/console/sign-in/with/idp"


class Scene:
    """A console in this process that people sign in to."""

    def __init__(self, folder: Path, provider: SignInProvider, url: str) -> None:
        self.folder, self.provider, self.url = folder, provider, url

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    def trail(self) -> list[tuple[str | None, str]]:
        """Actor and action of what was audited."""
        return [(event.get("actor"), event["action"]) for event in events(self.folder)]


def console_of(provider: SignInProvider, **asked: Any) -> tuple[Any, Console]:
    oidc = msgspec.convert({"issuers": {"idp": oidc_of(provider)}}, Oidc)
    rules = {
        "audience": ADMIN_AUDIENCE, "grants": GRANTS, "sign_in": {"client_id": CLIENT, **asked},
    }  # fmt: skip
    written = msgspec.convert({"idp": rules}, dict[str, AdminRules])
    store = KeyStore({}, provider.trust())
    made = sign_ins(written, oidc, store, {"idp": Secret(SECRET)})
    return admin_tokens(written, oidc, store), Console(sign_ins=made)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("store")
    with sign_in_provider(folder) as provider:
        tokens, console = console_of(provider)
        with admin_thread(folder, tokens=tokens, pages=console) as admin:
            yield Scene(folder, provider, admin.url)


@pytest.fixture
def scene(made: Scene) -> Scene:
    """Whose provider does everything right."""
    provider = made.provider
    provider.claims_of_people, provider.sent_back, provider.refused = {}, {}, []
    provider.status, provider.key_of_tokens = 200, "rsa"
    return made


def sent(browser: httpx.Client, path: str = BEGIN) -> str:
    answer = browser.get(path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def back(scene: Scene, browser: httpx.Client, path: str = BEGIN) -> httpx.Response:
    """What the browser gets that went to the provider and came back."""
    return browser.get(scene.provider.way_back(sent(browser, path)))


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    return {text.split("=", 1)[0]: text.lower() for text in answer.headers.get_list("set-cookie")}


def test_who_signs_in_has_the_role_of_their_groups(scene: Scene) -> None:
    with scene.browser() as browser:
        form = browser.get("/console/sign-in?next=/console/keys").text
        assert 'href="/console/sign-in/with/idp?next=/console/keys"' in form
        answer = back(scene, browser, f"{BEGIN}?next=/console/keys")
        assert answer.status_code == 200
        assert 'content="0; url=/console/keys"' in answer.text
        cookie = cookies_of(answer)["headrace_session"]
        for word in ("httponly", "samesite=strict", "path=/console;", "max-age="):
            assert word in f"{cookie};"
        assert "headrace_sign_in" not in browser.cookies, "it has served"
        page = browser.get("/console/keys").text
        assert "/console/config" not in page, "a viewer does not see it"
    assert ("token:idp:ada", "console.sign_in") in scene.trail()
    scene.provider.claims_of_people = {"groups": ["g-ops"], "sub": "eve"}
    with scene.browser() as browser:
        assert back(scene, browser).status_code == 200
        assert "<h1>Keys" in browser.get("/console/keys").text
        assert browser.get("/console/backends").status_code == 403, "for one tenant alone"


def test_the_clients_secret_goes_as_the_provider_wants_it(tmp_path: Path) -> None:
    with sign_in_provider(tmp_path) as provider:
        provider.discovered = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        tokens, console = console_of(provider)
        with admin_thread(tmp_path, tokens=tokens, pages=console) as admin:
            scene = Scene(tmp_path, provider, admin.url)
            with scene.browser() as browser:
                assert back(scene, browser).status_code == 200
        assert provider.refused == []


def changed(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | changes)).geturl()


WRONG_TOKENS: dict[str, tuple[dict[str, Any], int, str]] = {
    "nonce": ({"nonce": "another's"}, 401, "`nonce`"),
    "no nonce": ({"nonce": ...}, 401, "`nonce`"),
    "expired": ({"exp": int(time.time()) - 3600}, 401, "it has expired"),
    "for the API": ({"aud": ADMIN_AUDIENCE}, 401, "another audience"),
    "for several": ({"aud": [CLIENT, "x"]}, 401, "`azp`"),
    "for a party": ({"azp": "another"}, 401, "`azp`"),
    "issuer": ({"iss": "https://else.example"}, 401, "its issuer is another"),
    "no role": ({"groups": ["g-other"]}, 403, "administer nothing here"),
    "address": ({"groups": ["g-far"]}, 401, "from your address"),
    "no name": ({"sub": "a\nb"}, 401, "is no name"),
}


@pytest.mark.parametrize("name", WRONG_TOKENS)
def test_a_wrong_id_token_opens_nothing(scene: Scene, name: str) -> None:
    claims, status, why = WRONG_TOKENS[name]
    scene.provider.claims_of_people = claims
    with scene.browser() as browser:
        answer = back(scene, browser)
        assert (answer.status_code, "headrace_session" in browser.cookies) == (status, False)
        assert answer.headers["x-request-id"] in answer.text
        assert browser.get("/console/keys").status_code == 303
    assert any(why in str(event.get("detail")) for event in events(scene.folder)), name


def test_a_token_that_another_signed_opens_nothing(scene: Scene) -> None:
    scene.provider.keys["mine"] = scene.provider.keys["ec"]
    scene.provider.algorithms["mine"] = "ES256"
    scene.provider.key_of_tokens = "mine"
    with scene.browser() as browser:
        assert back(scene, browser).status_code in (401, 503)
        assert "headrace_session" not in browser.cookies


def test_what_a_browser_brings_must_be_of_its_own_flow(scene: Scene) -> None:
    """Wrong `state`, another's flow, none at all, one that was used, another provider's answer."""
    with scene.browser() as browser, scene.browser() as other:
        way = scene.provider.way_back(sent(browser))
        assert other.get(way).status_code == 400, "it has no flow"
        sent(other)
        assert other.get(way).status_code == 401, "it has another one"
        for change in ({"state": "guessed"}, {"iss": "https://else.example"}, {"code": ""}):
            way = scene.provider.way_back(sent(browser))
            assert browser.get(changed(way, **change)).status_code == 401, change
            assert browser.get(way).status_code == 400, "a flow is for one answer"
        assert "headrace_session" not in {**browser.cookies, **other.cookies}
        assert scene.provider.refused == [], "no code was given away"
        way = scene.provider.way_back(sent(browser))
        code = dict(parse_qsl(urlsplit(way).query))["code"]
        assert browser.get(way).status_code == 200
        browser.cookies.clear()
        again = scene.provider.way_back(sent(browser))
        assert browser.get(changed(again, code=code)).status_code == 401
        assert scene.provider.refused == ["code"]


def test_a_code_is_of_no_use_to_another_flow(scene: Scene) -> None:
    """As if somebody had put a stolen code into an answer of their own."""
    with scene.browser() as browser, scene.browser() as thief:
        stolen = dict(parse_qsl(urlsplit(scene.provider.way_back(sent(browser))).query))["code"]
        own = scene.provider.way_back(sent(thief))
        assert thief.get(changed(own, code=stolen)).status_code == 401
        assert scene.provider.refused == ["verifier"]


def test_a_flow_ends_and_cannot_be_forged(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "FLOW_S", -1.0)
    with scene.browser() as browser:
        answer = browser.get(BEGIN)
        old = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
    monkeypatch.undo()
    with scene.browser() as browser:
        way = scene.provider.way_back(answer.headers["location"])
        part, _, mark = old.partition(".")
        for text in (old, f"{part}.{'0' * len(mark)}", part, "x.y", "\xfc.\xfc"):
            headers = {b"cookie": f"headrace_sign_in={text}".encode("latin-1")}
            assert browser.get(way, headers=headers).status_code == 400


def test_a_provider_that_refuses_or_is_away(scene: Scene) -> None:
    with scene.browser() as browser:
        scene.provider.sent_back = {"code": ..., "error": "access_denied"}
        answer = back(scene, browser)
        assert (answer.status_code, "access_denied" in answer.text) == (403, True)
        scene.provider.sent_back["error"] = "<script>alert(1)</script>"
        assert "script>alert" not in back(scene, browser).text
        scene.provider.sent_back = {}
        scene.provider.status = 500
        assert back(scene, browser).status_code == 503
        assert "headrace_session" not in browser.cookies
    assert browser.is_closed


def test_ways_that_lead_elsewhere(scene: Scene) -> None:
    with scene.browser() as browser:
        answer = back(scene, browser, f"{BEGIN}?next=https://else.example/")
        assert 'url=/console/"' in answer.text
        assert browser.get("/console/sign-in/with/nobody").status_code == 404
        host = {"host": "else.example"}
        assert browser.get(BEGIN, headers=host).status_code == 400, "it would come back there"


def test_the_provider_is_asked_again_about_who_is_signed_in(tmp_path: Path) -> None:
    """Who has left a group is out, who has got another role has it, and each is asked about once
    however many pages are open; while the provider is away its last word stands."""
    later: dict[str, dict[str, Any] | None] = {
        "stays": {}, "silent": {"id_token": ...}, "rises": {"groups": ["g-ops"]},
        "leaves": {"groups": ["g-other"]}, "unknown": None, "moves": {"groups": ["g-far"]},
        "another": {"sub": "mallory"}, "party": {"azp": "another"}, "late": {"exp": 1},
    }  # fmt: skip
    out = {"leaves", "unknown", "moves", "another", "party", "late"}
    with sign_in_provider(tmp_path) as provider, contextlib.ExitStack() as open_ones:
        provider.refreshes = True
        tokens, console = console_of(provider, recheck_s=1)
        url = open_ones.enter_context(admin_thread(tmp_path, tokens=tokens, pages=console)).url
        scene, browsers = Scene(tmp_path, provider, url), {}
        for name in later:
            browser = browsers[name] = open_ones.enter_context(scene.browser())
            provider.claims_of_people = {"sub": name, "groups": ["g-search"]}
            assert back(scene, browser).status_code == 200
        provider.status = 500
        time.sleep(1.1)
        assert {browser.get("/console/keys").status_code for browser in browsers.values()} == {200}
        assert provider.asked_again == []
        provider.status, provider.later = 200, later
        for name, browser in browsers.items():
            until(lambda name=name, browser=browser: told_again(provider, name, browser))  # type: ignore[misc]
            status = browser.get("/console/keys").status_code
            assert status == (303 if name in out else 200), name
            refused = [event.get("detail") for event in events(tmp_path)
                       if event["action"] == "auth.refused"]  # fmt: skip
            assert bool(refused) == (name in out), name
        assert browsers["rises"].get("/console/backends").status_code == 403, "of one tenant now"
        time.sleep(1.1)
        with ThreadPoolExecutor(8) as pool:  # a token that was used twice would be refused
            answers = list(pool.map(browsers["stays"].get, ["/console/backends"] * 8))
        assert {answer.status_code for answer in answers} == {200}


def told_again(provider: SignInProvider, name: str, browser: httpx.Client) -> bool:
    browser.get("/console/keys")
    return name in provider.asked_again


def test_a_session_lasts_as_long_as_the_file_says(tmp_path: Path) -> None:
    """A provider that cannot be found says so, and admin keys go on."""
    with sign_in_provider(tmp_path) as provider:
        tokens, console = console_of(provider, session_s=1, redirect_url="http://localhost/back")
        with admin_thread(tmp_path, tokens=tokens, pages=console) as admin:
            scene = Scene(tmp_path, provider, admin.url)
            with scene.browser() as browser:
                way = urlsplit(provider.way_back(sent(browser)))
                assert way.hostname == "localhost", "as it is registered"
                path = f"/console/sign-in/back?{way.query}"
                assert browser.get(path).status_code == 200
                until(lambda: browser.get("/console/keys").status_code == 303)
                provider.discovered = {"issuer": "https://else.example"}
                assert browser.get(BEGIN).status_code == 303, "it is known for an hour"
    with sign_in_provider(tmp_path) as provider:
        provider.discovered = {"issuer": "https://else.example"}
        tokens, console = console_of(provider)
        with admin_thread(tmp_path, tokens=tokens, pages=console) as admin:
            answer = httpx.get(f"{admin.url}{BEGIN}")
            assert answer.status_code == 503
            assert "admin key" in answer.text

"""Signing in with an identity provider in a real browser, at a gateway as its file has it. The
provider and the console are of different sites, as they are in use: that decides which cookies a
browser sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page as Tab

from console.test_browser import check_access, pictured
from support.gateway_process import running_gateway
from support.sign_in_provider import CLIENT, SECRET, SignInProvider, sign_in_provider

CONFIG = """
server: {{workers: 1, drain_s: 2}}
keys: {{own: {{secret: env:OWN_KEY}}}}
oidc:
  issuers:
    company:
      issuer: {issuer}
      audience: api://headrace
      allow_private: true
      grants: []
admin:
  port: 0
  oidc:
    company:
      grants: [{{when: {{groups: g-search}}, role: viewer}}]
      sign_in: {{client_id: {client}, client_secret: env:CLIENT_SECRET}}
backends:
  up: {{provider: openai, url: "http://127.0.0.1:9/v1"}}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SignInProvider, str, Path]]:
    folder = tmp_path_factory.mktemp("signing-in")
    with sign_in_provider(folder) as provider:
        text = CONFIG.format(issuer=provider.issuer, client=CLIENT)
        env = {"OWN_KEY": "o" * 40, "CLIENT_SECRET": SECRET, "SSL_CERT_FILE": str(provider.ca_file)}
        with running_gateway(text, folder, env) as gateway:
            url = str(gateway.serving["admin_url"]).replace("127.0.0.1", "localhost")
            yield provider, url, folder


@contextmanager
def tab_at(chromium: Chromium, url: str, faults: int) -> Iterator[Tab]:
    """`faults` answers that are no 2xx, which a browser's console tells of."""
    context = chromium.new_context(base_url=url, ignore_https_errors=True)
    context.set_default_timeout(60_000)
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text)
           if message.type in ("error", "warning") else None)  # fmt: skip
    yield tab
    context.close()
    assert len(said) == faults, said


def test_somebody_signs_in_and_out(
    chromium: Chromium, scene: tuple[SignInProvider, str, Path]
) -> None:
    _, url, folder = scene
    with tab_at(chromium, url, 0) as tab:
        tab.goto("/console/keys?tenant=default")
        pictured(tab, "sign-in-provider-light-desk")
        check_access(tab, "sign-in-provider")
        tab.click("text=Sign in with company")
        tab.click("#go")
        tab.wait_for_selector("nav")
        assert tab.url == f"{url}/console/keys?tenant=default", "where they wanted to go"
        cookies = {cookie["name"]: cookie for cookie in tab.context.cookies()}
        assert cookies["headrace_session"]["sameSite"] == "Strict"
        assert "headrace_sign_in" not in cookies
        tab.click("text=Sign out")
        tab.wait_for_selector("#credential")
        tab.goto("/console/keys")
        assert tab.is_visible("#credential"), "the session is over"
    kept = (folder / "log.jsonl").read_text() + (folder / ".headrace" / "audit.jsonl").read_text()
    assert "token:company:ada" in kept
    assert SECRET not in kept and "eyJ" not in kept


def test_somebody_without_a_role_is_told(
    chromium: Chromium, scene: tuple[SignInProvider, str, Path]
) -> None:
    provider, url, _ = scene
    provider.claims_of_people = {"groups": ["g-other"]}
    with tab_at(chromium, url, 1) as tab:
        tab.goto("/console/")
        tab.click("text=Sign in with company")
        tab.click("#go")
        assert "administer nothing here" in (tab.text_content("[role=alert]") or "")
        check_access(tab, "sign-in-refused")

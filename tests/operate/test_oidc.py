"""Access tokens on a running gateway, with an identity provider on a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from support.accounts import settled
from support.commands import run
from support.forged_tokens import bad_members, forgeries, good_tokens
from support.gateway_process import Gateway, running_gateway
from support.identity_provider import AUDIENCE, IdentityProvider, identity_provider, part
from support.scripted import scripted_thread

CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
server: {{drain_s: 2}}
oidc:
  issuers:
    idp:
      issuer: {issuer}
      audience: {audience}
      algorithms: [RS256, ES256, EdDSA]
      allow_private: true
      grants:
        - when: {{groups: g-search}}
          team: search
          tenant: acme
          models: [one]
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]]}}
  two: {{pools: [[up]]}}
"""


def config_of(provider: IdentityProvider, url: str = "http://127.0.0.1:9") -> str:
    return CONFIG.format(issuer=provider.issuer, audience=AUDIENCE, url=url)


def trusting(provider: IdentityProvider) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(provider.ca_file)}


class Scene:
    def __init__(self, provider: IdentityProvider, gateway: Gateway) -> None:
        self.provider = provider
        self.gateway = gateway
        self.client = httpx.Client(base_url=gateway.url, timeout=30)

    def models(self, token: str) -> httpx.Response:
        return self.client.get("/models", headers={"authorization": f"Bearer {token}"})

    def chat(self, token: str, model: str = "one") -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {token}"}
        return self.client.post("/chat/completions", json=body, headers=headers)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        provider = stack.enter_context(identity_provider(folder))
        provider.extra = bad_members()
        upstream = stack.enter_context(scripted_thread())
        text = config_of(provider, upstream.url)
        gateway = stack.enter_context(running_gateway(text, folder, env=trusting(provider)))
        made = Scene(provider, gateway)
        stack.callback(made.client.close)
        yield made


def test_a_token_makes_a_call_of_its_user(scene: Scene) -> None:
    """No key is generated where tokens are credentials."""
    assert scene.gateway.key is None
    answer = scene.chat(scene.provider.token())
    assert answer.status_code == 200, answer.text
    call = answer.headers["x-request-id"]
    account = settled(scene.gateway.folder / ".headrace", [call])[call]
    (intent,) = account.intents
    assert (intent.key, intent.team, intent.tenant) == ("idp:ada", "search", "acme")


def test_what_is_granted_counts(scene: Scene) -> None:
    token = scene.provider.token
    assert [model["id"] for model in scene.models(token()).json()["data"]] == ["one"]
    assert scene.chat(token(), "two").status_code == 403
    refused = scene.chat(token(groups=["g-other"]))
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "access_not_granted"
    as_key = scene.client.get("/models", headers={"api-key": token()})
    assert as_key.status_code == 200


def test_forgeries_are_refused_at_the_port(scene: Scene) -> None:
    """T19."""
    for name, token in good_tokens(scene.provider).items():
        assert scene.models(token).status_code == 200, name
    found = forgeries(scene.provider)
    assert len(found) >= 60
    for name, token in found.items():
        answer = scene.models(token)
        # One that is larger than headers may be is refused before it is read.
        assert answer.status_code in (401, 431), name
        assert "data" not in answer.json(), name


async def test_a_flood_of_kids_at_the_port(scene: Scene) -> None:
    """T20: at most one fetch in 30 s, and good tokens are served meanwhile."""
    provider, rng = scene.provider, random.Random(1)
    assert scene.models(provider.token()).status_code == 200
    fetches, begin = provider.key_fetches, time.monotonic()
    junk = part(provider.claims()), part("x" * 256)
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(base_url=scene.gateway.url, limits=limits, timeout=60) as client:

        async def ask(token: str) -> int:
            answer = await client.get("/models", headers={"authorization": f"Bearer {token}"})
            return answer.status_code

        for _ in range(10_000 // 50 if "HEADRACE_SOAK" in os.environ else 10):
            heads = [part({"alg": "RS256", "kid": f"{rng.getrandbits(64):x}"}) for _ in range(49)]
            tokens = [f"{head}.{junk[0]}.{junk[1]}" for head in heads]
            *refused, served = await asyncio.gather(
                *(ask(token) for token in tokens), ask(provider.token(jti=rng.random()))
            )
            assert set(refused) == {401}
            assert served == 200
    took = time.monotonic() - begin
    assert provider.key_fetches - fetches <= 1 + took / 30


def test_limits_of_a_grant_count_for_each_user(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider, scripted_thread() as upstream:
        limit = "{per: user, requests: 2, every_s: 3600, burst_s: 3600}"
        text = config_of(provider, upstream.url).replace(
            "          team: search\n", f"          team: search\n          limits: [{limit}]\n"
        )
        with running_gateway(text, tmp_path, env=trusting(provider)) as gateway:
            scene = Scene(provider, gateway)
            asked = [scene.chat(provider.token(jti=str(i))).status_code for i in range(3)]
            assert asked == [200, 200, 429]
            assert scene.chat(provider.token(sub="eve")).status_code == 200
            scene.client.close()


def test_a_provider_that_is_away(tmp_path: Path) -> None:
    """Known keys go on, also over a reload; a gateway that never had them says what is wrong."""
    with identity_provider(tmp_path) as provider:
        text, env = config_of(provider), trusting(provider)
        with running_gateway(text, tmp_path, env=env) as gateway:
            scene = Scene(provider, gateway)
            assert scene.models(provider.token()).status_code == 200
            provider.stop()
            assert scene.models(provider.token("ec", sub="eve")).status_code == 200
            (tmp_path / "headrace.yaml").write_text(text.replace("[one]\n", "[one, two]\n", 1))
            end = time.monotonic() + 20
            while len(scene.models(provider.token()).json()["data"]) != 2:
                assert time.monotonic() < end, "the change was never taken up"
                time.sleep(0.05)
            scene.client.close()
        with running_gateway(text, tmp_path, env=env) as gateway:
            scene = Scene(provider, gateway)
            for _ in range(2):
                refused = scene.models(provider.token())
                assert refused.status_code == 503
                assert refused.json()["error"]["code"] == "identity_provider_unavailable"
                assert int(refused.headers["retry-after"]) >= 1
            scene.client.close()


def test_refused_tokens_are_in_the_audit_log_without_themselves(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider:
        token = provider.token(exp=int(time.time()) - 60)
        with running_gateway(config_of(provider), tmp_path, env=trusting(provider)) as gateway:
            scene = Scene(provider, gateway)
            scene.models(token)
            scene.models(provider.token(groups=[]))
            scene.client.close()
    log = (tmp_path / ".headrace" / "audit.jsonl").read_text()
    assert "access token: it has expired" in log
    assert "access token: no grant fits" in log
    assert not any(segment in log for segment in token.split("."))


def test_a_kept_response_is_asked_for_by_token_too(tmp_path: Path) -> None:
    """The first that comes waits for the issuer's keys; one that is refused is audited."""
    with (
        identity_provider(tmp_path) as provider,
        running_gateway(config_of(provider), tmp_path, env=trusting(provider)) as gateway,
    ):
        scene = Scene(provider, gateway)

        def kept(token: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {token}"}
            return scene.client.get("/responses/resp_none", headers=headers)

        assert kept(provider.token()).status_code == 404
        expired = kept(provider.token(exp=int(time.time()) - 60))
        assert expired.status_code == 401
        assert expired.headers["x-request-id"] == expired.json()["error"]["request_id"]
        scene.client.close()
    log = (tmp_path / ".headrace" / "audit.jsonl").read_text()
    assert "access token: it has expired" in log


def test_the_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "without" / "joserfc").mkdir(parents=True)
    (tmp_path / "without" / "joserfc" / "__init__.py").write_text("raise ImportError\n")
    (tmp_path / "headrace.yaml").write_text(
        CONFIG.format(issuer="https://idp.example", audience="a", url="http://127.0.0.1:9")
    )
    path = os.pathsep.join([str(tmp_path / "without"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "serve", "--port", "0"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path.rstrip(os.pathsep)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'headrace[oidc]'" in done.stderr


ISSUER = {
    "issuer": "https://idp.example",
    "audience": "api://headrace",
    "grants": [{}],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": "http://idp.example"}, "must start with `https://`"),
        ({"jwks_url": "http://idp.example/keys"}, "must start with `https://`"),
        ({"discovery_url": "https://a:b@idp.example/"}, "user name or password"),
        ({"issuer": "not a url"}, "this is not a URL"),
        ({"audience": ""}, "the text is empty"),
        ({"audience": []}, "tokens for any other application"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"grants": []}, "grants"),
        ({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, "all directories"),
        ({"issuer": "https://login.microsoftonline.com/common/v2.0"}, "all directories"),
        ({"grants": [{"models": ["nine"]}]}, "there is no model"),
        ({"grants": [{"expires": "2030-02-31"}]}, "is in no calendar"),
        ({"grants": [{"ip_ranges": ["10.0.0.1/8"]}]}, "no address or range"),
        ({"grants": [{"models": []}]}, "so the grant is of no use"),
    ],
    ids=str,
)
def test_settings_that_cannot_be(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    config = {
        "oidc": {"issuers": {"idp": ISSUER | changes}},
        "backends": {"up": {"provider": "openai", "url": "http://127.0.0.1:9/v1"}},
        "models": {"one": {"pools": [["up"]]}},
    }
    (tmp_path / "headrace.yaml").write_text(json.dumps(config))
    done = run(["config", "check"], tmp_path, {})
    assert done.returncode == 3, done.stdout
    assert said in done.stderr


def test_one_issuer_is_written_once(tmp_path: Path) -> None:
    config = {"oidc": {"issuers": {"a": ISSUER, "b": ISSUER}}}
    (tmp_path / "headrace.yaml").write_text(json.dumps(config))
    done = run(["config", "check"], tmp_path, {})
    assert done.returncode == 3
    assert 'this is the issuer of "a" too' in done.stderr


def test_tokens_administer_where_the_file_says_so(tmp_path: Path) -> None:
    """By an audience of its own, so that a token for calls does not; and no key is made."""
    with identity_provider(tmp_path) as provider:
        text = config_of(provider) + (
            "admin:\n  port: 0\n  oidc:\n    idp:\n      audience: api://headrace-admin\n"
            "      grants: [{when: {groups: g-ops}, role: operator, tenants: [acme]}]\n"
            "tenants: {acme: {}}\n"
        )
        with running_gateway(text, tmp_path, env=trusting(provider)) as gateway:
            assert gateway.serving["admin_key"] is None
            url = f"{gateway.serving['admin_url']}/v1/keys"

            def made(tenant: str, **claims: object) -> int:
                token = provider.token(groups=["g-ops", "g-search"], **claims)  # type: ignore[arg-type]
                headers = {"authorization": f"Bearer {token}"}
                body = {"name": "shop", "tenant": tenant}
                return httpx.post(url, json=body, headers=headers, timeout=30).status_code

            assert made("acme", aud="api://headrace-admin") == 201
            assert made("default", aud="api://headrace-admin") == 403
            assert made("acme") == 401, "a token for calls"

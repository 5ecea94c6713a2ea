"""T25: secrets and prompts that pass through a gateway show nowhere but where they belong.

Canaries go in by every way there is, with everything switched on. Then all that the gateway wrote
and said is searched for them, as they are and as they may be encoded.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from chaos.conftest import SOAK
from headrace.edge.headers import Said
from headrace.gateway.callers import Known
from headrace.gateway.identity import Identity
from headrace.gateway.keyring import Keyring
from headrace.gateway.tokens import TokenGrant
from headrace.nouns import Caller
from headrace.platform.secrets import Secret
from support.commands import executed, run
from support.gateway_process import Gateway, running_gateway
from support.identity_provider import AUDIENCE, IdentityProvider, identity_provider
from support.scripted import ScriptedThread, scripted_thread
from support.valkey_process import valkey_process

CANARY = "C4NARY"
"""Within each of them, so that one search finds all."""

CONFIG = """
server:
  drain_s: 2
  workers: {workers}
  trusted_proxies: [127.0.0.1]
keys:
  app: {{secret: "env:APP_KEY", team: search}}
  file: {{secret: "file:secret-key"}}
oidc:
  issuers:
    idp:
      issuer: {issuer}
      audience: {audience}
      allow_private: true
      grants: [{{}}]
backends:
  up: {{provider: openai, url: "{url}/v1", credential: "env:UP_KEY"}}
  dead: {{provider: openai, url: "https://dead.example:1/v1", credential: "env:UP_KEY"}}
  tricky: {{provider: openai, url: "{url}/v1", credential: "env:TRICKY_KEY"}}
models:
  one:
    pools: [[up]]
    fallback: {{cache: true}}
  dead: {{pools: [[dead]]}}
  tricky: {{pools: [[tricky]]}}
limits:
  - {{per: [user, ip], requests: 1000}}
  - {{per: team, tokens: 1_000_000}}
budgets:
  - {{per: key, tokens: 100_000_000, every: day}}
redis: {{url: "{redis}", password: "env:REDIS_PASSWORD"}}
admin: {{port: 0, key: "env:ADMIN_KEY"}}
resilience:
  coalescing: {{mode: always}}
"""
ENV = {
    "APP_KEY": f"app-{CANARY}-key-0123456789",
    "UP_KEY": f"provider-{CANARY}-key-0123456789",
    "TRICKY_KEY": f'tri"cky\\{CANARY}/+=0123456789',
    "ADMIN_KEY": f"Zq9{CANARY}w8xK2mR7tV4yB1nP6sD3gH5jL",
    "REDIS_PASSWORD": f"redis-{CANARY}-0123456789",
    "UNUSED_SECRET": f"unused-{CANARY}-0123456789",
    "HTTPS_PROXY": f"http://user-{CANARY}:password-{CANARY}@127.0.0.1:1",
}
PLAIN = [{"role": "user", "content": f"A plain question of {CANARY}"}]
PROMPT = f"My password is prompt-{CANARY}"


class Scene:
    """Everything that clients saw is in `seen`."""

    def __init__(
        self, gateway: Gateway, upstream: ScriptedThread, provider: IdentityProvider
    ) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.provider = provider
        self.tokens = [
            provider.token(),
            provider.token(exp=int(time.time()) - 100),
            provider.token(aud=f"api://{CANARY}"),
            provider.token(header={"kid": f"kid-{CANARY}"}),
            provider.token(iss=f"https://{CANARY}.example"),
        ]
        self.seen: list[str] = []

    def ask(
        self, key: str, model: str = "one", path: str = "chat/completions", **body: object
    ) -> int:
        """Headers of all kinds go along; those of an answer are seen as its body is."""
        headers = {
            "authorization": f"Bearer {key}",
            "cookie": f"session={CANARY}",
            "x-custom": CANARY,
            "user-agent": CANARY,
            "idempotency-key": f"idempotent-{CANARY}-{len(self.seen)}",
            "x-request-id": f"{CANARY} with blanks",
            "x-forwarded-for": f"{CANARY}, 192.0.2.7",
            "x-headrace-priority": CANARY,
            "x-headrace-explain": "1",
        }
        asked = {
            "model": model,
            "messages": [
                {"role": "system", "content": f"system-{CANARY}"},
                {"role": "user", "content": PROMPT},
            ],
            "user": f"user-{CANARY}",
            "metadata": {"a": CANARY},
            "tools": [{"type": "function", "function": {"name": "f", "description": CANARY}}],
        } | body
        answer = httpx.post(
            f"{self.gateway.url}/{path}", json=asked, headers=headers, timeout=60, trust_env=False
        )
        self.seen += [answer.text, str(answer.headers)]
        return answer.status_code


def _play(scene: Scene) -> None:
    ask, upstream = scene.ask, scene.upstream
    good, *bad = scene.tokens
    for key in (ENV["APP_KEY"], good, f"file-{CANARY}-key-0123456789"):
        assert ask(key) == 200, scene.seen[-2:]
        assert ask(key, stream=True) == 200
    asked = ask(
        ENV["APP_KEY"], path="messages", max_tokens=9, tools=[], metadata={}, messages=PLAIN
    )
    assert asked == 200, scene.seen[-2:]
    for token in bad:
        assert ask(token) == 401
    for key in (
        f"wrong-{CANARY}-0123456789",
        f"hr_{CANARY}0123456789",
        f"' OR '{CANARY}",
        "x" * 99,
    ):
        assert ask(key) == 401
    app = ENV["APP_KEY"]
    assert ask(app, model="unknown") == 404
    assert ask(app, path=f"nowhere?key={CANARY}") == 404
    assert ask(app, path=f"chat/completions?api_key={CANARY}") == 200
    assert ask(app, messages=f"no list {CANARY}") in (200, 400)
    for fault in (
        {"kind": "rate_limited", "message": f"Key {ENV['UP_KEY']} is over its limit."},
        {"kind": "hostile", "form": "keys"},
        {"kind": "hostile", "form": "stack_trace"},
        {"kind": "wrong_body", "form": "text"},
        {"kind": "cut", "after": 1},
    ):
        upstream.script({"fault": fault}, times=3)
        ask(app, messages=[{"role": "user", "content": f"{PROMPT} {fault['kind']}"}])
        ask(app, stream=True)
        upstream.reset()
    upstream.script({"fault": {"kind": "rate_limited", "message": ENV["TRICKY_KEY"]}}, times=3)
    ask(app, model="tricky")
    upstream.reset()
    assert ask(app, model="dead") >= 500
    raw = httpx.post(
        f"{scene.gateway.url}/chat/completions",
        content=f'{{"model": "{CANARY}", broken'.encode(),
        headers={"authorization": f"Bearer {app}"},
        trust_env=False,
    )
    scene.seen += [raw.text, str(raw.headers)]


def _commands(folder: Path, provider: IdentityProvider) -> str:
    """What the commands print."""
    said = ""
    for command in (
        ["config", "show"],
        ["config", "check"],
        ["config", "check", "--json"],
        ["backends", "list"],
        ["backends", "list", "--json"],
        ["usage"],
        ["usage", "--json"],
        ["keys", "list", "--json"],
        ["audit", "list", "--json"],
        ["audit", "verify"],
    ):
        done = run(command, folder, ENV)
        assert done.returncode == 0, (command, done.stderr)
        said += done.stdout + done.stderr
    return said


def _forms(text: str) -> set[str]:
    """How a text may be written down: as it is, in JSON, in URLs, in hexadecimal, in base64 at any
    of its three offsets."""
    data = text.encode()
    cores = {
        base64.b64encode(b"x" * shift + data)[4 * (shift > 0) : -4].decode() for shift in range(3)
    }
    return {
        text,
        json.dumps(text)[1:-1],
        urllib.parse.quote(text),
        data.hex(),
        data.hex().upper(),
        *(core for core in cores if len(core) >= 8),
    }


@pytest.fixture(scope="module", params=[1, 2] if SOAK else [2], ids="{} workers".format)
def traces(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, bytes]]:
    """All that a gateway left behind and said, by where it was found."""
    folder = tmp_path_factory.mktemp("canaries")
    (folder / "secret-key").write_text(f"file-{CANARY}-key-0123456789\n")
    (folder / "secret-key").chmod(0o600)
    with ExitStack() as stack:
        provider = stack.enter_context(identity_provider(folder))
        upstream = stack.enter_context(scripted_thread(tokens=3))
        elsewhere = tmp_path_factory.mktemp("redis")
        password = ["--requirepass", ENV["REDIS_PASSWORD"]]
        redis = stack.enter_context(valkey_process(elsewhere, *password))
        text = CONFIG.format(
            workers=request.param,
            issuer=provider.issuer,
            audience=AUDIENCE,
            url=upstream.url,
            redis=redis.url,
        )
        env = {**ENV, "SSL_CERT_FILE": str(provider.ca_file), "no_proxy": "127.0.0.1"}
        options = ["--log-level", "DEBUG"]
        with running_gateway(text, folder, env, options, executed) as gateway:
            scene = Scene(gateway, upstream, provider)
            _play(scene)
            commands = _commands(folder, provider)
            command_line = Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
        found = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name not in ("secret-key", "headrace.yaml", "ca.pem")
        }
        found["commands"] = commands.encode()
        found["command line"] = command_line
        found["answers"] = "\n".join(scene.seen).encode()
        found["tokens"] = "\n".join(scene.tokens).encode()
        yield found


def test_there_is_something_to_search(traces: dict[str, bytes]) -> None:
    names = set(traces)
    assert {"log.jsonl", ".headrace/audit.jsonl"} <= names
    assert any("/journal-" in name for name in names), names
    assert traces["log.jsonl"].count(b"\n") > 10
    assert traces["log.jsonl"].count(b"***") >= 2, "provider's words with its key are logged"
    assert traces[".headrace/audit.jsonl"].count(b"auth.refused") > 3
    assert b'"intent"' in b"".join(data for name, data in traces.items() if "journal-" in name)
    assert b"backends:" in traces["commands"]


def test_no_canary_anywhere(traces: dict[str, bytes]) -> None:
    forms = _forms(CANARY) | {form for text in (*ENV.values(), PROMPT) for form in _forms(text)}
    for where, data in traces.items():
        if where != "tokens":
            for form in forms:
                at = data.find(form.encode())
                assert at < 0, (where, form, data[max(0, at - 200) : at + 100])


def test_no_token_anywhere(traces: dict[str, bytes]) -> None:
    """Of their parts: the last is a proof, the second holds whoever it speaks of."""
    for token in traces["tokens"].decode().split("\n"):
        for part in token.split(".")[1:]:
            for where, data in traces.items():
                assert where == "tokens" or part.encode() not in data, where


def test_log_lines_are_json(traces: dict[str, bytes]) -> None:
    for line in traces["log.jsonl"].decode().splitlines():
        assert not line or json.loads(line)


def test_nothing_shows_itself() -> None:
    """What may stand in a traceback or a debugger's view of one."""
    said = Said.of([(b"authorization", b"Bearer " + CANARY.encode())])
    assert said.credential == CANARY.encode()
    keyring = Keyring()
    keyring.write({}, {CANARY.encode(): Known(Caller(key_id="k"))})
    identity = Identity(keyring)
    shown = repr([said, Secret(CANARY), identity, keyring, TokenGrant])
    assert CANARY not in shown

"""One gateway before one scripted upstream for the tests of this folder. Calls carry their own
scripts, so that many may run at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from chaos.pairs import FURTHER
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
TRIES = 5
ANTHROPIC_KEY = "sk-ant-0123456789abcdef"
AZURE_KEY = "azure0123456789abcdef0123456789ab"
OTHER_KEY = "other0123456789abcdef0123456789abcd"
KEYS = {"AZURE_KEY": AZURE_KEY, "ANTHROPIC_KEY": ANTHROPIC_KEY, "OTHER_KEY": OTHER_KEY}

STEADY = """
# One attempt, and no memory of earlier faults: these tests look at what one fault becomes.
resilience:
  concurrency: {{least: 1000, start: 1000, most: 1000}}
  shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}
  retry_budget: {{burst: 1000}}
  breaker:
    {{min_calls: 100000, failures_in_a_row: 100000, open_s: 0.000001, open_cap_s: 0.000001,
     longest_open_s: 0.000001,
     probe_successes: 1, slow_start_s: 0.000001, denied_s: 0.000001, spent_s: 0.000001,
     unhinted_throttle_s: 0.000001, longest_throttle_s: 0.000001}}
"""
"""For `str.format`, as `CONFIG` is."""
CONFIG = (
    STEADY
    + """
backends:
  plain: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
  dated:
    {{provider: azure_openai, url: "{url}", deployment: east, credential: env:AZURE_KEY,
     model: gpt-4o}}
  hasty:
    provider: openai
    url: "{url}/v1"
    timeouts: {{first_token_s: 0.5, idle_s: 0.5, whole_s: 0.5}}
  hasty-dated:
    provider: azure_openai
    url: "{url}"
    deployment: east
    credential: env:AZURE_KEY
    timeouts: {{first_token_s: 0.5, idle_s: 0.5, whole_s: 0.5}}
  claude:
    {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY,
     priced_as: anthropic/claude-sonnet-4-5}}
  hasty-claude:
    provider: anthropic
    url: "{url}"
    credential: env:ANTHROPIC_KEY
    timeouts: {{first_token_s: 0.5, idle_s: 0.5, whole_s: 0.5}}
  responding:
    {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o, responses: true}}
  hasty-responding:
    provider: openai
    url: "{url}/v1"
    responses: true
    timeouts: {{first_token_s: 0.5, idle_s: 0.5, whole_s: 0.5}}
  gemini: {{provider: google, url: "{url}/v1beta", credential: env:OTHER_KEY}}
  bedrock:
    {{provider: bedrock, url: "{url}", aws_region: eu-central-1, credential: env:OTHER_KEY}}
  cohere: {{provider: cohere, url: "{url}", credential: env:OTHER_KEY}}
  mistral: {{provider: mistral, url: "{url}/mistral/v1", credential: env:OTHER_KEY}}
  ollama: {{provider: ollama, url: "{url}/ollama/v1"}}
  vllm: {{provider: vllm, url: "{url}/v1"}}
  fresh: {{provider: openai, url: "{fresh}/v1"}}
  closed: {{provider: openai, url: "http://127.0.0.1:{closed}/v1"}}
  unknown-host: {{provider: openai, url: "http://no-such-host.invalid/v1"}}
  no-tls: {{provider: openai, url: "{https}/v1"}}
models:
  plain: {{pools: [[plain]], retry: {{attempts: 1}}}}
  dated: {{pools: [[dated]], retry: {{attempts: 1}}}}
  hasty: {{pools: [[hasty]], retry: {{attempts: 1}}}}
  hasty-dated: {{pools: [[hasty-dated]], retry: {{attempts: 1}}}}
  claude: {{pools: [[claude]], retry: {{attempts: 1}}}}
  hasty-claude: {{pools: [[hasty-claude]], retry: {{attempts: 1}}}}
  responding: {{pools: [[responding]], retry: {{attempts: 1}}}}
  hasty-responding: {{pools: [[hasty-responding]], retry: {{attempts: 1}}}}
  gemini: {{pools: [[gemini]], retry: {{attempts: 1}}}}
  bedrock: {{pools: [[bedrock]], retry: {{attempts: 1}}}}
  cohere: {{pools: [[cohere]], retry: {{attempts: 1}}}}
  mistral: {{pools: [[mistral]], retry: {{attempts: 1}}}}
  ollama: {{pools: [[ollama]], retry: {{attempts: 1}}}}
  vllm: {{pools: [[vllm]], retry: {{attempts: 1}}}}
  fresh: {{pools: [[fresh]], retry: {{attempts: 1}}}}
  closed: {{pools: [[closed]], retry: {{attempts: 1}}}}
  unknown-host: {{pools: [[unknown-host]], retry: {{attempts: 1}}}}
  no-tls: {{pools: [[no-tls]], retry: {{attempts: 1}}}}
"""
)


@pytest.fixture(scope="session")
def scripted_session() -> Iterator[ScriptedThread]:
    with scripted_thread() as upstream:
        yield upstream


@pytest.fixture
def upstream(
    scripted_session: ScriptedThread, gateway: Gateway, request: pytest.FixtureRequest
) -> ScriptedThread:
    """Without scripts and memory, and no backend of it out of use: one good call each brings back
    what a test before this one took out."""
    scripted_session.reset()
    headers = {"authorization": f"Bearer {gateway.key}"}
    with httpx.Client(headers=headers, timeout=30) as client:
        for model in _models_of(request):
            body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
            for _ in range(TRIES):  # some wait for half a second only
                answer = client.post(f"{gateway.url}/chat/completions", json=body)
                if answer.status_code == 200:
                    break
            assert answer.status_code == 200, answer.text
    scripted_session.reset()
    return scripted_session


def _models_of(request: pytest.FixtureRequest) -> list[str]:
    """Those that the test may ask for."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    dialect = params.get("dialect")
    if dialect in FURTHER:
        return [dialect.model]
    models = ("plain", "dated", "claude", "responding")
    return [*models, "hasty", *(f"hasty-{name}" for name in models[1:])]


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    """A port that is taken and not listened on: connecting to it is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def gateway(
    scripted_session: ScriptedThread, closed_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    url = scripted_session.url
    config = CONFIG.format(
        url=url,
        https=url.replace("http:", "https:"),
        closed=closed_port,
        fresh=url.replace("127.0.0.1", "localhost"),  # another origin: no connection is kept to it
    )
    folder = tmp_path_factory.mktemp("chaos")
    with running_gateway(config, folder, env=KEYS) as running:
        yield running

"""One gateway before one scripted upstream for all tests of this folder; each test finds the
upstream without scripts and without memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio

from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CLIENT_KEY = "client-key-0123456789abcdef"
NARROW_KEY = "narrow-key-0123456789abcdef"
PROVIDER_KEY = "sk-provider-0123456789abcdef"
ANTHROPIC_KEY = "sk-ant-0123456789abcdef"
AZURE_KEY = "azure0123456789abcdef0123456789ab"
AWS_KEY_ID = "AKIA0123456789ABCDEF"
AWS_SECRET = "aws0123456789abcdef0123456789abcdef01234"
GOOGLE_KEY = "AIza0123456789abcdef0123456789abcdef"
BODY_LIMIT = 1024 * 1024
BUSY_BACKENDS = 8
"""For tests that leave a backend throttled."""

CONFIG = """
# One attempt, and no memory of earlier faults: these tests look at what one fault becomes.
resilience:
  concurrency: {{least: 1000, start: 1000, most: 1000}}
  breaker:
    {{min_calls: 100000, failures_in_a_row: 100000, open_s: 0.000001, open_cap_s: 0.000001,
     longest_open_s: 0.000001,
     probe_successes: 1, slow_start_s: 0.000001, denied_s: 0.000001, spent_s: 0.000001}}
server: {{body_limit_bytes: {limit}}}
keys:
  client: {{secret: env:CLIENT_KEY}}
  narrow: {{secret: env:NARROW_KEY, models: [gpt-4o]}}
backends:
  plain: {{provider: openai, url: "{url}/v1", credential: env:PROVIDER_KEY}}
  renamed: {{provider: openai, url: "{url}/v1", credential: env:PROVIDER_KEY, model: gpt-4o-mini}}
  dated:
    {{provider: azure_openai, url: "{url}", deployment: east, api_version: "2024-10-21",
     credential: env:AZURE_KEY, model: gpt-4o}}
  v1:
    {{provider: azure_openai, url: "{url}", deployment: west, api_version: v1,
     credential: env:AZURE_KEY, model: gpt-4o}}
  patient: {{provider: openai, url: "{url}/v1", credential: env:PROVIDER_KEY}}
  responding:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER_KEY, model: gpt-4o-mini,
     responses: true}}
  dated-responding:
    {{provider: azure_openai, url: "{url}", deployment: east, credential: env:AZURE_KEY,
     api_version: 2025-04-01-preview, model: gpt-4o}}
  claude:
    {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY,
     priced_as: anthropic/claude-sonnet-4-5}}
  claude-haiku:
    {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY, model: claude-haiku-4-5}}
  claude-busy: {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY}}
  claude-down: {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY}}
  claude-hasty:
    {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY, timeouts: {{whole_s: 0.5}}}}
  gemini:
    {{provider: google, url: "{url}/v1beta", credential: env:GOOGLE_KEY, model: gemini-2.5-flash}}
  gemini-busy: {{provider: google, url: "{url}/v1beta", credential: env:GOOGLE_KEY}}
  mistral:
    {{provider: mistral, url: "{url}/mistral/v1", credential: env:PROVIDER_KEY,
     model: mistral-large-latest}}
  ollama: {{provider: ollama, url: "{url}/ollama/v1", model: "llama3.2:3b"}}
  vllm: {{provider: vllm, url: "{url}/v1"}}
  bedrock:
    {{provider: bedrock, url: "{url}", aws_region: eu-central-1, credential: env:PROVIDER_KEY,
     model: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"}}
  bedrock-signed:
    {{provider: bedrock, url: "{url}", aws_region: eu-central-1, access_key_id: env:AWS_KEY_ID,
     secret_access_key: env:AWS_SECRET, model: "amazon.nova-lite-v1:0"}}
  cohere: {{provider: cohere, url: "{url}", credential: env:PROVIDER_KEY, model: command-a-03-2025}}
  gemini-any: {{provider: google, url: "{url}/v1beta", credential: env:GOOGLE_KEY}}
{busy_backends}
models:
{busy_models}
  patient: {{pools: [[patient]]}}
  responding: {{pools: [[responding]], retry: {{attempts: 1}}}}
  azure-responding: {{pools: [[dated-responding]], retry: {{attempts: 1}}}}
  gpt-4o: {{pools: [[plain]], retry: {{attempts: 1}}}}
  gpt-4o-mini: {{pools: [[plain]], retry: {{attempts: 1}}}}
  text-embedding-3-small: {{pools: [[plain]], retry: {{attempts: 1}}}}
  claude-sonnet: {{pools: [[claude]], retry: {{attempts: 1}}}}
  bedrock: {{pools: [[bedrock]], retry: {{attempts: 1}}}}
  bedrock-nova: {{pools: [[bedrock-signed]], retry: {{attempts: 1}}}}
  cohere: {{pools: [[cohere]], retry: {{attempts: 1}}}}
  mistral: {{pools: [[mistral]], retry: {{attempts: 1}}}}
  ollama: {{pools: [[ollama]], retry: {{attempts: 1}}}}
  vllm: {{pools: [[vllm]], retry: {{attempts: 1}}}}
  mended: {{pools: [[vllm]], retry: {{attempts: 1}}, structured_output: {{repair: true}}}}
  gemini: {{pools: [[gemini]], retry: {{attempts: 1}}}}
  gemini-3-pro-preview: {{pools: [[gemini-any]], retry: {{attempts: 1}}}}
  gemini-busy: {{pools: [[gemini-busy]], retry: {{attempts: 1}}}}
  gemini-embedding-001: {{pools: [[gemini-any]], retry: {{attempts: 1}}}}
  claude-alias: {{pools: [[claude-haiku]], retry: {{attempts: 1}}}}
  claude-busy: {{pools: [[claude-busy]], retry: {{attempts: 1}}}}
  claude-hasty: {{pools: [[claude-hasty]], retry: {{attempts: 1}}}}
  claude-down:
    pools: [[claude-down]]
    retry: {{attempts: 1}}
    fallback: {{cache: true, message: "We are busy.", as_answer: true}}
  either: {{pools: [[claude], [plain]]}}
  alias: {{pools: [[renamed]], retry: {{attempts: 1}}}}
  azure-dated: {{pools: [[dated]], retry: {{attempts: 1}}}}
  azure-v1: {{pools: [[v1]], retry: {{attempts: 1}}}}
"""


EXCLUSIONS = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A standard test of LangChain that skips itself fails here unless the page tells why."""
    report = yield
    if report.skipped and f"`{item.originalname}`" not in EXCLUSIONS:
        report.outcome = "failed"
        report.longrepr = f"skipped, but docs/clients.md does not list it: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def scripted_session() -> Iterator[ScriptedThread]:
    with scripted_thread() as upstream:
        yield upstream


@pytest.fixture
def upstream(scripted_session: ScriptedThread) -> ScriptedThread:
    scripted_session.reset()
    return scripted_session


@pytest.fixture(scope="session")
def gateway(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    env = {
        "CLIENT_KEY": CLIENT_KEY,
        "NARROW_KEY": NARROW_KEY,
        "PROVIDER_KEY": PROVIDER_KEY,
        "AZURE_KEY": AZURE_KEY,
        "ANTHROPIC_KEY": ANTHROPIC_KEY,
        "GOOGLE_KEY": GOOGLE_KEY,
        "AWS_KEY_ID": AWS_KEY_ID,
        "AWS_SECRET": AWS_SECRET,
    }
    url = scripted_session.url
    config = CONFIG.format(
        url=url,
        limit=BODY_LIMIT,
        busy_backends="\n".join(
            f'  busy-{n}: {{provider: openai, url: "{url}/v1"}}' for n in range(BUSY_BACKENDS)
        ),
        busy_models="\n".join(
            f"  busy-{n}: {{pools: [[busy-{n}]], retry: {{attempts: 1}}}}"
            for n in range(BUSY_BACKENDS)
        ),
    )
    with running_gateway(config, tmp_path_factory.mktemp("gateway"), env=env) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway, upstream: ScriptedThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def claude(gateway: Gateway, upstream: ScriptedThread) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.root, api_key=CLIENT_KEY, max_retries=0) as made:
        yield made


@pytest_asyncio.fixture
async def aclient(gateway: Gateway, upstream: ScriptedThread) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def raw(gateway: Gateway, upstream: ScriptedThread) -> Iterator[httpx.Client]:
    """Plain HTTP, for what an SDK would not send or would hide."""
    headers = {"authorization": f"Bearer {CLIENT_KEY}", "content-type": "application/json"}
    with httpx.Client(base_url=gateway.root, headers=headers, timeout=30) as made:
        yield made

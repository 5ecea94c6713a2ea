"""One gateway before one scripted upstream for the tests of this folder. Calls carry their own
scripts, so that many may run at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from chaos.house import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
AZURE_KEY = "azure0123456789abcdef0123456789ab"

CONFIG = """
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
  closed: {{provider: openai, url: "http://127.0.0.1:{closed}/v1"}}
  unknown-host: {{provider: openai, url: "http://no-such-host.invalid/v1"}}
  no-tls: {{provider: openai, url: "{https}/v1"}}
models:
  plain: {{pools: [[plain]]}}
  dated: {{pools: [[dated]]}}
  hasty: {{pools: [[hasty]]}}
  hasty-dated: {{pools: [[hasty-dated]]}}
  closed: {{pools: [[closed]]}}
  unknown-host: {{pools: [[unknown-host]]}}
  no-tls: {{pools: [[no-tls]]}}
"""


@pytest.fixture(scope="session")
def scripted_session() -> Iterator[ScriptedThread]:
    with scripted_thread() as upstream:
        yield upstream


@pytest.fixture
def upstream(scripted_session: ScriptedThread) -> ScriptedThread:
    scripted_session.reset()
    return scripted_session


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
    config = CONFIG.format(url=url, https=url.replace("http:", "https:"), closed=closed_port)
    folder = tmp_path_factory.mktemp("chaos")
    with running_gateway(config, folder, env={"AZURE_KEY": AZURE_KEY}) as running:
        yield running

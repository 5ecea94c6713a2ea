"""docs/compatibility.md: what is passed on arrives at each provider that has it, at no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from clients.compatibility import PAGE, PASSED, PASSED_TO, passed_table
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

KEY = "acme-key-0123456789abcdef"
_ALL = (
    "image_generations, image_edits, image_variations, speech, transcriptions, translations, "
    "moderations, files"
)
CONFIG = """
keys:
  acme: {{secret: env:KEY}}
backends:
  openai: {{provider: openai, url: "{url}/v1", model: m, operations: [{all}]}}
  azure: {{provider: azure_openai, url: "{url}", deployment: east, credential: env:KEY}}
  cohere: {{provider: cohere, url: "{url}", credential: env:KEY, model: m}}
  mistral: {{provider: mistral, url: "{url}/mistral/v1", credential: env:KEY, model: m}}
  vllm: {{provider: vllm, url: "{url}/v1", model: m}}
models:
  OpenAI: {{pools: [[openai]]}}
  Azure: {{pools: [[azure]]}}
  Cohere: {{pools: [[cohere]]}}
  Mistral: {{pools: [[mistral]]}}
  vLLM: {{pools: [[vllm]]}}
"""
_JSON: dict[str, dict[str, Any]] = {
    "images/generations": {"prompt": "A mill"},
    "audio/speech": {"input": "Mill", "voice": "alloy"},
    "moderations": {"input": "Mill"},
    "rerank": {"query": "mill", "documents": ["a mill", "a dog"]},
}


@pytest.fixture(scope="module")
def passing(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(url=scripted_session.url, all=_ALL)
    folder = tmp_path_factory.mktemp("passed")
    with running_gateway(config, folder, env={"KEY": KEY}) as running:
        yield running


@pytest.mark.parametrize("provider", PASSED_TO)
@pytest.mark.parametrize("path", PASSED)
def test_cell(passing: Gateway, upstream: ScriptedThread, path: str, provider: str) -> None:
    model = provider.split()[0]
    headers = {"authorization": f"Bearer {KEY}", "x-headrace-model": model}
    if path in _JSON:
        body = {"model": model, **_JSON[path]}
        answer = httpx.post(f"{passing.url}/{path}", json=body, headers=headers)
    else:
        name = "image" if path.startswith("images") else "file"
        answer = httpx.post(
            f"{passing.url}/{path}",
            data={"purpose": "batch"} if path == "files" else {"model": model, "prompt": "Red"},
            files={name: ("a.bin", b"\0\1" * 100)},
            headers=headers,
        )
    expected = PASSED[path].get(provider)
    if expected is None:
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "unsupported_operation"
        assert not upstream.seen
        return
    assert answer.status_code == 200, answer.text
    assert upstream.only_seen().path.partition("?")[0] == expected


def test_the_page_has_this_table() -> None:
    assert "\n".join(passed_table()) in PAGE.read_text()

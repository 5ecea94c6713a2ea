"""The list of models: what it tells of each, to both SDKs, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headrace.config.loading import load
from headrace.config.problems import ConfigError
from headrace.gateway.prices import PriceBook
from support.gateway_process import Gateway, running_gateway

KEY, NARROW = "catalogue-key-0123456789abcdef", "narrow-key-0123456789abcdef01"
NOBODY = "http://127.0.0.1:9"
CONFIG = """
keys:
  all: {secret: env:ALL_KEY}
  europe: {secret: env:EUROPE_KEY, models: [gpt-4o, claude, far], regions: [eu]}
backends:
  east:
    provider: azure_openai
    url: NOBODY
    deployment: gpt-4o
    credential: env:ALL_KEY
    region: us
    card:
      max_output_tokens: 16384
      input: [text, image]
      output: [text]
      deprecated_on: 2026-03-01
      retires_on: 2027-03-31
  west:
    provider: openai
    url: NOBODY/v1
    model: gpt-4o
    priced_as: openai/gpt-4o
    region: eu
    context_tokens: 64000
    card: {max_output_tokens: 8192, input: [text], deprecated_on: 2026-03-01}
  claude: {provider: anthropic, url: NOBODY, credential: env:ALL_KEY, model: claude-3-opus-latest,
           region: eu, card: {max_output_tokens: 4096, retires_on: 2027-01-05}}
  old: {provider: google, credential: env:ALL_KEY, model: gemini-2.0-flash}
  hears: {provider: openai, url: NOBODY/v1, model: whisper-1, priced_as: openai/whisper-1}
  own: {provider: vllm, url: NOBODY/v1, model: mill-7b}
models:
  gpt-4o: {pools: [[east], [west]]}
  far: {pools: [[east]]}
  claude: {pools: [[claude]]}
  old: {pools: [[old]]}
  own: {pools: [[own]]}
  hears: {pools: [[hears]]}
prices:
  azure/gpt-4o: {input: 2.1, output: 8.40, cached_input: 1, per_thousand_requests: 5}
""".replace("NOBODY", NOBODY)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"ALL_KEY": KEY, "EUROPE_KEY": NARROW}
    with running_gateway(CONFIG, tmp_path_factory.mktemp("catalogue"), env=env) as running:
        yield running


@pytest.fixture(scope="module")
def told(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """By name, as OpenAI's SDK has it."""
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        return {model.id: model.model_dump() for model in client.models.list()}


def test_a_models_backends_are_told_apart_and_together(told: dict[str, dict[str, Any]]) -> None:
    prices = PriceBook.shipped()
    window = prices.context_window("azure", "gpt-4o")
    model = told["gpt-4o"]
    east, west = model["offers"]
    assert (east["backend"], east["provider"], east["region"]) == ("east", "azure", "us")
    assert (east["context_window"], west["context_window"]) == (window, 64_000)
    assert east["max_output_tokens"] == 16_384
    assert east["pricing"] == {
        "currency": "USD",
        "per_tokens": 1_000_000,
        "input": "2.1",
        "cached_input": "1",
        "cache_write": "2.1",
        "output": "8.4",
        "per_request": "0.005",
        "version": east["pricing"]["version"],
    }
    assert east["pricing"]["version"].startswith(f"{prices.version}+own:")
    assert west["pricing"]["input"] == "2.5"
    assert "output_modalities" not in west
    assert (model["context_window"], model["max_output_tokens"]) == (64_000, 8_192)
    assert model["input_modalities"] == ["text", "image"]
    assert model["regions"] == ["eu", "us"]
    assert model["deprecated_on"] == "2026-03-01"
    assert not {"pricing", "retires_on", "deprecated"} & model.keys(), "they differ or are unknown"


def test_what_nobody_knows_is_left_out(told: dict[str, dict[str, Any]]) -> None:
    own = told["own"]
    assert own["shutdown_date"] is None
    assert own.keys() - {"shutdown_date"} == {"id", "object", "created", "owned_by", "offers"}
    assert own["offers"] == [{"backend": "own", "provider": "vllm"}]


def test_the_price_is_that_of_the_ledger(told: dict[str, dict[str, Any]]) -> None:
    price = PriceBook.shipped().price_of("anthropic", "claude-3-opus-latest")
    assert price is not None
    pricing = told["claude"]["pricing"]
    assert float(pricing["input"]) == price.rates.input / price.scale
    assert float(pricing["output"]) == (price.rates.output or 0) / price.scale


def test_what_is_charged_by_the_hour_has_no_price_of_tokens(
    told: dict[str, dict[str, Any]],
) -> None:
    pricing = told["hears"]["pricing"]
    assert pricing["audio_hour"] == "0.36"
    assert "input" not in pricing


def test_days_and_what_is_deprecated(told: dict[str, dict[str, Any]]) -> None:
    assert told["old"]["deprecated"] is True
    assert told["claude"]["retires_on"] == told["claude"]["shutdown_date"] == "2027-01-05"
    assert "deprecated" not in told["claude"]


def test_one_model(gateway: Gateway, told: dict[str, dict[str, Any]]) -> None:
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        assert client.models.retrieve("gpt-4o").model_dump() == told["gpt-4o"]


def test_azures_list_is_the_same(gateway: Gateway, told: dict[str, dict[str, Any]]) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=gateway.root, api_key=KEY, api_version="2024-10-21", max_retries=0
    ) as client:
        assert {model.id: model.model_dump() for model in client.models.list()} == told


def test_anthropics_sdk_finds_its_own_members(gateway: Gateway) -> None:
    with anthropic.Anthropic(base_url=gateway.root, api_key=KEY, max_retries=0) as client:
        by_name = {model.id: model for model in client.models.list()}
        model = client.models.retrieve("claude")
    assert model.model_dump() == by_name["claude"].model_dump()
    window = PriceBook.shipped().context_window("anthropic", "claude-3-opus-latest")
    assert (model.max_input_tokens, model.max_tokens) == (window, 4096)
    assert model.retires_at is not None
    assert model.retires_at.isoformat() == "2027-01-05T00:00:00+00:00"
    assert model.deprecated_at is None
    assert by_name["gpt-4o"].deprecated_at is not None
    assert by_name["own"].max_input_tokens is None
    assert (by_name["own"].lifecycle, by_name["old"].lifecycle) == ("active", "deprecated")


def test_a_caller_sees_its_own_models_and_backends_alone(gateway: Gateway) -> None:
    headers = {"authorization": f"Bearer {NARROW}"}
    with httpx.Client(base_url=gateway.root, headers=headers, timeout=30) as client:
        found = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
        refused = client.get("/v1/models/own")
    assert found.keys() == {"gpt-4o", "claude"}, "far is in another region"
    assert [offer["backend"] for offer in found["gpt-4o"]["offers"]] == ["west"]
    assert found["gpt-4o"]["regions"] == ["eu"]
    assert refused.status_code == 404
    assert "east" not in refused.text


def test_a_card_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "headrace.yaml"
    path.write_text(CONFIG.replace("2027-03-31", "2027-02-31"))
    with pytest.raises(ConfigError, match=r"retires_on: .* is in no calendar"):
        load(path)

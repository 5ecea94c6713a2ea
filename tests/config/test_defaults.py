"""What is served where nothing, or not everything, was written."""

from __future__ import annotations

import pytest

from headrace.config.backends import (
    AnthropicBackend,
    AzureOpenAIBackend,
    LocalBackend,
    MistralBackend,
    OpenAIBackend,
)
from headrace.config.defaults import completed, discover, resolved, search
from headrace.config.schema import Config, Model, Server
from headrace.errors import Setup

AZURE = {
    "AZURE_OPENAI_API_KEY": "k",
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/",
    "AZURE_OPENAI_DEPLOYMENT": "gpt-4o",
}


def one(*backends: str) -> Model:
    return Model(pools=[list(backends)])


def test_an_openai_key_passes_every_model_on() -> None:
    config = discover({"OPENAI_API_KEY": "sk-x"}, local_available=True)
    assert config.backends == {"openai": OpenAIBackend(credential="env:OPENAI_API_KEY")}
    assert config.models == {"*": one("openai")}
    assert "sk-x" not in repr(config)


def test_an_anthropic_key_passes_every_model_on_unless_another_does() -> None:
    environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    config = discover(environ, local_available=True)
    expected = AnthropicBackend(url="http://127.0.0.1:9", credential="env:ANTHROPIC_API_KEY")
    assert config.backends == {"anthropic": expected}
    assert config.models == {"*": one("anthropic")}
    found = search({**environ, "OPENAI_API_KEY": "k"}, local_available=True)
    assert list(found.backends) == ["openai"]
    assert "ANTHROPIC_API_KEY is set too" in found.notes[0]


def test_openai_variables_of_the_sdk_are_heeded() -> None:
    environ = {
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_ORG_ID": "org",
        "OPENAI_PROJECT_ID": "proj",
    }
    backend = discover(environ, local_available=False).backends["openai"]
    assert backend == OpenAIBackend(
        url="http://127.0.0.1:9/v1",
        credential="env:OPENAI_API_KEY",
        organization="org",
        project="proj",
    )


def test_an_azure_deployment_is_offered_by_its_name_beside_another_provider() -> None:
    config = discover({**AZURE, "OPENAI_API_KEY": "k"}, local_available=True)
    assert config.models == {"gpt-4o": one("azure"), "*": one("openai")}
    azure = config.backends["azure"]
    assert isinstance(azure, AzureOpenAIBackend)
    assert azure.credential == "env:AZURE_OPENAI_API_KEY"
    assert azure.api_version == "2024-10-21"


def test_azures_version_variable_is_heeded() -> None:
    config = discover({**AZURE, "OPENAI_API_VERSION": "v1"}, local_available=False)
    azure = config.backends["azure"]
    assert isinstance(azure, AzureOpenAIBackend)
    assert azure.api_version == "v1"


@pytest.mark.parametrize("lacks", ["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_DEPLOYMENT"])
def test_half_of_azures_variables_are_told_of(lacks: str) -> None:
    found = search({k: v for k, v in AZURE.items() if k != lacks}, local_available=True)
    assert "azure" not in found.backends
    assert found.notes == (
        f"AZURE_OPENAI_API_KEY is set, but {lacks} is not, so Azure is not used.",
    )
    assert "local" in found.models


@pytest.mark.parametrize("name", ["openrouter", "groq", "mistral", "deepseek"])
def test_services_that_speak_openais_api_are_found(name: str) -> None:
    config = discover({f"{name.upper()}_API_KEY": "k"}, local_available=True)
    backend = config.backends[name]
    assert isinstance(backend, OpenAIBackend | MistralBackend)
    assert backend.credential == f"env:{name.upper()}_API_KEY"
    assert backend.url.startswith("https://")
    assert config.models == {"*": one(name)}


def test_of_two_services_the_first_is_used_and_the_other_told_of() -> None:
    found = search({"GROQ_API_KEY": "k", "OPENAI_API_KEY": "k"}, local_available=True)
    assert list(found.backends) == ["openai"]
    assert found.notes == (
        "GROQ_API_KEY is set too, but openai answers every model: write backends and models to "
        "headrace.yaml to use both.",
    )


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": " "}, {"OPENAI_API_KEY": ""}])
def test_without_keys_the_embedded_models_are_served(environ: dict[str, str]) -> None:
    config = discover(environ, local_available=True)
    assert config.backends == {
        "smollm2-135m-instruct": LocalBackend(model="smollm2-135m-instruct"),
        "all-minilm-l6-v2": LocalBackend(model="all-minilm-l6-v2"),
    }
    assert config.models == {
        "smollm2-135m-instruct": one("smollm2-135m-instruct"),
        "local": one("smollm2-135m-instruct"),
        "all-minilm-l6-v2": one("all-minilm-l6-v2"),
        "local-embeddings": one("all-minilm-l6-v2"),
    }


def test_nothing_is_served_where_nothing_is_found() -> None:
    assert discover({}, local_available=False) == Config()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://me:hunter2@x"}, "OPENAI_BASE_URL"),
        ({**AZURE, "AZURE_OPENAI_ENDPOINT": "hunter2"}, "AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_a_malformed_url_is_told_of_without_quoting_it(environ: dict[str, str], name: str) -> None:
    with pytest.raises(Setup) as caught:
        discover(environ, local_available=False)
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_backends_without_models_are_offered_by_their_names_and_their_models() -> None:
    config = Config(
        backends={
            "east": AzureOpenAIBackend(url="https://e", deployment="gpt-4o", credential="env:E"),
            "west": AzureOpenAIBackend(url="https://w", deployment="gpt-4o", credential="env:W"),
            "mini": OpenAIBackend(model="gpt-4o-mini", credential="env:O"),
            "rest": OpenAIBackend(credential="env:O"),
            "file": LocalBackend(model="/models/a.gguf"),
        }
    )
    made = resolved(config)
    assert made.models == {
        "east": one("east"),
        "west": one("west"),
        "mini": one("mini"),
        "file": one("file"),
        "gpt-4o": one("east", "west"),
        "gpt-4o-mini": one("mini"),
        "*": one("rest"),
    }
    assert resolved(made) == made


def test_a_backends_own_name_comes_before_anothers_model() -> None:
    config = Config(backends={"a": LocalBackend(model="b"), "b": LocalBackend(model="c")})
    assert resolved(config).models == {"a": one("a"), "b": one("b"), "c": one("b")}


def test_written_models_stay_as_they_are() -> None:
    config = Config(backends={"a": LocalBackend(), "b": LocalBackend()}, models={"m": one("a")})
    assert resolved(config) is config


def test_a_file_with_settings_alone_serves_what_is_found() -> None:
    config = completed(Config(server=Server(port=1)), {"GROQ_API_KEY": "k"}, local_available=False)
    assert config.server.port == 1
    assert list(config.backends) == ["groq"]
    written = Config(backends={"a": LocalBackend(model="m")})
    assert completed(written, {"GROQ_API_KEY": "k"}, local_available=False) == resolved(written)

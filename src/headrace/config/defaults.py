"""What Headrace serves where the operator wrote nothing. Pure: the environment is handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from headrace.config.backends import (
    AnthropicBackend,
    AnyBackend,
    AzureOpenAIBackend,
    LocalBackend,
    MistralBackend,
    OpenAIBackend,
    model_of,
)
from headrace.config.key_rules import ANY_MODEL
from headrace.config.providers import OPENAI_COMPATIBLE
from headrace.config.rules import open_backends
from headrace.config.schema import Config, Model, ModelName
from headrace.config.urls import anthropic_url_fault, azure_url_fault, url_fault
from headrace.errors import Setup

CHAT_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "all-minilm-l6-v2"
LOCAL_ALIASES = {CHAT_MODEL: ("local",), EMBEDDING_MODEL: ("local-embeddings",)}


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found in the environment. `notes` are sentences for the operator."""

    backends: dict[str, AnyBackend]
    models: dict[str, Model]
    notes: tuple[str, ...]


def resolved(config: Config) -> Config:
    """Fills in `models` if the operator left them out but wrote backends.

    Then each backend that has a fixed model is offered by its own name, and all backends of one
    model share the model's name, in one tier. A single backend without a `model` gets every other
    name. Idempotent; a config that has models is returned as it is.
    """
    if config.models or not config.backends:
        return config
    models: dict[str, Model] = {}
    passing = list(open_backends(config))
    by_model: dict[str, list[str]] = {}
    for name, backend in config.backends.items():
        if name in passing:
            continue
        models[name] = Model(pools=[[name]])
        by_model.setdefault(model_of(backend) or "", []).append(name)
    for name, backends in by_model.items():
        if name not in models and _is_name(name):
            models[name] = Model(pools=[backends])
    if len(passing) == 1:
        models[ANY_MODEL] = Model(pools=[passing])
    return msgspec.structs.replace(config, models=models)


def completed(config: Config, environ: Mapping[str, str], local_available: bool) -> Config:
    """For a file that has settings but neither backends nor models: adds what is found."""
    if config.backends or config.models:
        return resolved(config)
    found = search(environ, local_available)
    return msgspec.structs.replace(config, backends=found.backends, models=found.models)


def discover(environ: Mapping[str, str], local_available: bool) -> Config:
    """The config that is served without a file.

    Providers whose key is in `environ`, else the embedded models if `local_available`, else
    nothing. Raises `Setup` if a variable that holds a URL is malformed.
    """
    return completed(Config(), environ, local_available)


def search(environ: Mapping[str, str], local_available: bool) -> Discovery:
    """Looks for providers' keys in `environ`.

    The first provider that takes any model answers `"*"`, in the order OpenAI, OpenRouter, Groq,
    Mistral, DeepSeek, Anthropic; others are told of in the notes, since a name alone doesn't say
    whose it is. An Azure deployment is offered by its own name.
    """
    notes: list[str] = []
    backends: dict[str, AnyBackend] = {}
    models: dict[str, Model] = {}
    for name, variable, backend in _openai_like(environ):
        if ANY_MODEL in models:
            notes.append(
                f"{variable} is set too, but {next(iter(backends))} answers every model: write "
                "backends and models to headrace.yaml to use both."
            )
            continue
        backends[name] = backend
        models[ANY_MODEL] = Model(pools=[[name]])
    if _value(environ, "ANTHROPIC_API_KEY"):
        if ANY_MODEL in models:
            notes.append(
                f"ANTHROPIC_API_KEY is set too, but {next(iter(backends))} answers every model: "
                "write backends and models to headrace.yaml to use both."
            )
        else:
            backends["anthropic"] = _anthropic(environ)
            models[ANY_MODEL] = Model(pools=[["anthropic"]])
    azure = _azure(environ, notes)
    if azure is not None:
        backends["azure"] = azure
        models = {azure.deployment: Model(pools=[["azure"]]), **models}
    if not backends and _value(environ, "OPENAI_BASE_URL"):
        notes.append("OPENAI_BASE_URL is set, but OPENAI_API_KEY is not, so it is not used.")
    if not backends and local_available:
        for name, aliases in LOCAL_ALIASES.items():
            backends[name] = LocalBackend(model=name)
            for alias in (name, *aliases):
                models[alias] = Model(pools=[[name]])
    return Discovery(backends, models, tuple(notes))


def _openai_like(environ: Mapping[str, str]) -> list[tuple[str, str, AnyBackend]]:
    found: list[tuple[str, str, AnyBackend]] = []
    if _value(environ, "OPENAI_API_KEY"):
        url = _url(environ, "OPENAI_BASE_URL", url_fault) or "https://api.openai.com/v1"
        backend = OpenAIBackend(
            url=url,
            credential="env:OPENAI_API_KEY",
            organization=_value(environ, "OPENAI_ORG_ID"),
            project=_value(environ, "OPENAI_PROJECT_ID"),
        )
        found.append(("openai", "OPENAI_API_KEY", backend))
    for name in ("openrouter", "groq", "mistral", "deepseek"):
        variable = f"{name.upper()}_API_KEY"
        if _value(environ, variable):
            found.append((name, variable, _by_name(name, f"env:{variable}")))
    return found


def _by_name(name: str, credential: str) -> AnyBackend:
    if name == "mistral":
        return MistralBackend(credential=credential)
    return OpenAIBackend(url=OPENAI_COMPATIBLE[name], credential=credential)


def _anthropic(environ: Mapping[str, str]) -> AnthropicBackend:
    backend = AnthropicBackend(credential="env:ANTHROPIC_API_KEY")
    url = _url(environ, "ANTHROPIC_BASE_URL", anthropic_url_fault)
    return msgspec.structs.replace(backend, url=url) if url else backend


def _azure(environ: Mapping[str, str], notes: list[str]) -> AzureOpenAIBackend | None:
    if not _value(environ, "AZURE_OPENAI_API_KEY"):
        return None
    endpoint = _url(environ, "AZURE_OPENAI_ENDPOINT", azure_url_fault)
    deployment = _value(environ, "AZURE_OPENAI_DEPLOYMENT")
    if endpoint is None or deployment is None or not _is_name(deployment):
        lacks = "AZURE_OPENAI_ENDPOINT" if endpoint is None else "AZURE_OPENAI_DEPLOYMENT"
        notes.append(f"AZURE_OPENAI_API_KEY is set, but {lacks} is not, so Azure is not used.")
        return None
    version = _value(environ, "OPENAI_API_VERSION")
    backend = AzureOpenAIBackend(
        url=endpoint, deployment=deployment, credential="env:AZURE_OPENAI_API_KEY"
    )
    return msgspec.structs.replace(backend, api_version=version) if version else backend


def _value(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None


def _url(
    environ: Mapping[str, str], name: str, fault_of: Callable[[str], tuple[str, str] | None]
) -> str | None:
    url = _value(environ, name)
    fault = None if url is None else fault_of(url)
    if fault is not None:
        raise Setup(f"{name} can't be used: {fault[0]}.", fault[1])
    return url


def _is_name(text: str) -> bool:
    try:
        msgspec.convert(text, ModelName)
    except msgspec.ValidationError:
        return False
    return text != ANY_MODEL and re.search(r"\s", text) is None

"""What the operator may write under `backends`: one struct for each provider."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headrace.config.model_cards import ModelCard
from headrace.config.references import SecretRef
from headrace.config.terms import Capability, Name, Operation

Seconds = Annotated[float, Meta(gt=0, le=86_400, description="a duration in seconds")]
ContextTokens = Annotated[int, Meta(ge=256, le=100_000_000)]
PricedAs = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9-]{1,64}/[^\s]{1,256}$",
        description="a provider and a model as `PROVIDER/MODEL`",
    ),
]


AwsRegion = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,4}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$",
        description="a region of AWS, such as `us-east-1`",
    ),
]


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an upstream may take."""

    connect_s: Seconds = 5.0
    """To open a connection."""
    first_token_s: Seconds = 15.0
    """Of a stream: to the first event."""
    idle_s: Seconds = 30.0
    """Between two events of a stream, or two parts of a whole answer's body."""
    whole_s: Seconds = 60.0
    """Of a whole answer: to its end, over all attempts. One that need not be the last has two
    thirds of what is left."""
    stream_s: Seconds = 600.0
    """Of a stream: to its end."""


class HostedBackend(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="provider"
):
    """What all backends have that are asked over the network. Those made of it have its
    `forbid_unknown_fields` and `tag_field` too."""

    url: str | None
    """Base URL."""
    model: str | None = None
    """The model's name at the provider; leave out to pass on the name the client used."""
    region: Name | None = None
    """Where it runs, as you name it."""
    context_tokens: ContextTokens | None = None
    """The model's context window, for `context_fallback` and the list of models."""
    capabilities: list[Capability] | None = None
    """What its model has: requests that need more are never sent to it. Leave out to let all be
    tried."""
    card: ModelCard = ModelCard()
    """What the list of models tells of it."""
    timeouts: Timeouts = Timeouts()
    """How long this backend may take."""


class OpenAIBackend(HostedBackend, frozen=True, kw_only=True, tag="openai"):
    """OpenAI, or any server that speaks its API: vLLM, Ollama, llama.cpp, Groq, OpenRouter."""

    url: str = "https://api.openai.com/v1"
    """Base URL, with its `/v1` if the server has one."""
    credential: SecretRef | None = None
    """Where the provider's key is: `env:NAME` or `file:PATH`. Leave out for servers without."""
    priced_as: PricedAs | None = None
    """Whose prices apply, such as `openai/gpt-4o-mini`. Leave out to take them by the URL's host
    and the model's name."""
    organization: str | None = None
    """Sent as `OpenAI-Organization`."""
    project: str | None = None
    """Sent as `OpenAI-Project`."""
    include_usage: bool = True
    """Ask for token usage in streams; switch off for servers that refuse `stream_options`."""
    operations: list[Operation] | None = None
    """What it can do, of all that is listed here; leave out to let chats, completions and
    embeddings be tried and, at OpenAI's own URL, all but `rerank`."""
    responses: bool | None = None
    """Whether it has the Responses API, to which such calls then pass through; others are
    translated to chats. Leave out for what is known: OpenAI's own URL has it,
    other servers are not asked for it."""


class AzureOpenAIBackend(HostedBackend, frozen=True, kw_only=True, tag="azure_openai"):
    """A deployment of Azure OpenAI."""

    url: str
    """The resource's endpoint, such as `https://NAME.openai.azure.com`."""
    deployment: str
    """The deployment's name."""
    credential: SecretRef
    """Where the resource's key is: `env:NAME` or `file:PATH`."""
    api_version: str = "2024-10-21"
    """The data-plane API version, or `v1` for the `/openai/v1` surface."""
    model: str | None = None
    """The model behind the deployment, for prices; leave out if the deployment has its name."""
    include_usage: bool = True
    """Ask for token usage in streams; needs API version 2024-09-01-preview or newer."""
    operations: list[Operation] | None = None
    """What it can do; leave out to let all be tried that Azure has: no `moderations`, `rerank` or
    `image_variations`."""
    responses: bool | None = None
    """Whether it has the Responses API, to which such calls then pass through; others are
    translated to chats. Leave out for what is known: API version `v1` and those
    from 2025-03-01 on have it."""


class AnthropicBackend(HostedBackend, frozen=True, kw_only=True, tag="anthropic"):
    """Anthropic's Messages API."""

    url: str = "https://api.anthropic.com"
    """Base URL, without `/v1`."""
    credential: SecretRef
    """Where the API key is: `env:NAME` or `file:PATH`."""
    priced_as: PricedAs | None = None
    """Whose prices apply, such as `anthropic/claude-sonnet-4-5`. Leave out to take Anthropic's by
    the model's name."""
    max_tokens: Annotated[int, Meta(ge=1, le=10_000_000)] = 4096
    """The longest answer to clients of other dialects that name no limit, which Anthropic's API
    demands."""


class GoogleBackend(HostedBackend, frozen=True, kw_only=True, tag="google"):
    """Google's Gemini API."""

    url: str = "https://generativelanguage.googleapis.com/v1beta"
    """Base URL, with the API's version: what stands before `/models`."""
    credential: SecretRef
    """Where the API key is: `env:NAME` or `file:PATH`."""
    priced_as: PricedAs | None = None
    """Whose prices apply, such as `google/gemini-2.5-flash`. Leave out to take Google's by the
    model's name."""


class CohereBackend(HostedBackend, frozen=True, kw_only=True, tag="cohere"):
    """Cohere's API."""

    url: str = "https://api.cohere.com"
    """Base URL, without `/v2`."""
    credential: SecretRef
    """Where the API key is: `env:NAME` or `file:PATH`."""
    priced_as: PricedAs | None = None
    """Whose prices apply, such as `cohere/command-a`. Leave out to take Cohere's by the model's
    name."""


class MistralBackend(HostedBackend, frozen=True, kw_only=True, tag="mistral"):
    """Mistral's API."""

    url: str = "https://api.mistral.ai/v1"
    """Base URL, with its `/v1`."""
    credential: SecretRef
    """Where the API key is: `env:NAME` or `file:PATH`."""
    priced_as: PricedAs | None = None
    """Whose prices apply, such as `mistral/mistral-large-latest`. Leave out to take Mistral's by
    the model's name."""
    operations: list[Operation] | None = None
    """What it can do, of `chat`, `embeddings`, `transcriptions`, `moderations`, `files`; leave out
    to let all be tried."""


class OllamaBackend(HostedBackend, frozen=True, kw_only=True, tag="ollama"):
    """An Ollama server."""

    url: str = "http://127.0.0.1:11434/v1"
    """Base URL, with its `/v1`."""
    credential: SecretRef | None = None
    """Where a key is, for servers behind one: `env:NAME` or `file:PATH`."""
    priced_as: PricedAs | None = None
    """Whose prices apply; leave out if nobody asks any."""
    operations: list[Operation] | None = None
    """What it can do, of `chat`, `completions`, `embeddings`; leave out to let all be tried."""
    timeouts: Timeouts = Timeouts(first_token_s=60.0, whole_s=300.0)


class VllmBackend(HostedBackend, frozen=True, kw_only=True, tag="vllm"):
    """A vLLM server."""

    url: str = "http://127.0.0.1:8000/v1"
    """Base URL, with its `/v1`."""
    credential: SecretRef | None = None
    """Where the key of `--api-key` is: `env:NAME` or `file:PATH`."""
    priced_as: PricedAs | None = None
    """Whose prices apply; leave out if nobody asks any."""
    operations: list[Operation] | None = None
    """What it can do, of `chat`, `completions`, `embeddings`, `transcriptions`, `translations`,
    `rerank`; leave out to let all be tried."""


class BedrockBackend(HostedBackend, frozen=True, kw_only=True, tag="bedrock"):
    """AWS Bedrock's Converse API. It needs a `credential`, or an access key and
    `pip install 'headrace[bedrock]'`."""

    aws_region: AwsRegion
    """AWS's region, such as `eu-central-1`."""
    url: str | None = None
    """The endpoint; leave out for `https://bedrock-runtime.REGION.amazonaws.com`."""
    credential: SecretRef | None = None
    """Where an API key of Bedrock is: `env:NAME` or `file:PATH`."""
    access_key_id: SecretRef | None = None
    """Where the id of an access key is, in place of `credential`."""
    secret_access_key: SecretRef | None = None
    """Where the access key's secret is."""
    session_token: SecretRef | None = None
    """Where the session token of a temporary access key is."""
    model: str | None = None
    """Bedrock's id of the model or inference profile, such as
    `eu.anthropic.claude-sonnet-4-5-20250929-v1:0`; leave out to pass on the client's name."""
    priced_as: PricedAs | None = None
    """Whose prices apply, such as `aws/anthropic.claude-sonnet-4-5-20250929-v1:0`. Leave out to
    take AWS's by the model's id."""


class LocalBackend(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="provider", tag="local"
):
    """A model that runs on this machine, in a process of its own."""

    model: str = "smollm2-135m-instruct"
    """A model known to `headrace models list`, or the path of a GGUF file."""
    context_tokens: Annotated[int, Meta(ge=256)] = 4096
    """Context window of each call."""
    parallel: Annotated[int, Meta(ge=1, le=64)] = 2
    """Calls worked on at once."""
    queue: Annotated[int, Meta(ge=0, le=10_000)] = 16
    """Calls that may wait; more are answered with 503."""
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """CPU threads; 0 takes half of the cores, so that a busy machine does not stall them."""
    region: Name | None = None
    """Where it runs, as you name it."""
    capabilities: list[Capability] | None = None
    """What its model has: requests that need more are never sent to it. Leave out for all but
    `vision`, which no model has here."""
    card: ModelCard = ModelCard()
    """What the list of models tells of it."""
    timeouts: Timeouts = Timeouts(first_token_s=60.0, whole_s=300.0)
    """How long this backend may take."""


AnyBackend = (
    OpenAIBackend
    | AzureOpenAIBackend
    | AnthropicBackend
    | GoogleBackend
    | BedrockBackend
    | CohereBackend
    | MistralBackend
    | OllamaBackend
    | VllmBackend
    | LocalBackend
)


_TEXT_ALONE: frozenset[Capability] = frozenset(("tools", "json_schema"))
"""What the models of this machine have at most: none is loaded with eyes."""


def capabilities_of(backend: AnyBackend) -> frozenset[Capability] | None:
    """What its model has at most; None if nobody says."""
    if backend.capabilities is not None:
        return frozenset(backend.capabilities)
    return _TEXT_ALONE if isinstance(backend, LocalBackend) else None


def model_of(backend: AnyBackend) -> str | None:
    """The model that it answers with. None if it passes on the name that the client used."""
    if isinstance(backend, AzureOpenAIBackend):
        return backend.model or backend.deployment
    return backend.model

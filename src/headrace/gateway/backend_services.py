"""From a backend's configuration to the service that asks it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import assert_never
from urllib.parse import urlsplit

from headrace.config.backends import (
    AnthropicBackend,
    AnyBackend,
    AzureOpenAIBackend,
    BedrockBackend,
    CohereBackend,
    GoogleBackend,
    LocalBackend,
    MistralBackend,
    OllamaBackend,
    OpenAIBackend,
    VllmBackend,
)
from headrace.config.schema import Config
from headrace.errors import Setup
from headrace.gateway.prices import PriceBook
from headrace.nouns import Operation
from headrace.platform.http.messages import Origin
from headrace.platform.secrets import Secrets
from headrace.services.anthropic import AnthropicService
from headrace.services.aws_signing import AwsKey, Sign, signer
from headrace.services.azure_openai import azure_openai_service, has_responses
from headrace.services.bedrock import BedrockService, bearing
from headrace.services.cohere import CohereService
from headrace.services.google import GoogleService
from headrace.services.local.admission import Admission
from headrace.services.local.catalogue import resolve
from headrace.services.local.process import Endpoint
from headrace.services.local.service import LocalService
from headrace.services.mistral import MistralService
from headrace.services.ollama import OllamaService
from headrace.services.openai import PATHS, OpenAIService
from headrace.services.openai_like import OpenAILikeService
from headrace.services.service import Service
from headrace.services.translated import (
    AnthropicForOpenAI,
    AnthropicForResponses,
    OpenAIForAnthropic,
    OpenAIForResponses,
)
from headrace.services.vllm import VllmService

_LIKE_OPENAI: Mapping[type, tuple[type[OpenAILikeService], str]] = MappingProxyType(
    {MistralBackend: (MistralService, "mistral"), OllamaBackend: (OllamaService, "ollama")}
)
OPENAI_HOST = "api.openai.com"
"""Of servers that speak OpenAI's API, the one that has all of it."""


class BackendServices:
    """Makes services of one configuration."""

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        endpoints: Mapping[str, Endpoint],
        prices: PriceBook,
    ) -> None:
        self.config = config
        self._secrets = secrets
        self._endpoints = endpoints
        self._prices = prices

    def services(self) -> dict[str, Service]:
        """By the backends' names. Raises Setup for a secret that cannot be read or a local model
        that is not running."""
        return {
            name: self._service(name, backend) for name, backend in self.config.backends.items()
        }

    def able(self, service: Service, name: str, operation: Operation) -> Service | None:
        """The service of a backend as it does this operation, maybe in another dialect."""
        backend = self.config.backends[name]
        policy = self.config.translation.unsupported
        if service.serves(operation):
            return service
        if operation is Operation.CHAT and isinstance(backend, AnthropicBackend):
            return AnthropicForOpenAI(service, policy, backend.max_tokens)
        if operation is Operation.MESSAGES and service.serves(Operation.CHAT):
            return OpenAIForAnthropic(service, policy)
        if operation is Operation.RESPONSES and isinstance(backend, AnthropicBackend):
            return AnthropicForResponses(service, policy, backend.max_tokens)
        if operation is Operation.RESPONSES and service.serves(Operation.CHAT):
            return OpenAIForResponses(service, policy)
        return None

    def _service(self, name: str, backend: AnyBackend) -> Service:
        match backend:
            case OpenAIBackend():
                return self._openai(backend)
            case AzureOpenAIBackend():
                return azure_openai_service(
                    origin=Origin.of(backend.url),
                    path=_path(backend.url),
                    api_key=self._secret(backend.credential),
                    deployment=backend.deployment,
                    api_version=backend.api_version,
                    priced_as=backend.model,
                    include_usage=backend.include_usage,
                    operations=_operations(
                        backend.operations, _responses(backend, has_responses(backend.api_version))
                    ),
                )
            case AnthropicBackend():
                provider, priced_model = _priced(backend.priced_as, "anthropic")
                return AnthropicService(
                    origin=Origin.of(backend.url),
                    path=_path(backend.url),
                    api_key=self._secret(backend.credential),
                    model=backend.model,
                    provider=provider,
                    priced_as=priced_model,
                )
            case GoogleBackend() | CohereBackend():
                google = isinstance(backend, GoogleBackend)
                provider, priced_model = _priced(
                    backend.priced_as, "google" if google else "cohere"
                )
                return (GoogleService if google else CohereService)(
                    origin=Origin.of(backend.url),
                    path=_path(backend.url),
                    api_key=self._secret(backend.credential),
                    model=backend.model,
                    provider=provider,
                    priced_as=priced_model,
                    policy=self.config.translation.unsupported,
                )
            case BedrockBackend():
                return self._bedrock(backend)
            case MistralBackend() | OllamaBackend():
                return self._openai_like(backend)
            case VllmBackend():
                provider, priced_model = _priced(backend.priced_as, "vllm")
                return VllmService(
                    origin=Origin.of(backend.url),
                    path=_path(backend.url),
                    headers=self._bearer(backend.credential),
                    model=backend.model,
                    provider=provider,
                    priced_as=priced_model,
                    operations=_operations(backend.operations),
                )
            case LocalBackend():
                return self._local(name, backend)
            case _:
                assert_never(backend)

    def _openai(self, backend: OpenAIBackend) -> Service:
        headers = self._bearer(backend.credential)
        if backend.organization is not None:
            headers.append((b"OpenAI-Organization", backend.organization.encode()))
        if backend.project is not None:
            headers.append((b"OpenAI-Project", backend.project.encode()))
        known = self._prices.provider_of_url(backend.url) or "unknown"
        provider, priced_model = _priced(backend.priced_as, known)
        return OpenAIService(
            origin=Origin.of(backend.url),
            path=_path(backend.url),
            headers=headers,
            model=backend.model,
            provider=provider,
            priced_as=priced_model,
            include_usage=backend.include_usage,
            operations=_operations(
                backend.operations,
                _responses(backend, urlsplit(backend.url).hostname == OPENAI_HOST),
            ),
        )

    def _bedrock(self, backend: BedrockBackend) -> Service:
        region = backend.aws_region
        ending = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        url = backend.url or f"https://bedrock-runtime.{region}.{ending}"
        provider, priced_model = _priced(backend.priced_as, "aws")
        return BedrockService(
            origin=Origin.of(url),
            path=_path(url),
            sign=self._signer(backend),
            model=backend.model,
            provider=provider,
            priced_as=priced_model,
            policy=self.config.translation.unsupported,
        )

    def _signer(self, backend: BedrockBackend) -> Sign:
        if backend.credential is not None:
            return bearing(self._secret(backend.credential))
        id, secret, token = (
            None if reference is None else self._secret(reference).decode()
            for reference in (
                backend.access_key_id,
                backend.secret_access_key,
                backend.session_token,
            )
        )
        return signer(AwsKey(id or "", secret or "", token), backend.aws_region)

    def _openai_like(self, backend: MistralBackend | OllamaBackend) -> Service:
        kind, name = _LIKE_OPENAI[type(backend)]
        provider, priced_model = _priced(backend.priced_as, name)
        return kind(
            origin=Origin.of(backend.url),
            path=_path(backend.url),
            headers=self._bearer(backend.credential),
            model=backend.model,
            provider=provider,
            priced_as=priced_model,
            operations=_operations(backend.operations),
            policy=self.config.translation.unsupported,
        )

    def _bearer(self, reference: str | None) -> list[tuple[bytes, bytes]]:
        if reference is None:
            return []
        return [(b"Authorization", b"Bearer " + self._secret(reference))]

    def _local(self, name: str, backend: LocalBackend) -> Service:
        if name not in self._endpoints:
            raise Setup(
                f"The local model of backend {name!r} is not running.",
                "Local backends are started with the gateway: restart it to add one.",
            )
        admission = Admission.share(
            backend.model, backend.parallel, backend.queue, self.config.server.workers
        )
        return LocalService(self._endpoints[name], resolve(backend.model).kind, admission)

    def _secret(self, reference: str) -> bytes:
        return self._secrets.get(reference, time.monotonic()).reveal().encode()


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _priced(written: str | None, provider: str) -> tuple[str, str | None]:
    """Provider and model for prices: what the operator wrote, else the provider's own."""
    if written is None:
        return provider, None
    named, _, model = written.partition("/")
    return named, model


def _operations(
    names: Sequence[str] | None, more: frozenset[Operation] = frozenset()
) -> frozenset[Operation]:
    """What the operator wrote, or all that every such server is tried for; and `more`."""
    usual = PATHS.keys() - {Operation.RESPONSES}
    return frozenset(usual if names is None else map(Operation, names)) | more


def _responses(backend: OpenAIBackend | AzureOpenAIBackend, known: bool) -> frozenset[Operation]:
    """The Responses API, if the operator says that the backend has it, or it is known to."""
    has = backend.responses
    if has is None:
        has = known and (backend.operations is None or "chat" in backend.operations)
    return frozenset({Operation.RESPONSES} if has else ())

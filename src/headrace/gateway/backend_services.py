"""From a backend's configuration to the service that asks it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TypedDict, assert_never
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
from headrace.gateway.passed_services import OPENAI_HOST, passed_on_service
from headrace.gateway.priced_backends import seller_of
from headrace.gateway.prices import PriceBook
from headrace.nouns import PASSED_ON, Operation
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
from headrace.services.service import Service
from headrace.services.translated import AnthropicForOthers, OpenAIForOthers
from headrace.services.vllm import VllmService


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
        self._passed_on: dict[str, Service | None] = {}

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
        if operation in PASSED_ON:
            passed_on = self._passing(name, backend, service)
            return passed_on if passed_on is not None and passed_on.serves(operation) else None
        if service.serves(operation):
            return service
        other: AnthropicForOthers | OpenAIForOthers
        if isinstance(backend, AnthropicBackend):
            other = AnthropicForOthers(service, policy, backend.max_tokens)
        elif isinstance(service, OpenAIService) and service.serves(Operation.CHAT):
            other = OpenAIForOthers(service, policy)
        else:
            return None
        return other if other.serves(operation) else None

    def _passing(self, name: str, backend: AnyBackend, own: Service) -> Service | None:
        """Made once."""
        if name not in self._passed_on:
            keeps = own.serves(Operation.RESPONSES) and isinstance(own, OpenAIService)
            more = frozenset({Operation.RESPONSE} if keeps else ())
            self._passed_on[name] = passed_on_service(
                backend, self._secret, seller_of(backend, self._prices), more
            )
        return self._passed_on[name]

    def _service(self, name: str, backend: AnyBackend) -> Service:
        policy = self.config.translation.unsupported
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
                return AnthropicService(
                    **self._place(backend, backend.url),
                    api_key=self._secret(backend.credential),
                )
            case GoogleBackend():
                return GoogleService(
                    **self._place(backend, backend.url),
                    api_key=self._secret(backend.credential),
                    policy=policy,
                )
            case CohereBackend():
                return CohereService(
                    **self._place(backend, backend.url),
                    api_key=self._secret(backend.credential),
                    policy=policy,
                )
            case BedrockBackend():
                return BedrockService(
                    **self._place(backend, _bedrock_url(backend)),
                    sign=self._signer(backend),
                    policy=policy,
                )
            case MistralBackend():
                return MistralService(
                    **self._place(backend, backend.url),
                    headers=self._bearer(backend.credential),
                    operations=_operations(backend.operations),
                    policy=policy,
                )
            case OllamaBackend():
                return OllamaService(
                    **self._place(backend, backend.url),
                    headers=self._bearer(backend.credential),
                    operations=_operations(backend.operations),
                    policy=policy,
                )
            case VllmBackend():
                return VllmService(
                    **self._place(backend, backend.url),
                    headers=self._bearer(backend.credential),
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
        return OpenAIService(
            **self._place(backend, backend.url),
            headers=headers,
            include_usage=backend.include_usage,
            operations=_operations(
                backend.operations,
                _responses(backend, urlsplit(backend.url).hostname == OPENAI_HOST),
            ),
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

    def _place(self, backend: AnyBackend, url: str) -> _Place:
        provider, priced_as = seller_of(backend, self._prices)
        return _Place(
            origin=Origin.of(url),
            path=_path(url),
            model=backend.model,
            provider=provider,
            priced_as=priced_as,
        )

    def _secret(self, reference: str) -> bytes:
        return self._secrets.get(reference, time.monotonic()).reveal().encode()


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


class _Place(TypedDict):
    """What every service is told of where it asks, for which model, and whose prices apply."""

    origin: Origin
    path: str
    model: str | None
    provider: str
    priced_as: str | None


def _bedrock_url(backend: BedrockBackend) -> str:
    region = backend.aws_region
    ending = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return backend.url or f"https://bedrock-runtime.{region}.{ending}"


def _operations(
    names: Sequence[str] | None, more: frozenset[Operation] = frozenset()
) -> frozenset[Operation]:
    """What the operator wrote, or all that every such server is tried for; and `more`."""
    usual = PATHS.keys() - {Operation.RESPONSES}
    return frozenset(usual if names is None else usual & set(map(Operation, names))) | more


def _responses(backend: OpenAIBackend | AzureOpenAIBackend, known: bool) -> frozenset[Operation]:
    """The Responses API, if the operator says that the backend has it, or it is known to."""
    has = backend.responses
    if has is None:
        has = known and (backend.operations is None or "chat" in backend.operations)
    return frozenset({Operation.RESPONSES} if has else ())

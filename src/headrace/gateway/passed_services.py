"""From a backend's configuration to the service of what is passed on to it as it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict
from urllib.parse import quote, urlsplit

from headrace.config.backends import (
    AnyBackend,
    AzureOpenAIBackend,
    CohereBackend,
    HostedBackend,
    OpenAIBackend,
)
from headrace.config.passed_operations import of_its_api
from headrace.nouns import Operation
from headrace.platform.http.messages import Origin
from headrace.services.azure_openai import V1
from headrace.services.passed_on import PATHS, PassedOnService

OPENAI_HOST = "api.openai.com"
"""Of servers that speak OpenAI's API, the one that has all of it."""


_OF_RESOURCE = {Operation.FILES, Operation.REALTIME, Operation.RESPONSE}
"""At Azure: not of a deployment."""


class _Common(TypedDict):
    origin: Origin
    headers: list[tuple[bytes, bytes]]
    model: str | None
    provider: str
    priced_as: str | None


def tried(backend: AnyBackend) -> frozenset[Operation]:
    """What a backend may be asked for, of what is passed on."""
    has = of_its_api(backend)
    named = getattr(backend, "operations", None)
    if named is not None:
        return has & set(map(Operation, named))
    if isinstance(backend, OpenAIBackend):
        known = urlsplit(backend.url).hostname == OPENAI_HOST
        return has - {Operation.RERANK} if known else frozenset()
    return has


def passed_on_service(
    backend: AnyBackend,
    secret: Callable[[str], bytes],
    seller: tuple[str, str | None],
    more: frozenset[Operation] = frozenset(),
) -> PassedOnService | None:
    """None if nothing is passed on to it. `seller` is by whose prices it is paid, `more` what else
    it has. Raises Setup for a secret that cannot be read."""
    operations = tried(backend) | more
    if not operations:
        return None
    assert isinstance(backend, HostedBackend), "others have none of them"
    assert backend.url is not None, "all of these have one"
    origin, path = Origin.of(backend.url), urlsplit(backend.url).path.rstrip("/")
    if isinstance(backend, AzureOpenAIBackend):
        return _azure(backend, origin, path, operations, secret(backend.credential))
    common = _Common(
        origin=origin,
        headers=_headers(backend, secret),
        model=backend.model,
        provider=seller[0],
        priced_as=seller[1],
    )
    start = f"{path}/v2" if isinstance(backend, CohereBackend) else path
    return PassedOnService(paths={op: start + PATHS[op] for op in operations}, **common)


def _headers(backend: HostedBackend, secret: Callable[[str], bytes]) -> list[tuple[bytes, bytes]]:
    reference: str | None = getattr(backend, "credential", None)
    headers = [] if reference is None else [(b"Authorization", b"Bearer " + secret(reference))]
    if isinstance(backend, OpenAIBackend):
        if backend.organization is not None:
            headers.append((b"OpenAI-Organization", backend.organization.encode()))
        if backend.project is not None:
            headers.append((b"OpenAI-Project", backend.project.encode()))
    return headers


def _azure(
    backend: AzureOpenAIBackend,
    origin: Origin,
    path: str,
    operations: frozenset[Operation],
    key: bytes,
) -> PassedOnService:
    """https://learn.microsoft.com/azure/ai-foundry/openai/reference: images and sound are of a
    deployment, files of the resource."""
    start, query = f"{path}/openai/v1", ""
    paths = {operation: start + PATHS[operation] for operation in operations}
    if backend.api_version != V1:
        start = f"{path}/openai/deployments/{quote(backend.deployment, safe='')}"
        query = f"?api-version={quote(backend.api_version, safe='')}"
        paths = {operation: start + PATHS[operation] for operation in operations}
        for operation in operations & _OF_RESOURCE:
            paths[operation] = f"{path}/openai{PATHS[operation]}"
    return PassedOnService(
        origin=origin,
        paths=paths,
        headers=[(b"api-key", key)],
        model=backend.deployment,
        provider="azure",
        priced_as=backend.model or backend.deployment,
        query=query,
        named_by_path=backend.api_version != V1,
    )

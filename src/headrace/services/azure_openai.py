"""Azure OpenAI: deployments by path and API version, or the newer `/openai/v1` surface.

https://learn.microsoft.com/azure/ai-foundry/openai/reference and
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle. The bodies are OpenAI's
with more members (content filter results), which pass through.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin
from headrace.services.openai import PATHS, OpenAIService

V1 = "v1"


class AzureDeployment(OpenAIService):
    """One deployment under `/openai/deployments/NAME`: the path names the model, not the body, but
    for responses, which are asked for at `/openai/responses`."""

    def _name(self, call: Call) -> msgspec.Raw | None:
        return self._model_json if call.operation is Operation.RESPONSES else None


def has_responses(api_version: str) -> bool:
    """Whether the Responses API is in this version: `v1`, or one of 2025-03-01-preview or later."""
    return api_version == V1 or api_version[:10] >= "2025-03-01"


def azure_openai_service(
    *,
    origin: Origin,
    path: str,
    api_key: bytes,
    deployment: str,
    api_version: str,
    priced_as: str | None,
    include_usage: bool,
    operations: frozenset[Operation],
) -> OpenAIService:
    """The service of one deployment. `path` is what the resource's URL has before `/openai`."""
    headers = [(b"api-key", api_key)]
    if api_version == V1:
        return OpenAIService(
            origin=origin,
            path=f"{path}/openai/v1",
            headers=headers,
            model=deployment,
            provider="azure",
            priced_as=priced_as or deployment,
            include_usage=include_usage,
            operations=operations,
        )
    named = f"/deployments/{quote(deployment, safe='')}"
    paths = {operation: named + own for operation, own in PATHS.items()}
    return AzureDeployment(
        origin=origin,
        path=f"{path}/openai",
        paths=paths | {Operation.RESPONSES: PATHS[Operation.RESPONSES]},
        headers=headers,
        model=deployment,
        provider="azure",
        priced_as=priced_as or deployment,
        include_usage=include_usage,
        operations=operations,
        query=f"?api-version={quote(api_version, safe='')}",
    )

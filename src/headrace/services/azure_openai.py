"""Azure OpenAI: deployments by path and API version, or the newer `/openai/v1` surface.

https://learn.microsoft.com/azure/ai-foundry/openai/reference and
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle. The bodies are OpenAI's
with more members (content filter results), which pass through.
"""

from __future__ import annotations

from urllib.parse import quote

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin
from headrace.services.openai import OpenAIService

V1 = "v1"


class AzureDeployment(OpenAIService):
    """One deployment under `/openai/deployments/NAME`: the path names the model, not the body."""

    def _name(self, call: Call) -> None:
        return None


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
    return AzureDeployment(
        origin=origin,
        path=f"{path}/openai/deployments/{quote(deployment, safe='')}",
        headers=headers,
        provider="azure",
        priced_as=priced_as or deployment,
        include_usage=include_usage,
        operations=operations,
        query=f"?api-version={quote(api_version, safe='')}",
    )

"""What to do about a path at which there is nothing."""

from __future__ import annotations

_SERVED = (
    "It serves /v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings, "
    "/v1/images/..., /v1/audio/..., /v1/moderations, /v1/rerank, /v1/files and /v1/models, "
    "Azure OpenAI's /openai/deployments/NAME/... and /openai/v1/..., and Anthropic's "
    "/v1/messages, for which the base URL has no `/v1`."
)


def advice(path: bytes) -> str:
    """Sentences for the client's developer."""
    if path.startswith(b"/v1/v1/"):
        return "Your client adds `/v1` itself: give it this gateway's URL without `/v1`."
    if path.startswith(b"/v1/openai/"):
        return "Your client adds `/openai` itself: give it this gateway's URL without `/v1`."
    if path.startswith((b"/v1/", b"/openai/")):
        return f"Your client found the gateway, but this one has no such call. {_SERVED}"
    return f"Point your client's base URL at `/v1` of this gateway. {_SERVED}"

"""OpenAI and every server that speaks its API (vLLM, Ollama, llama.cpp, Groq, OpenRouter).

https://platform.openai.com/docs/api-reference. Cannot express: nothing, bodies pass through.
"""

from __future__ import annotations

import msgspec

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin, WireRequest, encode_head
from headrace.services import openai_wire
from headrace.services.service import StreamReader, WholeRead

PATHS = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETIONS: "/completions",
    Operation.EMBEDDINGS: "/embeddings",
}
USER_AGENT = b"headrace"


class OpenAIService:
    """One OpenAI-compatible base URL. `headers` may hold a credential; they are not shown."""

    provider = "openai"

    def __init__(
        self,
        *,
        origin: Origin,
        path: str,
        headers: list[tuple[bytes, bytes]],
        model: str | None = None,
        provider: str = "openai",
        priced_as: str | None = None,
        include_usage: bool = True,
        operations: frozenset[Operation] = frozenset(Operation),
        query: str = "",
    ) -> None:
        self.provider = provider
        self.priced_as = priced_as or model
        self._origin = origin
        self._model = model
        self._model_json = None if model is None else msgspec.json.encode(model)
        self._include_usage = include_usage
        self._operations = operations
        common = [
            (b"Host", origin.authority.encode()),
            (b"User-Agent", USER_AGENT),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            (b"Content-Type", b"application/json"),
            *headers,
        ]
        self._heads = {
            operation: encode_head(b"POST", (path + PATHS[operation] + query).encode(), common)
            for operation in operations
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin.authority})"

    def serves(self, operation: Operation) -> bool:
        return operation in self._operations

    def request(self, call: Call) -> WireRequest:
        changes = self._named(call)
        if call.stream and self._include_usage and not call.wants_usage:
            changes["stream_options"] = openai_wire.asking_for_usage(call.body)
        head = b"%bx-request-id: %b\r\n" % (self._heads[call.operation], call.id.encode())
        return WireRequest(self._origin, head, openai_wire.rewritten(call.body, changes))

    def _named(self, call: Call) -> dict[str, bytes]:
        """What must change for the body to name the provider's model."""
        if self._model_json is not None:
            return {} if self._model == call.body_model else {"model": self._model_json}
        if call.body_model != call.model:
            # The path names the model (Azure's dialect): what the caller may use and pays for.
            return {"model": msgspec.json.encode(call.model)}
        return {}

    def stream_reader(self, call: Call) -> StreamReader:
        return openai_wire.OpenAIStreamReader(
            hide_usage=self._include_usage and not call.wants_usage
        )

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        return openai_wire.read_whole(call, body)

    def enter(self, now: float) -> int:
        """Places here are the provider's business."""
        return 0

    def leave(self, place: int, now: float) -> None:
        """See `enter`."""

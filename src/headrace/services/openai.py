"""OpenAI and every server that speaks its API (vLLM, Ollama, llama.cpp, Groq, OpenRouter).

https://platform.openai.com/docs/api-reference. Cannot express: nothing, bodies pass through.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin, WireRequest, encode_head
from headrace.services import openai_wire, responses_wire
from headrace.services.service import Service, StreamReader, WholeRead

PATHS = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETIONS: "/completions",
    Operation.EMBEDDINGS: "/embeddings",
    Operation.RESPONSES: "/responses",
}
USER_AGENT = b"headrace"


def common_headers(origin: Origin) -> list[tuple[bytes, bytes]]:
    """What every provider is sent with a body of JSON, beside its own headers."""
    return [
        (b"Host", origin.authority.encode()),
        (b"User-Agent", USER_AGENT),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
        (b"Content-Type", b"application/json"),
    ]


class OpenAIService(Service):
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
        operations: frozenset[Operation] = frozenset(PATHS),
        paths: Mapping[Operation, str] = PATHS,
        query: str = "",
    ) -> None:
        """`paths` are what stands between `path` and `query`."""
        self.provider = provider
        self.priced_as = priced_as or model
        self._origin = origin
        self._model_json = None if model is None else msgspec.Raw(msgspec.json.encode(model))
        self._include_usage = include_usage
        self._operations = operations
        common = [*common_headers(origin), *headers]
        self._heads = {
            operation: encode_head(b"POST", (path + paths[operation] + query).encode(), common)
            for operation in operations
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin.authority})"

    def serves(self, operation: Operation) -> bool:
        return operation in self._operations

    def request(self, call: Call) -> WireRequest:
        members = openai_wire.members_of(call.body)
        name = self._name(call)
        if name is not None:
            members["model"] = name
        if call.stream and self._include_usage and not call.wants_usage:
            asked = members.get("stream_options")
            members["stream_options"] = openai_wire.asking_for_usage(asked)
        head = b"%bx-request-id: %b\r\n" % (self._heads[call.operation], call.id.encode())
        if call.operation is Operation.RESPONSES:
            note = responses_wire.without_foreign_thinking(members, kept=call.previous is not None)
            return WireRequest(self._origin, head, openai_wire.written(members), note=note)
        return WireRequest(self._origin, head, openai_wire.written(members))

    def _name(self, call: Call) -> msgspec.Raw | None:
        """The provider's name of the model, None where the body has it or needs none."""
        if self._model_json is not None:
            return self._model_json
        if call.body_model != call.model:
            # The path names the model (Azure's dialect): what the caller may use and pays for.
            return msgspec.Raw(msgspec.json.encode(call.model))
        return None

    def stream_reader(self, call: Call) -> StreamReader:
        if call.operation is Operation.RESPONSES:
            return responses_wire.ResponsesStreamReader()
        return openai_wire.OpenAIStreamReader(
            hide_usage=self._include_usage and not call.wants_usage,
            asks_usage=self._include_usage or call.wants_usage,
        )

    def plain(self, data: bytes) -> bytes:
        """An answer, or the data of an event, in OpenAI's own form, for translation. Raises
        BadAnswer."""
        return data

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        if call.operation is Operation.RESPONSES:
            return responses_wire.read_whole(body)
        return openai_wire.read_whole(call, body)

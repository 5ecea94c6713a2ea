"""Google: Gemini's own API.

https://ai.google.dev/api. Chats, whole and streamed, go by way of the neutral form:
`dialects/google_asking.py` says what of them cannot be expressed, `dialects/google_answering.py`
how answers are read. Tokens are counted by `countTokens`, texts embedded by `batchEmbedContents`.
Cannot express: text completions, embeddings of token numbers. Answers' citations
and parts of other kinds than text and calls of functions are not asked for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from headrace.nouns import Call, Operation, Usage
from headrace.platform.http.messages import Origin, WireRequest
from headrace.services.answer_json import answer_of, present
from headrace.services.counts import Count
from headrace.services.dialects import anthropic_asking, google_answering, google_asking
from headrace.services.dialects.neutral import Answered, Asked
from headrace.services.dialects.objects import given, rest
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.dialects.one_call import OwnEvents
from headrace.services.embedding_list import openai_list, texts_of
from headrace.services.interpreted import InterpretedService
from headrace.services.service import BadAnswer, WholeRead

METHODS = {
    Operation.COUNT_TOKENS: ":countTokens",
    Operation.EMBEDDINGS: ":batchEmbedContents",
}
_encode = msgspec.json.Encoder().encode
_objects = msgspec.json.Decoder(dict[str, Any])


class GoogleService(InterpretedService):
    """One base URL, with its API's version. `api_key` is not shown."""

    whose = "Gemini's API"

    def __init__(
        self,
        *,
        origin: Origin,
        path: str,
        api_key: bytes,
        model: str | None,
        provider: str,
        priced_as: str | None,
        policy: Policy,
    ) -> None:
        super().__init__(
            origin=origin,
            path=path,
            model=model,
            provider=provider,
            priced_as=priced_as,
            policy=policy,
        )
        self._own = [(b"X-Goog-Api-Key", api_key)]

    def serves(self, operation: Operation) -> bool:
        return operation in METHODS or super().serves(operation)

    def _bare(self, call: Call) -> str:
        """The model's name as a path has it."""
        return self._name(call).removeprefix("models/")

    def _method(self, call: Call, method: str, body: dict[str, Any]) -> WireRequest:
        target = f"/models/{quote(self._bare(call), safe='')}{method}"
        return self._post(call, target, self._own, _encode(body))

    def _asking(self, asked: Asked, call: Call, lost: Omissions) -> WireRequest:
        body = google_asking.written(asked, self._bare(call), lost)
        method = ":streamGenerateContent?alt=sse" if call.stream else ":generateContent"
        return self._method(call, method, body)

    def _answered(self, call: Call, body: bytes) -> Answered | bytes:
        answer = google_answering.read(body, call.id)
        if isinstance(answer, Answered):
            answer.model = answer.model or self._name(call)
        return answer

    def _events(self, call: Call) -> OwnEvents:
        return google_answering.GoogleEvents(call.id)

    def _wire(self, call: Call, lost: Omissions) -> WireRequest:
        method = METHODS.get(call.operation)
        if method is None:
            return super()._wire(call, lost)
        members = _objects.decode(call.body)
        name = f"models/{self._bare(call)}"
        if call.operation is Operation.COUNT_TOKENS:
            asked = anthropic_asking.read(members)
            body = google_asking.written(asked, self._bare(call), lost)
            counted = {"generateContentRequest": {"model": name, **body}}
            return self._method(call, method, counted)
        return self._method(call, method, _embedding(members, name, lost))

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        if call.operation not in METHODS:
            return super().read_whole(call, body)
        read = answer_of(_others, body)
        if present(read.error):
            return WholeRead(None, error=bytes(read.error))
        if call.operation is Operation.COUNT_TOKENS:
            if read.total_tokens is None:
                raise BadAnswer("a JSON object without a count of tokens")
            return WholeRead(Usage(), body=b'{"input_tokens":%d}' % read.total_tokens)
        if read.embeddings is None:
            raise BadAnswer("a JSON object without the answer's members")
        used = read.usage_metadata
        tokens = None if used is None else used.prompt_token_count
        vectors = [vector.values for vector in read.embeddings]
        return openai_list(vectors, tokens, call, self._name(call))


class _Vector(Struct):
    values: list[float]


class _Used(Struct, rename="camel"):
    prompt_token_count: Count = 0


class _Other(Struct, rename="camel"):
    total_tokens: int | None = None
    embeddings: list[_Vector] | None = None
    usage_metadata: _Used | None = None
    error: Raw = Raw(b"")


_others = msgspec.json.Decoder(_Other)


def _embedding(members: dict[str, Any], name: str, lost: Omissions) -> dict[str, Any]:
    """Raises Refused."""
    take = members.pop
    take("model", None)
    take("encoding_format", None)
    texts, dimensions = texts_of(take("input", None), GoogleService.whose), take("dimensions", None)
    for other in rest(members):
        lost.lose(other)
    return {
        "requests": [
            given(model=name, content={"parts": [{"text": text}]}, outputDimensionality=dimensions)
            for text in texts
        ]
    }

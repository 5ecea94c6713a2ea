"""Cohere: its API, version 2.

https://docs.cohere.com/v2/reference/chat, https://docs.cohere.com/v2/reference/embed. Chats go by
way of the neutral form: `dialects/cohere_asking.py` says what of them cannot be expressed,
`dialects/cohere_answering.py` how answers are read. Texts are embedded as `search_document` unless
the client says `input_type`, which Cohere demands. Cannot express: text completions, counts of
tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin, WireRequest
from headrace.services.answer_json import answer_of
from headrace.services.counts import Amount
from headrace.services.dialects import cohere_answering, cohere_asking
from headrace.services.dialects.neutral import Answered, Asked
from headrace.services.dialects.objects import given, rest
from headrace.services.dialects.omissions import Omissions, Policy
from headrace.services.dialects.one_call import OwnEvents
from headrace.services.embedding_list import openai_list, texts_of
from headrace.services.interpreted import InterpretedService
from headrace.services.service import WholeRead

INPUT_TYPE = "search_document"
_encode = msgspec.json.Encoder().encode
_objects = msgspec.json.Decoder(dict[str, Any])


class CohereService(InterpretedService):
    """One base URL. `api_key` is not shown."""

    whose = "Cohere's API"

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
        self._own = [(b"Authorization", b"Bearer " + api_key)]

    def serves(self, operation: Operation) -> bool:
        return operation is Operation.EMBEDDINGS or super().serves(operation)

    def _asking(self, asked: Asked, call: Call, lost: Omissions) -> WireRequest:
        asked.stream = call.stream
        body = cohere_asking.written(asked, self._name(call), lost)
        return self._post(call, "/v2/chat", self._own, _encode(body))

    def _answered(self, call: Call, body: bytes) -> Answered | bytes:
        return cohere_answering.read(body, self._name(call))

    def _events(self, call: Call) -> OwnEvents:
        return cohere_answering.CohereEvents(self._name(call))

    def _wire(self, call: Call, lost: Omissions) -> WireRequest:
        if call.operation is not Operation.EMBEDDINGS:
            return super()._wire(call, lost)
        members = _objects.decode(call.body)
        members.pop("model", None)
        members.pop("encoding_format", None)
        body = given(
            model=self._name(call),
            texts=texts_of(members.pop("input", None), self.whose),
            input_type=members.pop("input_type", INPUT_TYPE),
            output_dimension=members.pop("dimensions", None),
            embedding_types=["float"],
        )
        for other in rest(members):
            lost.lose(other)
        return self._post(call, "/v2/embed", self._own, _encode(body))

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        if call.operation is not Operation.EMBEDDINGS:
            return super().read_whole(call, body)
        read = answer_of(_embedded, body)
        told = None if read.meta is None else read.meta.billed_units.input_tokens
        tokens = None if told is None else int(told)
        return openai_list(read.embeddings.as_floats, tokens, call, self._name(call))


class _Units(Struct, frozen=True):
    input_tokens: Amount | None = None


class _Meta(Struct, frozen=True):
    billed_units: _Units = _Units()


class _Vectors(Struct, rename={"as_floats": "float"}):
    as_floats: list[list[float]]


class _Embedded(Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


_embedded = msgspec.json.Decoder(_Embedded)

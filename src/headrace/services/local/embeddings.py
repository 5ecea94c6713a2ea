"""`POST /v1/embeddings` of the worker, in OpenAI's format."""

from __future__ import annotations

import asyncio
import base64
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
from msgspec import Struct

from headrace.platform.http.exchange import Exchange
from headrace.services.local.embedder import Embedder
from headrace.services.local.serving import JSON, refuse

_MAX_INPUTS = 2048
"""As OpenAI has it."""


class _Asked(Struct, frozen=True):
    input: Any
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class _Vector(Struct, frozen=True):
    index: int
    embedding: list[float] | str
    object: str = "embedding"


class _Usage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class _Answered(Struct, frozen=True):
    data: list[_Vector]
    model: str
    usage: _Usage
    object: str = "list"


_decode = msgspec.json.Decoder(_Asked).decode


class EmbeddingsApi:
    """Answers calls with an embedder, `parallel` of them at once, each in a thread."""

    def __init__(self, model: str, embedder: Embedder, parallel: int) -> None:
        self._model = model
        self._embedder = embedder
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="embed")

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.target.partition(b"?")[0] != b"/v1/embeddings":
            refuse(exchange, 404, f"{self._model} is an embeddings model: use /v1/embeddings")
            return
        if exchange.method != b"POST":
            refuse(exchange, 405, "use POST")
            return
        try:
            asked = _decode(exchange.body)
            texts = _texts(asked.input)
            if asked.dimensions is not None:
                raise _Unfit(
                    f"{self._model} gives vectors of one length: leave out 'dimensions'",
                    "dimensions",
                )
        except _Unfit as fault:
            refuse(exchange, 400, fault.detail, param=fault.param)
            return
        except msgspec.ValidationError as fault:
            refuse(exchange, 400, f"the body is not an embeddings request: {fault}")
            return
        except msgspec.DecodeError:
            refuse(exchange, 400, "the body is not valid JSON")
            return
        loop = asyncio.get_running_loop()
        embedded = await loop.run_in_executor(self._threads, self._embedder.embed, texts)
        face = _base64 if asked.encoding_format == "base64" else _floats
        answer = _Answered(
            [_Vector(index, face(vector)) for index, vector in enumerate(embedded.vectors)],
            self._model,
            _Usage(embedded.tokens, embedded.tokens),
        )
        exchange.respond(200, JSON, msgspec.json.encode(answer))


class _Unfit(Exception):  # noqa: N818
    """The request asks for what this model cannot give."""

    def __init__(self, detail: str, param: str = "input") -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param


def _texts(given: Any) -> list[str]:
    """The texts of `input`. Raises _Unfit."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _Unfit("'input' must be a text or a list of texts")
    if any(isinstance(text, (int, list)) for text in texts):
        raise _Unfit(
            "this local model takes texts, not arrays of tokens: send 'input' as text "
            "(in LangChain: check_embedding_ctx_length=False)"
        )
    if len(texts) > _MAX_INPUTS:
        raise _Unfit(f"'input' may hold at most {_MAX_INPUTS} texts")
    if not all(isinstance(text, str) and text for text in texts):
        raise _Unfit("each text of 'input' must be a non-empty string")
    return texts


def _floats(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()

"""`POST /v1/embeddings` of the worker, in OpenAI's format."""

from __future__ import annotations

import asyncio
import base64
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
from msgspec import Struct

from headrace.services.local.embedder import Embedder
from headrace.services.local.http_server import Answer, Request, error

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

    async def __call__(self, request: Request) -> Answer:
        if request.path not in (b"/v1/embeddings", b"/embeddings"):
            return error(404, f"{self._model} is an embeddings model: use /v1/embeddings")
        if request.method != b"POST":
            return error(405, "use POST")
        try:
            asked = _decode(request.body)
        except msgspec.ValidationError as fault:
            return error(400, f"the body is not an embeddings request: {fault}")
        except msgspec.DecodeError:
            return error(400, "the body is not valid JSON")
        texts = _texts(asked.input)
        if isinstance(texts, Answer):
            return texts
        if asked.dimensions is not None:
            return error(
                400,
                f"{self._model} gives vectors of one length: leave out 'dimensions'",
                param="dimensions",
            )
        loop = asyncio.get_running_loop()
        embedded = await loop.run_in_executor(self._threads, self._embedder.embed, texts)
        face = _base64 if asked.encoding_format == "base64" else _floats
        answer = _Answered(
            [_Vector(index, face(vector)) for index, vector in enumerate(embedded.vectors)],
            self._model,
            _Usage(embedded.tokens, embedded.tokens),
        )
        return Answer(200, msgspec.json.encode(answer))


def _texts(given: Any) -> list[str] | Answer:
    """The texts of `input`, or the error that says why they are none."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        return error(400, "'input' must be a text or a list of texts", param="input")
    if any(isinstance(text, (int, list)) for text in texts):
        return error(
            400,
            "this local model takes texts, not arrays of tokens: send 'input' as text "
            "(in LangChain: check_embedding_ctx_length=False)",
            param="input",
        )
    if len(texts) > _MAX_INPUTS:
        return error(400, f"'input' may hold at most {_MAX_INPUTS} texts", param="input")
    if not all(isinstance(text, str) and text for text in texts):
        return error(400, "each text of 'input' must be a non-empty string", param="input")
    return texts


def _floats(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()

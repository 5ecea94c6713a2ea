"""OpenAI's requests and answers of embeddings, for providers that have other words for them."""

from __future__ import annotations

import base64
from array import array
from typing import Any

import msgspec

from headrace.errors import Reason, Refused
from headrace.nouns import Call, Usage
from headrace.services.dialects.objects import list_of
from headrace.services.service import WholeRead

_encode = msgspec.json.Encoder().encode
_objects = msgspec.json.Decoder(dict[str, Any])


def texts_of(wanted: Any, whose: str) -> list[str]:
    """The texts of `input`. Raises Refused for token numbers, which no other provider takes."""
    texts = [wanted] if isinstance(wanted, str) else list_of(wanted, "input")
    if not all(isinstance(text, str) for text in texts):
        raise Refused(
            Reason.UNSUPPORTED_BY_PROVIDER,
            f"'input' cannot be expressed in {whose}, which the backend of this model speaks: it "
            "embeds texts, not token numbers. Send texts.",
            param="input",
        )
    return texts


def openai_list(
    vectors: list[list[float]], tokens: int | None, call: Call, model: str
) -> WholeRead:
    """The answer, as numbers or packed, as the client asked. `tokens` is None where the provider
    does not say what it used."""
    packed = _objects.decode(call.body).get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(array("f", vector).tobytes()).decode()
            if packed
            else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    answer: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if tokens is None:
        return WholeRead(None, body=_encode(answer))
    answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return WholeRead(Usage(tokens), body=_encode(answer))

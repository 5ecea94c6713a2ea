"""How many tokens a prompt may have, before anybody counted them. Pure.

For limits: the body's bytes over 4, which is what English text comes to in common vocabularies.
The JSON around each message, some 30 bytes, stands for the few tokens that a provider adds for it.
Images, sound and files count by class instead of by their bytes. What is wrong with it is put right
when the provider's own figures are there.

For budgets: an upper bound. Byte-level vocabularies make no token of less than one byte, so a body
has no more tokens than bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

BYTES_PER_TOKEN = 4
IMAGE_LOW = 85
"""OpenAI's figure for `detail: low`."""
IMAGE_USUAL = 1_105
"""OpenAI's figure for a square of 1024 at high detail: 4 tiles."""
IMAGE_MOST = 50_000
"""No image costs more: gpt-4o-mini's figure for the most tiles, 2833 + 8 * 5667, rounded up."""
SOUND_BYTES_PER_TOKEN = 3_200
"""Of 16-bit sound at 16 kHz, some 10 tokens a second."""
FILE_BYTES_PER_TOKEN = 20
"""Of PDF files, whose pages hold text and pictures."""
_PART = b'"type"'
"""Each part that is not plain text has it; most bodies do not."""
_MARKS = (b'"image_url"', b'"input_audio"', b'"file_data"', b'"source"')
_decode = msgspec.json.Decoder().decode


class PromptSize(Struct, frozen=True, gc=False):
    """Tokens of a prompt."""

    likely: int
    most: int


def prompt_size(body: bytes) -> PromptSize:
    """Of a request's body."""
    # Not by `in`, which first makes and drops an exception that the part is no number.
    if body.find(_PART) >= 0 and any(mark in body for mark in _MARKS):
        return _with_parts(body)
    size = len(body)
    return PromptSize(size // BYTES_PER_TOKEN, size)


def _with_parts(body: bytes) -> PromptSize:
    try:
        members = _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return PromptSize(len(body) // BYTES_PER_TOKEN, len(body))
    parts = parts_of(members)
    text = max(len(body) - parts.data_bytes, 0)
    return PromptSize(text // BYTES_PER_TOKEN + parts.likely, text + parts.most)


class Parts(Struct, frozen=True, gc=False):
    """Images, sounds and files of a body: their bytes in it, and the tokens they stand for."""

    data_bytes: int
    likely: int
    most: int


def parts_of(members: Any) -> Parts:
    """Of a request's members."""
    data_bytes = likely = most = 0
    messages = None
    if isinstance(members, dict):
        messages = members.get("messages") or members.get("input")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                data, size = _part(part)
                data_bytes += data
                likely += size.likely
                most += size.most
    return Parts(data_bytes, likely, most)


def _part(part: dict[str, Any]) -> tuple[int, PromptSize]:
    """How many bytes of the body are its data, and the tokens that these stand for."""
    image = part.get("image_url")
    if isinstance(image, str):
        image = part | {"url": image}  # the Responses API's shape
    if isinstance(image, Mapping):
        url, detail = image.get("url"), image.get("detail")
        data = len(url) if isinstance(url, str) and url.startswith("data:") else 0
        if detail == "low":
            return data, PromptSize(IMAGE_LOW, IMAGE_MOST)
        return data, PromptSize(IMAGE_USUAL, IMAGE_MOST)
    source = part.get("source")
    if isinstance(source, Mapping):
        return _source(part.get("type"), source)
    sound = part.get("input_audio")
    if isinstance(sound, Mapping) and isinstance(sound.get("data"), str):
        data = len(sound["data"])
        return data, PromptSize(data // SOUND_BYTES_PER_TOKEN, data)
    file = part.get("file", part)
    if isinstance(file, Mapping) and isinstance(file.get("file_data"), str):
        data = len(file["file_data"])
        return data, PromptSize(data // FILE_BYTES_PER_TOKEN, data)
    return 0, PromptSize(0, 0)


def _source(kind: Any, source: Mapping[str, Any]) -> tuple[int, PromptSize]:
    """Of an image or a document in Anthropic's dialect."""
    held = source.get("data")
    data = len(held) if isinstance(held, str) and source.get("type") == "base64" else 0
    if kind == "image":
        return data, PromptSize(IMAGE_USUAL, IMAGE_MOST)
    return data, PromptSize(data // FILE_BYTES_PER_TOKEN, data)

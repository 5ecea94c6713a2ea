"""Images, sound, moderations, ranks and files in OpenAI's and Cohere's wire formats.

https://platform.openai.com/docs/api-reference/images, /images-streaming, /audio, /moderations,
/files; https://docs.cohere.com/reference/rerank. What is drawn, said or heard means nothing: equal
requests get equal answers, whose sizes and token figures anyone can recompute.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import msgspec
from msgspec import Struct

from headrace_upstream.asked import Asked, BadBodyError, body_from, texts_of
from headrace_upstream.behaviour import Behaviour
from headrace_upstream.paths import Route
from headrace_upstream.reply import EVENT_STREAM, JSON
from headrace_upstream.template import Event, Rendering
from headrace_upstream.words import count_tokens, cut_into_tokens

APIS = frozenset(
    (
        "image_generations", "image_edits", "image_variations", "speech", "transcriptions",
        "translations", "moderations", "rerank",
    )
)  # fmt: skip
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
IMAGE_TOKENS = 1_056
"""OpenAI's figure for a square of 1024 at medium quality."""
PICTURE_IN_TOKENS = 323
BYTES_PER_SECOND = 32_000
"""Of 16-bit sound at 16 kHz."""
AUDIO_TOKENS_PER_SECOND = 10
HEARD = "The wheel turns while the water runs."
_SOUND_TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/ogg",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
NOTHING = Rendering(JSON, 0, b"{}")
_TEXT = b"text/plain; charset=utf-8"
_TOLD = frozenset(("model", "stream", "prompt", "n", "input", "user", "metadata"))
"""Members that all dialects' bodies have in common."""


class Sent(Struct):
    """A request's members or fields, and its files by their fields' names."""

    members: dict[str, Any]
    files: list[tuple[str, str, bytes]] = []

    def text(self, name: str, default: str = "") -> str:
        value = self.members.get(name, default)
        return value if isinstance(value, str) else default

    @property
    def file_bytes(self) -> int:
        return sum(len(data) for _, _, data in self.files)


def read_sent(headers: Mapping[bytes, bytes], body: bytes) -> Sent:
    """JSON, or a form by the standard library's own parser. Raises BadBodyError."""
    kind = headers.get(b"content-type", b"")
    if not kind.startswith(b"multipart/form-data"):
        try:
            return Sent(msgspec.json.decode(body or b"{}", type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadBodyError(str(error)) from None
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: %b\r\n\r\n%b" % (kind, body))
    sent = Sent({})
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(data, bytes):
            raise BadBodyError("a part of the form is not understood")
        if part.get_filename() is not None:
            sent.files.append((name, part.get_filename() or "", data))
        else:
            sent.members[name] = data.decode("utf-8", "replace")
    return sent


def asked_of(route: Route, sent: Sent) -> Asked:
    """What rules and scripts go by. Raises BadBodyError."""
    told = {name: value for name, value in sent.members.items() if name in _TOLD}
    told["stream"] = told.get("stream") in (True, "true") or sent.text("stream_format") == "sse"
    if "n" in told:
        told["n"] = int(told["n"])
    try:
        return Asked(route, body_from(told))
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise BadBodyError(f"not of this API: {error!r}") from None


def render(asked: Asked, sent: Sent, behaviour: Behaviour) -> Rendering:
    """The answer to all but files."""
    return _RENDERERS[asked.route.api](asked, sent, behaviour)


# --- pictures


def _pictures(asked: Asked, sent: Sent, behaviour: Behaviour) -> Rendering:
    count = asked.body.n or 1
    by_tokens = not asked.model.startswith("dall-e")
    usage = _picture_usage(sent, behaviour, count)
    if asked.stream:
        return _picture_events(asked, usage, behaviour)
    one = {"b64_json": base64.b64encode(PNG).decode()}
    if not by_tokens and sent.text("response_format", "url") == "url":
        one = {"url": "https://example.com/picture.png"}
    answer: dict[str, Any] = {"created": 1_700_000_000, "data": [one] * count}
    if by_tokens:
        answer |= {"quality": "medium", "size": "1024x1024", "output_format": "png"}
        answer |= {"usage": usage} if behaviour.report_usage else {}
    return Rendering(JSON, 0, msgspec.json.encode(answer))


def _picture_usage(sent: Sent, behaviour: Behaviour, count: int) -> dict[str, Any]:
    text, pictures = count_tokens(sent.text("prompt")), PICTURE_IN_TOKENS * len(sent.files)
    output = behaviour.usage.output or IMAGE_TOKENS * count
    return {
        "input_tokens": text + pictures,
        "input_tokens_details": {"text_tokens": text, "image_tokens": pictures},
        "output_tokens": output,
        "total_tokens": text + pictures + output,
    }


def _picture_events(asked: Asked, usage: dict[str, Any], behaviour: Behaviour) -> Rendering:
    kind = "image_generation" if asked.route.api == "image_generations" else "image_edit"
    picture = {
        "b64_json": base64.b64encode(PNG).decode(),
        "created_at": 1_700_000_000,
        "size": "1024x1024",
        "quality": "medium",
        "background": "opaque",
        "output_format": "png",
    }
    partial = f"{kind}.partial_image"
    parts = [{"type": partial, **picture, "partial_image_index": n} for n in range(2)]
    last = {"type": f"{kind}.completed", **picture}
    last |= {"usage": usage} if behaviour.report_usage else {}
    return _events([*parts, last])


# --- sound


def sound_of(text: str, tokens: int) -> bytes:
    """What is spoken: 1,000 bytes a token, which are no text."""
    return hashlib.shake_256(text.encode()).digest(1_000 * tokens)


def _speech(asked: Asked, sent: Sent, behaviour: Behaviour) -> Rendering:
    sound = sound_of(sent.text("input"), behaviour.tokens)
    if not asked.stream:
        kind = _SOUND_TYPES.get(sent.text("response_format", "mp3"), b"audio/mpeg")
        return Rendering(kind, 0, sound)
    deltas = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(sound[at : at + 4_000]).decode()}
        for at in range(0, len(sound), 4_000)
    ]
    told = count_tokens(sent.text("input"))
    usage = {"input_tokens": told, "output_tokens": 7, "total_tokens": told + 7}
    last: dict[str, Any] = {"type": "speech.audio.done"}
    return _events([*deltas, last | ({"usage": usage} if behaviour.report_usage else {})])


def _heard(asked: Asked, sent: Sent, behaviour: Behaviour) -> Rendering:
    text = behaviour.text or HEARD
    form = sent.text("response_format", "json")
    usage = _heard_usage(asked, sent, text)
    if asked.stream:
        deltas = [{"type": "transcript.text.delta", "delta": d} for d in cut_into_tokens(text)]
        last: dict[str, Any] = {"type": "transcript.text.done", "text": text}
        return _events([*deltas, last | ({"usage": usage} if behaviour.report_usage else {})])
    if form == "srt":
        cue = f"1\n00:00:00,000 --> 00:00:02,000\n{text}\n\n"
        return Rendering(_TEXT, 0, cue.encode())
    if form == "vtt":
        return Rendering(_TEXT, 0, f"WEBVTT\n\n00:00.000 --> 00:02.000\n{text}\n".encode())
    if form == "text":
        return Rendering(_TEXT, 0, f"{text}\n".encode())
    answer: dict[str, Any] = {"text": text}
    if form == "verbose_json":
        answer |= {"task": "transcribe", "language": "english", "segments": []}
        answer["duration"] = sent.file_bytes / BYTES_PER_SECOND
    if behaviour.report_usage:
        answer["usage"] = usage
    return Rendering(JSON, 0, msgspec.json.encode(answer))


def _heard_usage(asked: Asked, sent: Sent, text: str) -> dict[str, Any]:
    seconds = sent.file_bytes / BYTES_PER_SECOND
    if "whisper" in asked.model:
        return {"type": "duration", "seconds": seconds}
    audio, said = int(seconds * AUDIO_TOKENS_PER_SECOND), count_tokens(text)
    return {
        "type": "tokens",
        "input_tokens": audio,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
        "output_tokens": said,
        "total_tokens": audio + said,
    }


# --- verdicts and ranks


def _moderations(asked: Asked, sent: Sent, behaviour: Behaviour) -> Rendering:
    given = sent.members.get("input", "")
    texts = texts_of(given) if isinstance(given, str) else list(given)
    results = [
        {
            "flagged": "violence" in str(text),
            "categories": {"violence": "violence" in str(text), "hate": False},
            "category_scores": {"violence": 0.9 if "violence" in str(text) else 0.01, "hate": 0.0},
            "category_applied_input_types": {"violence": ["text"], "hate": ["text"]},
        }
        for text in texts
    ]
    answer = {"id": "modr-scripted", "model": asked.model, "results": results}
    return Rendering(JSON, 0, msgspec.json.encode(answer))


def _rank(asked: Asked, sent: Sent, behaviour: Behaviour) -> Rendering:
    """The more words of the query a document has, the nearer it is."""
    wanted = set(sent.text("query").lower().split())
    documents = [str(text) for text in sent.members.get("documents", ())]
    shares = [
        (len(wanted & set(text.lower().split())) / max(1, len(wanted)), index)
        for index, text in enumerate(documents)
    ]
    shares.sort(key=lambda pair: (-pair[0], pair[1]))
    results = [{"index": index, "relevance_score": share} for share, index in shares]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    answer = {"id": "rerank-scripted", "results": results[: sent.members.get("top_n") or 100]}
    return Rendering(JSON, 0, msgspec.json.encode(answer | {"meta": meta}))


def _events(datas: list[dict[str, Any]]) -> Rendering:
    events = [
        Event(msgspec.json.encode(data), name=data["type"].encode(), tokens=1) for data in datas
    ]
    return Rendering(EVENT_STREAM, len(events), events=events)


_RENDERERS: dict[str, Callable[[Asked, Sent, Behaviour], Rendering]] = {
    "image_generations": _pictures,
    "image_edits": _pictures,
    "image_variations": _pictures,
    "speech": _speech,
    "transcriptions": _heard,
    "translations": _heard,
    "moderations": _moderations,
    "rerank": _rank,
}

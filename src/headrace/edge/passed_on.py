"""Reads requests whose bodies are passed on: JSON, or a form with files in it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qs

from msgspec import Raw

from headrace.edge import reading
from headrace.edge.reading import MODEL_LIMIT, Asked, PassedAsked
from headrace.edge.routes import file_of
from headrace.errors import Reason, Refused
from headrace.gateway.kept_files import MOST_LISTED, ListAsked
from headrace.gateway.limits.prompt_size import (
    BYTES_PER_TOKEN,
    IMAGE_MOST,
    IMAGE_USUAL,
    SOUND_BYTES_PER_TOKEN,
)
from headrace.gateway.limits.token_caps import number
from headrace.nouns import Call, Operation, Passed, Reserved, Units, Usage
from headrace.platform.http import multipart
from headrace.platform.http.exchange import Exchange
from headrace.platform.http.multipart import BadForm, Part

MODEL_HEADER = b"x-headrace-model"
"""Names the model whose backend shall keep a file: a file itself has none."""
USUAL_MODELS: Mapping[Operation, str] = MappingProxyType(
    {Operation.MODERATIONS: "omni-moderation-latest"}
)
"""Taken by OpenAI where a request names none."""
PICTURE_TOKENS = 20_000
"""No picture that is made has more."""
MOST_PICTURES = 10
MOST_SEARCHES = 100
"""Of one call for ranks: one for each hundred documents, at Cohere."""
TEXT_FORMATS = ("text", "srt", "vtt")
"""Of transcriptions, those that are no JSON."""
VALUE_LIMIT = 64 * 1024
_JSON = b"application/json"
_FORM_ONLY = frozenset(
    {
        Operation.IMAGE_VARIATIONS,
        Operation.TRANSCRIPTIONS,
        Operation.TRANSLATIONS,
        Operation.FILES,
    }
)
_FORMS = _FORM_ONLY | {Operation.IMAGE_EDITS}
_SOUND = frozenset({Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS})
_PICTURES = frozenset(
    {Operation.IMAGE_GENERATIONS, Operation.IMAGE_EDITS, Operation.IMAGE_VARIATIONS}
)
_TRUE = (b"true", b"True", b"1")


def list_asked(target: bytes) -> ListAsked:
    """What of the files a target asks for; what it says wrong counts as not said."""
    query = parse_qs(target.partition(b"?")[2].decode("latin-1"))
    said = {name: values[-1] for name, values in query.items()}
    limit = said.get("limit", "")
    return ListAsked(
        limit=min(max(1, int(limit)), MOST_LISTED)
        if limit.isascii() and limit.isdigit()
        else MOST_LISTED,
        after=said.get("after"),
        purpose=said.get("purpose"),
        newest_first=said.get("order") != "asc",
    )


class Reader:
    """Reads the body of one request, then completes the call that was made of it."""

    def __init__(self, exchange: Exchange, operation: Operation) -> None:
        self._exchange = exchange
        self._operation = operation
        self._type = exchange.header(b"content-type") or b""
        self._asked: Asked = PassedAsked()
        self._parts: list[Part] = []
        self._boundary: bytes | None = None

    def read(self, body: bytes, operation: Operation, depth_limit: int) -> Asked:
        """As `reading.read`. Raises Refused(BAD_BODY, BAD_REQUEST)."""
        if operation is Operation.FILES and self._exchange.method != b"POST":
            self._asked.model = operation.value  # whose it is, is known by who keeps it
            return self._asked
        if operation in _FORMS:
            self._boundary = multipart.boundary_of(self._type)
        if self._boundary is None:
            if operation in _FORM_ONLY:
                raise Refused(
                    Reason.BAD_REQUEST,
                    "Send this as a form with the file in it: `content-type: multipart/form-data` "
                    "with its boundary.",
                )
            self._asked = reading.read(body, operation, depth_limit)
        else:
            self._asked = self._form(body, self._boundary)
        self._asked.model = self._asked.model or self._usual_model()
        return self._asked

    def _usual_model(self) -> str | None:
        if self._operation is Operation.FILES:
            named = self._exchange.header(MODEL_HEADER)
            return named.decode("latin-1") if named else self._operation.value
        return USUAL_MODELS.get(self._operation)

    def _form(self, body: bytes, boundary: bytes) -> PassedAsked:
        try:
            self._parts = multipart.parts_of(body, boundary)
        except BadForm as fault:
            raise Refused(Reason.BAD_BODY, f"The form cannot be read: {fault}.") from fault
        if not any(part.is_file for part in self._parts):
            raise Refused(Reason.BAD_REQUEST, "The form needs a file.", param="file")
        asked = PassedAsked()
        model = self._value(body, "model")
        if self._operation is not Operation.FILES:
            asked.model = model.decode("utf-8", "replace") if model is not None else None
            if asked.model is not None and len(asked.model) > MODEL_LIMIT:
                raise Refused(Reason.BAD_REQUEST, "'model' is too long.", param="model")
        asked.stream = self._value(body, "stream") in _TRUE
        asked.response_format = (self._value(body, "response_format") or b"").decode("latin-1")
        asked.n = Raw(self._value(body, "n") or b"")
        return asked

    def _value(self, body: bytes, name: str) -> bytes | None:
        """Of a field that may stand once. Raises Refused(BAD_REQUEST)."""
        found = [part for part in self._parts if part.name == name]
        if not found:
            return None
        (part,) = found[:1]
        if len(found) > 1 or part.is_file or part.end - part.start > VALUE_LIMIT:
            raise Refused(
                Reason.BAD_REQUEST, f"The form's field {name!r} must be one short text.", param=name
            )
        return body[part.start : part.end]

    def complete(self, call: Call) -> Call:
        """The call, with what passing it on needs."""
        operation, asked = self._operation, self._asked
        file = file_of(self._exchange.target) if operation is Operation.FILES else ""
        call.passed = passed = Passed(
            content_type=self._type or _JSON,
            estimate=Usage(source="none"),
            most_tokens=0,
            method=self._exchange.method,
            resource=file,
            form_start=b"--" + self._boundary if self._boundary is not None else b"",
        )
        for part in self._parts:
            if part.name == "model" and operation is not Operation.FILES:
                passed.model_at = (part.start, part.end)
        assert isinstance(asked, PassedAsked)
        passed.raw = _is_raw(operation, asked, file)
        call.stream = passed.raw or bool(asked.stream) or asked.stream_format == "sse"
        call.wants_usage = True
        self._reckon(call, passed)
        call.reserved = Reserved(passed.most_tokens, passed.answer_tokens, None)
        return call

    def _reckon(self, call: Call, passed: Passed) -> None:
        """What the call counts for before anybody told."""
        operation = self._operation
        if operation is Operation.FILES:
            return  # keeping them is not counted by tokens
        files = [part.end - part.start for part in self._parts if part.is_file]
        text = len(call.body) - sum(files)
        likely, passed.most_tokens = text // BYTES_PER_TOKEN, text
        units = Units()
        if operation in _SOUND:
            likely += sum(files) // SOUND_BYTES_PER_TOKEN
            passed.most_tokens += sum(files)
            passed.answer_tokens = None
        elif operation in _PICTURES:
            count = min(number(call.n) or 1, MOST_PICTURES)
            likely += len(files) * IMAGE_USUAL
            passed.most_tokens += len(files) * IMAGE_MOST
            passed.answer_tokens = count * PICTURE_TOKENS
            units = Units(images=count)
        elif operation is Operation.SPEECH:
            passed.answer_tokens = None
            units = Units(characters=self._spoken())
        known = passed.most_units = None if units == Units() else units
        if operation in _SOUND:
            known = Units()  # how long it is shows in the answer, if at all
            passed.most_units = Units(audio_ms=sum(files))  # none has less than 8 kbit/s
        elif operation is Operation.RERANK:
            passed.most_units = Units(searches=MOST_SEARCHES)
        passed.estimate = Usage(likely, 0, source="estimated", units=known)

    def _spoken(self) -> int:
        """Characters of a text that is JSON: escapes count as what they stand for."""
        raw = bytes(self._asked.input)
        try:
            text = reading.text_of(raw)
        except ValueError:
            return len(raw)
        return len(text)


def _is_raw(operation: Operation, asked: PassedAsked, file: str) -> bool:
    if operation is Operation.FILES:
        return file.endswith("/content")
    if operation is Operation.SPEECH:
        return asked.stream_format != "sse"
    return operation in _SOUND and asked.response_format in TEXT_FORMATS and not asked.stream

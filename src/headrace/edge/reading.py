"""Reads a client's body as far as the gateway must know it, and refuses what is unsound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import fields

from headrace.errors import Reason, Refused
from headrace.nouns import NO_MEMBER, PASSED_ON, Operation

CONTAINER_LIMIT = 100_000
"""Arrays and objects in one body: each costs memory many times its bytes when read."""
MODEL_LIMIT = 384
"""Characters of a model's name, which goes into the journal and into errors."""


class Asked(Struct, gc=False):
    """What the gateway reads of a body. The rest passes through unread."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: Raw = Raw(b"")
    temperature: Raw = Raw(b"")
    messages: Raw = Raw(b"")
    prompt: Raw = Raw(b"")
    input: Raw = Raw(b"")
    max_tokens: Raw = NO_MEMBER
    max_completion_tokens: Raw = NO_MEMBER
    n: Raw = NO_MEMBER

    @property
    def fixed_sampling(self) -> bool:
        """The client wants the same answer each time."""
        if self.seed and bytes(self.seed) != b"null":
            return True
        return bool(self.temperature) and bytes(self.temperature) in _ZEROS


class ResponseAsked(Asked, gc=False):
    """The same of a request for a response."""

    max_tokens: Raw = field(default=NO_MEMBER, name="max_output_tokens")
    background: bool | None = None
    conversation: Raw = NO_MEMBER


class PassedAsked(Asked, gc=False):
    """What is read of a body that is passed on, beside the usual."""

    query: Raw = NO_MEMBER
    response_format: str | None = None
    stream_format: str | None = None


class StreamOptions(Struct):
    """Of these only `include_usage` matters here."""

    include_usage: bool | None = None


_ZEROS = frozenset({b"0", b"0.0", b"0.00", b"-0", b"0e0"})
_decoders: Mapping[Operation, msgspec.json.Decoder[Any]] = MappingProxyType(
    dict.fromkeys(Operation, msgspec.json.Decoder(Asked))
    | {Operation.RESPONSES: msgspec.json.Decoder(ResponseAsked)}
    | dict.fromkeys(PASSED_ON, msgspec.json.Decoder(PassedAsked))
)
_texts = msgspec.json.Decoder(str)
_NEEDED = {
    Operation.CHAT: ("messages", ord("[")),
    Operation.COMPLETIONS: ("prompt", None),
    Operation.EMBEDDINGS: ("input", None),
    Operation.MESSAGES: ("messages", ord("[")),
    Operation.COUNT_TOKENS: ("messages", ord("[")),
    Operation.RESPONSES: ("input", None),
    Operation.IMAGE_GENERATIONS: ("prompt", None),
    Operation.IMAGE_EDITS: ("prompt", None),
    Operation.SPEECH: ("input", None),
    Operation.MODERATIONS: ("input", None),
    Operation.RERANK: ("query", None),
}
_NOT_BRACKETS = bytes(b for b in range(256) if b not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
"""Which bracket closes which is the parser's to check."""
_PATH = re.compile(r"^(.*) - at `\$\.?(.*)`$")
_KINDS = {"str": "a string", "bool": "true or false", "object": "an object", "array": "a list"}


def read(body: bytes, operation: Operation, depth_limit: int) -> Asked:
    """Raises Refused(BAD_BODY, BAD_REQUEST)."""
    if not body:
        raise Refused(Reason.BAD_BODY, "The request has no body. Send a JSON object.")
    check_nesting(body, depth_limit)
    try:
        if not body.isascii():
            body.decode()
        asked: Asked = _decoders[operation].decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except UnicodeDecodeError as error:
        raise Refused(
            Reason.BAD_BODY, f"The body is not UTF-8: see its byte {error.start}."
        ) from error
    except msgspec.DecodeError as error:
        raise Refused(Reason.BAD_BODY, f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise too_deep(depth_limit) from error
    if asked.model is not None and len(asked.model) > MODEL_LIMIT:
        raise Refused(
            Reason.BAD_REQUEST,
            f"'model' is longer than {MODEL_LIMIT} characters, which no model's name is.",
            param="model",
        )
    name, opening = _NEEDED[operation]
    value: Raw = getattr(asked, name)
    if type(asked) is ResponseAsked:
        check_response(asked)
    if not value or (opening and memoryview(value)[0] != opening):
        kind = "a list of messages" if name == "messages" else "what to work on"
        raise Refused(Reason.BAD_REQUEST, f"The body needs {name!r}: {kind}.", param=name)
    return asked


_NULL = b"null"


def check_response(asked: ResponseAsked) -> None:
    """What of the Responses API would go past accounts and tenants. Raises Refused(BAD_REQUEST)."""
    if asked.background:
        raise Refused(
            Reason.BAD_REQUEST,
            "'background' is not done here: what such an answer uses would be known to nobody. "
            "Leave it out, and take the answer as a stream if it takes long.",
            param="background",
        )
    if asked.conversation and bytes(asked.conversation) != _NULL:
        raise Refused(
            Reason.BAD_REQUEST,
            "'conversation' is not done here: conversations of a provider are shared by all who "
            "use its key. Go on with 'previous_response_id', or send all items.",
            param="conversation",
        )


def check_nesting(body: bytes, depth_limit: int) -> None:
    """Counts brackets outside strings without parsing: a bomb must not get as far as a parser.

    Raises Refused(BAD_BODY).
    """
    # By length, for `count` looks at every byte on its own and `replace` seeks.
    opened = 2 * len(body) - len(body.replace(b"{", b"")) - len(body.replace(b"[", b""))
    if opened <= depth_limit:
        return
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(_ONE_KIND, _NOT_BRACKETS)
    if len(brackets) > 2 * CONTAINER_LIMIT:
        raise Refused(
            Reason.BAD_BODY, f"The body has more than {CONTAINER_LIMIT:,} arrays and objects."
        )
    for _ in range(depth_limit):
        if not brackets:
            return
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return  # they do not match: the parser says where
        brackets = shorter
    if brackets:
        raise too_deep(depth_limit)


def text_of(raw: bytes) -> str:
    """The text that a member's bytes write. Raises ValueError if they write something else."""
    return _texts.decode(raw)


def too_deep(depth_limit: int) -> Refused:
    return Refused(Reason.BAD_BODY, f"The body is nested deeper than {depth_limit} levels.")


def _invalid(message: str) -> Refused:
    """A sentence of msgspec's words: "Expected `str`, got `int` - at `$.model`"."""
    match = _PATH.match(message)
    if match is None:
        return Refused(Reason.BAD_REQUEST, "The body must be a JSON object.")
    what, path = match.groups()
    kinds = re.findall(r"`(\w+)", what)
    expected = _KINDS.get(kinds[0], kinds[0]) if kinds else "something else"
    param = path if path in {f.name for f in fields(Asked)} or "." in path else None
    return Refused(Reason.BAD_REQUEST, f"{path!r} must be {expected}.", param=param)

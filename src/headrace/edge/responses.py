"""The Responses API as clients see it where it differs from OpenAI's other ones: faults in streams.

https://platform.openai.com/docs/api-reference/responses-streaming/error
"""

from __future__ import annotations

import re

import msgspec

from headrace.edge import openai
from headrace.errors import Refused

_encode = msgspec.json.Encoder().encode
_NUMBER = re.compile(rb'"sequence_number": ?(\d{1,18})')


def number_after(events: bytes) -> int:
    """The number of the event that follows on these."""
    numbers = _NUMBER.findall(events)  # in a string, its quotes would be escaped
    return int(numbers[-1]) + 1 if numbers else 0


def error_event(refused: Refused, call_id: str, number: int) -> bytes:
    """The fault inside a stream, and no `response.completed` follows. Its members are those of the
    API's event; the SDKs raise on `error`, which OpenAI sends too."""
    error = openai.error(refused, call_id)
    event = {
        "type": "error",
        "code": error["code"],
        "message": error["message"],
        "param": error["param"],
        "sequence_number": number,
        "error": error,
    }
    return b"event: error\ndata: %b\n\n" % _encode(event)

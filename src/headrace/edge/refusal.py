"""Refusals that no reply writes: of the server itself, and of overload."""

from __future__ import annotations

import math

from headrace.edge import anthropic, openai
from headrace.errors import Refused
from headrace.nouns import Dialect
from headrace.platform.http.exchange import Answer

_MARK = "0" * 24
"""Stands for an id in what is written before it is known."""


def refusal(refused: Refused, call_id: str, dialect: Dialect) -> Answer:
    """As a `ClientReply` of the dialect writes it."""
    lines = b"%bx-request-id: %b\r\n" % (openai.error_headers(refused), call_id.encode())
    if dialect is not Dialect.ANTHROPIC:
        return openai.status_of(refused), lines, openai.error_body(refused, call_id)
    lines += b"request-id: %b\r\n" % call_id.encode()
    return anthropic.status_of(refused), lines, anthropic.error_body(refused, call_id)


class Prepared:
    """One refusal for many calls, written once: they differ by their ids and the time after which
    to come back."""

    __slots__ = ("_body", "_lines", "_status")

    def __init__(self, refused: Refused, dialect: Dialect) -> None:
        """`refused` without `retry_after_s`."""
        self._status, lines, body = refusal(refused, _MARK, dialect)
        mark = _MARK.encode()
        self._lines = lines.removeprefix(openai.JSON_TYPE).split(mark)
        self._body = body.split(mark)

    def answer(self, call_id: str, retry_after_s: float) -> Answer:
        """For one call."""
        own = call_id.encode()
        return (
            self._status,
            b"%bretry-after: %d\r\n%b"
            % (openai.JSON_TYPE, max(1, math.ceil(retry_after_s)), own.join(self._lines)),
            own.join(self._body),
        )

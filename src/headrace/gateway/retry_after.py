"""How long an upstream asks to be left alone, in all the forms that providers use. Pure.

In order: `retry-after-ms`; `Retry-After` as a number or as a date, which is taken against the
answer's own Date, not our clock (RFC 9110, section 10.2.3); then the reset headers of rate limits:
OpenAI's "6m0s" or "12ms", Azure's seconds, Anthropic's RFC 3339 instants. What is not understood
or not positive says nothing (Azure sends -1 and 0), and the next form is tried.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC, datetime

LONGEST_S = 86_400.0
"""Longer ones are junk."""

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
_SPAN = re.compile(
    r"(?:(\d{1,9}(?:\.\d{1,9})?)d)?(?:(\d{1,9}(?:\.\d{1,9})?)h)?(?:(\d{1,9}(?:\.\d{1,9})?)m(?!s))?"
    r"(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_UNITS_S = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_RETRY_INFO = re.compile(
    rb'google\.rpc\.RetryInfo"[^{}]{0,64}"retryDelay"\s*:\s*"([0-9]{1,9}(?:\.[0-9]{1,9})?)s"'
)
_MOST_LOOKED_AT = 16_384
_RESETS = (
    b"x-ratelimit-reset-requests",
    b"x-ratelimit-reset-tokens",
    b"anthropic-ratelimit-requests-reset",
    b"anthropic-ratelimit-tokens-reset",
    b"anthropic-ratelimit-input-tokens-reset",
    b"anthropic-ratelimit-output-tokens-reset",
)


def retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds to leave the upstream alone, None if it says nothing usable. Names are lower case.

    Of several reset headers the one counts whose limit has the smallest share left, for that one
    was hit; where no share is told, the longest.
    """
    milliseconds = _seconds(_text(headers, b"retry-after-ms"))
    if milliseconds is not None and _usable(milliseconds / 1000.0):
        return milliseconds / 1000.0
    text = _text(headers, b"retry-after")
    seconds = _seconds(text)
    if seconds is None and text:
        seconds = _until_http_date(text, _text(headers, b"date"))
    if seconds is not None and _usable(seconds):
        return seconds
    return _reset(headers)


def retry_info(body: bytes) -> float | None:
    """The same of an error's body: Google's `RetryInfo`, whose delay is "34s" or "34.07s".
    https://cloud.google.com/apis/design/errors#retry_info"""
    match = _RETRY_INFO.search(body[:_MOST_LOOKED_AT])
    if match is None:
        return None
    seconds = float(match[1])
    return seconds if _usable(seconds) else None


def _reset(headers: Mapping[bytes, bytes]) -> float | None:
    least, longest_s = 2.0, 0.0
    for name in _RESETS:
        text = _text(headers, name)
        if not text:
            continue
        seconds = _seconds(text)
        if seconds is None:
            seconds = _span(text)
        if seconds is None:
            seconds = _until_rfc3339(text, _text(headers, b"date"))
        if seconds is None or not _usable(seconds):
            continue
        left = _share_left(headers, name)
        if left < least or (left == least and seconds > longest_s):
            least, longest_s = left, seconds
    return longest_s or None


def _share_left(headers: Mapping[bytes, bytes], reset: bytes) -> float:
    """0 if it is not told: the limit may be used up."""
    remaining = _seconds(_text(headers, reset.replace(b"reset", b"remaining")))
    limit = _seconds(_text(headers, reset.replace(b"reset", b"limit")))
    return min(1.0, remaining / limit) if remaining and limit else 0.0


def _usable(seconds: float) -> bool:
    return 0.0 < seconds < LONGEST_S


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"")[:64].decode("latin-1").strip()


def _seconds(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _span(text: str) -> float | None:
    """Go's durations: 1h2m3.5s, 6m0s, 12ms."""
    match = _SPAN.fullmatch(text)
    if match is None or not text:
        return None
    return sum(float(n) * unit for n, unit in zip(match.groups(), _UNITS_S, strict=True) if n)


def _until_http_date(text: str, date: str) -> float | None:
    """Without the answer's own Date there is no telling: its clock may be hours from ours."""
    try:
        return (_http_date(text) - _http_date(date)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _http_date(text: str) -> datetime:
    # A leap second, which HTTP has and `datetime` has not, is taken for the second before it.
    return _aware(email.utils.parsedate_to_datetime(text.replace(":60 ", ":59 ")))


def _until_rfc3339(text: str, date: str) -> float | None:
    try:
        return (_aware(datetime.fromisoformat(text)) - _http_date(date)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)

"""A kept answer, as it is given to a later call. Pure."""

from __future__ import annotations

import msgspec

from headrace.gateway import answer_forms
from headrace.gateway.cache.entries import Entry
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call


def as_hit(entry: Entry, call: Call, tier: bytes, similarity: float, now: float) -> Recorded | None:
    """In the form that the call wants, with header lines that say whence; None if it cannot be had
    in it."""
    formed = answer_forms.as_asked(entry.recorded, call)
    if formed is None:
        return None
    origin = next(
        (
            line
            for line in entry.recorded.about.splitlines(keepends=True)
            if line.startswith(b"x-headrace-backend:")
        ),
        b"",
    )
    about = (
        b"%bx-headrace-cache: %b\r\nx-headrace-cache-similarity: %.4f\r\n"
        b"x-headrace-cache-age-s: %d\r\nx-headrace-cache-call: %b\r\n"
        % (origin, tier, similarity, max(0, int(now - entry.kept_at)), entry.call.encode())
    )
    saved = entry.recorded.cost_microusd
    if saved is not None:
        about += b"x-headrace-saved-usd: %d.%06d\r\n" % divmod(saved, 1_000_000)
    return msgspec.structs.replace(formed, about=about, cost_microusd=saved)

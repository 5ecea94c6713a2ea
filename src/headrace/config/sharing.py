"""When calls share an answer: settings of `gateway/idempotency.py`, `gateway/coalescing.py` and
`gateway/answer_cache.py`. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Span = Annotated[float, Meta(ge=0, le=86_400, description="a duration in seconds")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 40)]
Mode = Literal["never", "fixed_sampling", "always"]


class IdempotencyPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a repeated call gets instead of a second answer. Kept in memory, by worker."""

    keep_s: Span = 600.0
    """How long the answer to a call with an `Idempotency-Key` is kept. 0 ignores the header."""
    keep_running_s: Span = 600.0
    """How long such a call may go on after its client left: the client has said that it will
    come back. 0 cancels it at once, as any other call."""
    sdk_retry_s: Span = 60.0
    """How long an answer is kept for the client SDK's own retry of it. 0 turns this off."""
    in_flight_retry_after_s: Annotated[float, Meta(gt=0, le=60)] = 1.0
    """When to come back after a 409: the first call with this key is not done."""
    most_answers: Count = 10_000
    """Answers kept at once; the oldest goes first."""
    most_bytes: Bytes = 64 * 1024 * 1024
    """Bytes of requests and answers kept at once; the oldest goes first."""
    answer_bytes: Bytes = 4 * 1024 * 1024
    """A longer answer is handed on but not kept."""


class CoalescingPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Equal calls of one tenant, in flight at the same time, answered by one upstream call."""

    mode: Mode = "fixed_sampling"
    """`fixed_sampling` shares where the client asked for the same answer each time: embeddings,
    and calls with a `seed` or temperature 0 that offer no tools. `always` shares all but calls
    that are stored by the provider. `never` turns it off."""
    most_waiters: Count = 1_000
    """Calls that share one upstream call; the next one starts another."""
    answer_bytes: Bytes = 4 * 1024 * 1024
    """What a client may fall behind. A longer answer cannot be joined late."""


class AnswerCachePolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Complete answers kept in memory, by worker, for when no backend can answer."""

    keep_s: Annotated[float, Meta(gt=0, le=2_592_000)] = 3600.0
    """How long an answer is good."""
    keep_jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Each is kept longer or shorter by up to this share, so that they do not end as one."""
    most_answers: Count = 10_000
    """Answers kept at once; the one not used for longest goes first."""
    most_bytes: Bytes = 64 * 1024 * 1024
    """Bytes of answers kept at once."""
    answer_bytes: Bytes = 1024 * 1024
    """A longer answer is not kept."""
    shared_by: Literal["redis", "postgres"] | None = None
    """Share answers that are given again (`models.*.cache`) with all replicas, by the server under
    `redis` or the PostgreSQL of `store`, which needs pgvector, in place of a file in the store's
    folder. While it is away, each goes on with what it knows. Answers for when no backend can
    answer stay in memory."""

"""How a gateway behaves when backends fail: settings of the pure decisions in `gateway/`.

Each default is explained in `docs/reliability.md`; the docstrings under the fields are the
documentation, as in `schema.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Span = Annotated[float, Meta(gt=0, le=86_400, description="a duration in seconds")]
Share = Annotated[float, Meta(ge=0, le=1, description="a share from 0 to 1")]
Count = Annotated[int, Meta(ge=1, le=100_000)]


class BreakerPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a backend is taken out because it fails, and how it comes back."""

    window_s: Span = 30.0
    """Failures are counted over this time."""
    buckets: Annotated[int, Meta(ge=1, le=100)] = 10
    """Parts that the window slides by."""
    min_calls: Count = 10
    """Below this many attempts in the window no share of failures opens it."""
    failure_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """It opens when this share of the window's attempts failed."""
    failures_in_a_row: Count = 5
    """It opens after this many failures without a success between them."""
    slow_first_token_s: Span = 10.0
    """A first token later than this is slow."""
    slow_share: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """It opens when this share of the window's attempts was slow."""
    open_s: Span = 5.0
    """How long it is out the first time; doubled each time it fails again."""
    open_cap_s: Span = 20.0
    """The longest that doubling leads to, before jitter."""
    probing_share: Annotated[float, Meta(gt=0, le=1)] = 0.05
    """Probes are calls of users. If one that failed took long, the cap is higher, so that calls
    wait for probes in at most this share of the time."""
    longest_open_s: Span = 300.0
    """The cap grows to at most this."""
    open_jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Each time out is longer or shorter by up to this share, by chance."""
    forgive_s: Span = 60.0
    """One doubling is forgotten for each such time without opening."""
    denied_s: Span = 60.0
    """How long it is out when the provider refuses the gateway's credential (401, 403)."""
    spent_s: Span = 900.0
    """How long it is out when the provider says that the account's money is spent."""
    unhinted_throttle_s: Span = 1.0
    """How long it is out after a 429 that does not say for how long."""
    longest_throttle_s: Span = 3600.0
    """The longest that a `Retry-After` is believed."""
    probe_lease_s: Span = 30.0
    """A probe without an outcome for this long is given up and another may be sent later."""
    probe_successes: Annotated[int, Meta(ge=1, le=100)] = 2
    """Probes that must succeed, one after another, before it takes traffic again."""
    slow_start_s: Span = 30.0
    """After that its traffic grows to its full share over this time."""
    slow_start_from: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """The share of its traffic that it starts with."""


class RetryPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often and when a failed attempt is repeated, on the same backend or another."""

    attempts: Annotated[int, Meta(ge=1, le=16)] = 4
    """Attempts for one call, over all retries and fallbacks."""
    attempts_per_backend: Annotated[int, Meta(ge=1, le=16)] = 2
    """Attempts of one call on the same backend."""
    backoff_s: Span = 1.0
    """A retry on the same backend waits by chance between 0 and this, doubled each time."""
    backoff_cap_s: Span = 8.0
    """The longest that doubling leads to."""
    connect_backoff_s: Span = 0.1
    """The same for a backend that could not be reached: nothing was worked on."""
    longest_wait_s: Annotated[float, Meta(ge=0, le=600)] = 10.0
    """A call waits for a backend that asked to be left alone if no other can answer and the time
    asked for is at most this."""
    wait_jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Such a wait is longer by up to this share, by chance, so that calls do not return as one."""
    retry_before_next_tier: bool = True
    """Repeat a server error (500, 502, 503, 504) once on its backend before the next tier is asked.
    Off, the next tier is asked at once."""
    free_failover_below: Share = 0.1
    """Moving to another backend costs nothing while its own share of failures is below this;
    otherwise it takes from the gateway's retry budget."""


class RetryBudgetPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Retries of all models together. Each backend has such a budget and the gateway has one; a
    retry on the same backend takes from both."""

    burst: Annotated[float, Meta(ge=0, le=100_000)] = 10.0
    """Retries that may be made at once, after a quiet time."""
    per_success: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """What a success adds: 0.2 allows one retry for five successes."""
    per_s: Annotated[float, Meta(ge=0, le=1000)] = 0.5
    """What each second adds, so that rare calls may be retried too."""


class BalancePolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which backend of a tier gets a call."""

    method: Literal["p2c", "round_robin", "weighted", "least_busy"] = "p2c"
    """`p2c` takes the better of two by chance: by time to first token, calls running and quota
    left. `round_robin` goes in turn, `weighted` by `weights`, `least_busy` by calls running."""
    weights: dict[str, Annotated[float, Meta(ge=0, le=1_000_000)]] = field(default_factory=dict)
    """For `weighted`: share of calls by backend; 1 for a backend that is not listed."""
    affinity: Literal["none", "user", "header"] = "none"
    """Send calls of one session to one backend while it can answer: `user` goes by the body's
    `user` member, `header` by the header named below."""
    affinity_header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "x-session-id"
    """For `header`: the header that names a session."""
    decay_s: Span = 10.0
    """For `p2c`: a measured time fades with this time constant."""


class ConcurrencyPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls that may run on one backend at once. The limit adapts: it falls when the backend is
    overloaded and grows with successes."""

    start: Count = 4096
    """The limit before anything is known: without a sign of overload no call is refused."""
    least: Count = 4
    """The limit never falls below this."""
    most: Count = 4096
    """The limit never grows above this."""
    cut: Annotated[float, Meta(gt=0, lt=1)] = 0.7
    """Overload multiplies the limit by this."""
    cut_every_s: Span = 1.0
    """It is cut at most once in this time."""
    strained_share: Annotated[float, Meta(gt=0, le=1)] = 0.3
    """A 429 cuts at once. Server errors and slow first tokens cut when they are this share of the
    last outcomes: single errors are no overload."""


class HedgePolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asking a second backend for a whole answer, no stream, when the first is slow. The first good
    answer is given, the other is called off. Both are paid for."""

    enabled: bool = False
    """Off by default, since each hedge costs money."""
    after_quantile: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    """A hedge is sent when an answer takes longer than this share of the backend's last 200 did. At
    least 20 must be known."""
    share: Annotated[float, Meta(ge=0, le=0.5)] = 0.02
    """At most this share of the model's calls is hedged. Each takes from the retry budgets too."""


class StructuredOutputPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answers that have to fit a JSON schema of the client's. Needs
    `pip install 'headrace[structured]'`."""

    repair: bool = False
    """Check such an answer, and ask once more if it does not fit. Both answers are paid for, and
    streams are held back until they are checked. Backends whose `capabilities` lack `json_schema`
    are then asked in words to keep to the schema."""
    if_invalid: Literal["refuse", "warn"] = "refuse"
    """What becomes of a second answer that does not fit: an error, or the answer with the header
    `x-headrace-structured-output: invalid`."""


class TranslationPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls whose client speaks another dialect than the backend."""

    unsupported: Literal["by_meaning", "refuse", "drop"] = "by_meaning"
    """What to do with members of a request that the backend's dialect cannot express. `by_meaning`
    drops what only tunes (`seed`, `logit_bias`, `cache_control`) and refuses what would change the
    meaning (`logprobs`, `n`, audio); `refuse` and `drop` do one of them always. What was dropped
    is named in the header `x-headrace-dropped`."""


class SheddingPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the gateway itself is overloaded and refuses calls. Health checks are exempt."""

    batch_lag_ms: Annotated[float, Meta(gt=0, le=60_000)] = 50.0
    """Calls of the class `batch` are refused when the event loop lags by more than this."""
    all_lag_ms: Annotated[float, Meta(gt=0, le=60_000)] = 200.0
    """All but critical calls are refused when it lags by more than this."""
    batch_memory_share: Annotated[float, Meta(gt=0, le=1)] = 0.85
    """Calls of the class `batch` are refused when memory in use is over this share of its limit."""
    all_memory_share: Annotated[float, Meta(gt=0, le=1)] = 0.95
    """All but critical calls are refused when memory in use is over this share."""
    critical_share: Share = 0.2
    """Share of the capacity that is kept for critical calls."""
    retry_after_least_s: Span = 1.0
    """Refused clients are told to come back after at least this."""
    retry_after_most_s: Span = 5.0
    """Refused clients are told to come back after at most this, by chance."""

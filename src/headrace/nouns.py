"""The nouns of the house, which every layer may import. Plain data: no I/O, no policy."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Raw, Struct

from headrace.allowances import BudgetRule, LimitRule

NO_MEMBER = Raw(b"")


class Dialect(enum.StrEnum):
    """The wire format a client speaks."""

    OPENAI = "openai"
    AZURE_OPENAI = "azure_openai"
    ANTHROPIC = "anthropic"


class Operation(enum.StrEnum):
    """What a client asks a model to do. Strings, for an `Enum` is hashed in Python."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    """A chat in Anthropic's words."""
    COUNT_TOKENS = "count_tokens"
    """How many tokens the prompt of such a chat has."""
    RESPONSES = "responses"
    """A chat in the words of OpenAI's Responses API."""
    IMAGE_GENERATIONS = "image_generations"
    IMAGE_EDITS = "image_edits"
    IMAGE_VARIATIONS = "image_variations"
    SPEECH = "speech"
    TRANSCRIPTIONS = "transcriptions"
    TRANSLATIONS = "translations"
    """Of speech in any language to English text."""
    RERANK = "rerank"
    MODERATIONS = "moderations"
    FILES = "files"
    REALTIME = "realtime"
    """A session of speech over a WebSocket."""
    RESPONSE = "response"
    """One that its provider keeps, which is read or deleted."""


PASSED_ON = frozenset(
    {
        Operation.IMAGE_GENERATIONS,
        Operation.IMAGE_EDITS,
        Operation.IMAGE_VARIATIONS,
        Operation.SPEECH,
        Operation.TRANSCRIPTIONS,
        Operation.TRANSLATIONS,
        Operation.RERANK,
        Operation.MODERATIONS,
        Operation.FILES,
        Operation.REALTIME,
        Operation.RESPONSE,
    }
)
"""Operations that go as they came to backends that have them: nothing of them is translated, and
no answer is kept or shared."""


class Priority(enum.IntEnum):
    """How important a call is."""

    BATCH = 0
    NORMAL = 1
    CRITICAL = 2


class Caller(Struct, frozen=True):
    """Who calls: the identity that a credential proved."""

    key_id: str
    user: str | None = None
    team: str | None = None
    tenant: str = "default"
    models: frozenset[str] | None = None
    """Names of models this caller may use; None allows all."""
    priority: Priority = Priority.NORMAL
    """Of its calls, unless they ask for a lower one."""
    regions: frozenset[str] | None = None
    """Regions whose backends may answer this caller; None allows all."""
    tags: tuple[tuple[str, str], ...] = ()
    """Of the key, for limits, budgets and the ledger."""
    limits: tuple[LimitRule, ...] = ()
    """The key's own, beside those of the configuration."""
    budgets: tuple[BudgetRule, ...] = ()
    """The key's own, beside those of the configuration."""
    shared_limits: tuple[tuple[str, LimitRule], ...] = ()
    """Of those that the key is under, with whose they are: counted with their other keys' calls."""
    shared_budgets: tuple[tuple[str, BudgetRule], ...] = ()
    """Of those that the key is under, with whose they are."""
    operations: frozenset[Operation] | None = None
    """What this caller may ask for; None allows all."""

    @property
    def bounded(self) -> bool:
        """It brings limits or budgets with it."""
        return bool(self.limits or self.budgets or self.shared_limits or self.shared_budgets)

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    def may_ask(self, operation: Operation) -> bool:
        return self.operations is None or operation in self.operations


class Units(Struct, frozen=True, gc=False):
    """What is used beside tokens, or in place of them."""

    images: int = 0
    """That were made."""
    audio_ms: int = 0
    """Of sound that was heard."""
    characters: int = 0
    """That were spoken."""
    searches: int = 0
    """As providers count what they rank."""
    image_input_tokens: int = 0
    """Of the input tokens, those of pictures."""
    cached_audio_tokens: int = 0
    """Of the cached tokens, those of sound."""


MOST_TOKENS = 10**13
"""No answer has more: an upstream may say anything, and sums must stay within 63 bits."""


class Usage(Struct, frozen=True, gc=False):
    """Tokens by kind. `input_tokens` includes `cached_tokens`; `output_tokens` includes
    `reasoning_tokens`, as in OpenAI's usage object."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    """Of the input; they are priced as text where no other price is known."""
    audio_output_tokens: int = 0
    """Of the output, likewise."""
    source: Literal["upstream", "estimated", "none"] = "upstream"
    cache_write_tokens: int = 0
    """Of the input: written to the provider's cache, which may have a price of its own."""
    units: Units | None = None
    """None of operations that are counted by tokens alone."""

    @property
    def told_by_tokens(self) -> bool:
        """The upstream itself counts this by tokens."""
        return self.source == "upstream" and bool(self.input_tokens or self.output_tokens)


class Passed(Struct, gc=False):
    """What a call that is passed on brings beside what every call does."""

    content_type: bytes
    """Of its body, as the client said."""
    estimate: Usage
    """What it counts for where nobody tells."""
    most_tokens: int
    """Its prompt has no more."""
    most_units: Units | None = None
    """It uses no more, where it is counted by units."""
    answer_tokens: int | None = 0
    """Its answer has no more; None if nothing bounds that."""
    method: bytes = b"POST"
    resource: str = ""
    """What stands behind the operation's own path: `/ID` or `/ID/content` of a file."""
    model_at: tuple[int, int] | None = None
    """Of a form: where in the body the value of its field `model` stands; None if it has none."""
    form_start: bytes = b""
    """Of a form: what its parts begin with."""
    raw: bool = False
    """The answer is bytes of some other kind than JSON or events, handed on as they come."""


class Hold(Protocol):
    """What a call holds of its caller's limits and budgets."""

    def settle(self, tokens: int, microusd: int, now: float) -> None:
        """Replaces what was reserved by what was used. Once, on every way out."""
        ...


class Reserved(Struct, frozen=True, gc=False):
    """What a call can use and cost at most, reckoned before it is sent."""

    input_tokens: int
    output_tokens: int | None
    """None if nothing bounds it."""
    cost_microusd: int | None
    """None if nobody reckoned it: the price may not be known."""


class Cut(Struct, frozen=True, gc=False):
    """That a rule lets an answer have fewer tokens than the client would."""

    most: int
    asked: int | None
    """What the client named; None if it named no number."""


class Call(Struct, gc=False):
    """One request of a client, on its way through the pipeline."""

    id: str
    """The correlation id; also sent to the client as `x-request-id`."""
    dialect: Dialect
    operation: Operation
    model: str
    """The model's name as the client wrote it."""
    body_model: str | None
    """What the body's `model` member says; None if it has none (Azure puts it into the path)."""
    body: bytes
    """The client's JSON, untouched."""
    stream: bool
    wants_usage: bool
    """The client asked for `stream_options.include_usage` itself."""
    caller: Caller
    received_at: float
    """Monotonic seconds."""
    idempotency_key: str | None = None
    """`Idempotency-Key`, if the client sent one."""
    sdk_attempt: int | None = None
    """`x-stainless-retry-count`: 0 for an SDK's first try, None if the client says nothing."""
    priority: Priority = Priority.NORMAL
    """By which it is refused, or not, when the gateway has too much to do."""
    explain: bool = False
    """The client wants to know why: `x-headrace-explain: 1`."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    """The client's headers, names in lower case."""
    fixed_sampling: bool = False
    """The body holds a `seed` or temperature 0: the client wants the same answer each time."""
    ip: str = ""
    """The client's address, without its port: of the socket, or what trusted proxies say."""
    max_tokens: Raw = NO_MEMBER
    """The body's member, as it came; `max_output_tokens` of the Responses API."""
    max_completion_tokens: Raw = NO_MEMBER
    """The body's member, as it came."""
    n: Raw = NO_MEMBER
    """The body's member, as it came: answers to one prompt."""
    request_type: str | None = None
    """What kind of request it is, as the client says: `x-headrace-request-type`."""
    may_be_traced: bool = True
    """False if it is known that no `traceparent` is among the headers."""
    previous: str | None = None
    """The response that it goes on with, where the gateway has put that into the body."""
    backend: str | None = None
    """The only one that may answer: it keeps the response that this call goes on with."""
    tokens_before: int = 0
    """Of what that backend keeps: they are read again."""
    hold: Hold | None = None
    """Set when it was admitted, taken away when it is settled."""
    reserved: Reserved | None = None
    """What it counts for if it is cut off, by its limits; None where it has none that reckon."""
    cut: Cut | None = None
    """Where a cap was written into its body."""
    passed: Passed | None = None
    """Of an operation that is passed on."""
    standing: bytes = b""
    """Header lines that tell this client how it stands with its limits."""
    in_company: bool = False
    """It takes its steps with others that came together with it."""


class Outcome(Struct, frozen=True):
    """How a call ended: the row that the journal and, later, the ledger keep."""

    status: int
    """The HTTP status the client saw; 499 if it left before there was one."""
    finish: str
    """complete, incomplete, refused, failed or client_gone."""
    backend: str | None
    usage: Usage
    cost_microusd: int | None
    """Integer micro-dollars; None means that the price is not known."""
    latency_ms: float
    ttft_ms: float | None
    """Time to the first content of the answer, None if there was none."""
    attempts: int = 0
    answered_by: str = "upstream"
    reason: str | None = None
    """Why it was refused or failed: a `Reason` value."""

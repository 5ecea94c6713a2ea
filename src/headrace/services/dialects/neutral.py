"""The neutral form of a chat: what is asked, what is answered, and how an answer comes in parts.

It holds what any dialect can say. A reader of a dialect fills it in, a writer of another makes of
it what that can express and tells `Omissions` of the rest. In normal form turns of one role that
follow each other are one, and what is the default of all dialects (`tool_choice: auto`) is not
said. JSON within it is Python's objects.
"""

from __future__ import annotations

import enum
from typing import Any, Literal

from msgspec import Struct, field

from headrace.nouns import Usage

Json = Any
"""A JSON value as msgspec decodes it."""


class Text(Struct):
    """Plain text. `cache` is Anthropic's `cache_control`, here and below; `logprobs` are of an
    answer's tokens, each as OpenAI's chats write one."""

    text: str
    cache: Json = None
    citations: list[Json] | None = None
    logprobs: list[Json] | None = None


class Image(Struct):
    """One of `url`, `data` (base64, of `media_type`) and `file_id`."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache: Json = None


class Document(Struct):
    """`source` is base64 of `media_type`, plain text, a URL, or the id of a stored file."""

    kind: Literal["base64", "text", "url", "file"]
    source: str
    media_type: str | None = None
    title: str | None = None
    context: str | None = None
    cited: bool = False
    """Its citations are wanted."""
    cache: Json = None


class Thinking(Struct):
    """Without a signature its own provider takes it for a forgery."""

    text: str
    signature: str | None = None


class Redacted(Struct):
    """Thinking that only its provider can read."""

    data: str


class ToolUse(Struct):
    """A call of a tool. `input` is an object."""

    id: str
    name: str
    input: Json
    cache: Json = None


class ToolResult(Struct):
    """What a call gave."""

    id: str
    parts: list[Part]
    error: bool = False
    cache: Json = None


class Refusal(Struct):
    """The model says why it does not answer."""

    text: str


class Foreign(Struct):
    """A part that only its own dialect has. `name` says where it stands and what it is."""

    name: str


Part = Text | Image | Document | Thinking | Redacted | ToolUse | ToolResult | Refusal | Foreign


class Turn(Struct):
    role: Literal["user", "assistant", "system"]
    parts: list[Part]


class Tool(Struct):
    """A function that the model may call. `schema` is that of its input."""

    name: str
    description: str | None = None
    schema: Json = None
    strict: bool | None = None
    cache: Json = None


class Choice(Struct):
    """Which tool is to be called: none, any, or the one named."""

    kind: Literal["none", "any", "tool"]
    name: str | None = None


class Asked(Struct):
    """A request. None is what the client did not say."""

    system: list[Part] = field(default_factory=list)
    """Text that stands before all turns."""
    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    choice: Choice | None = None
    one_call_at_most: bool = False
    """No parallel calls of tools."""
    max_tokens: Json = None
    temperature: Json = None
    top_p: Json = None
    top_k: Json = None
    stop: list[str] = field(default_factory=list)
    seed: Json = None
    logprobs: Json = None
    top_logprobs: Json = None
    frequency_penalty: Json = None
    presence_penalty: Json = None
    logit_bias: Json = None
    schema: Json = None
    """The JSON schema that the answer has to fit."""
    schema_name: str | None = None
    schema_description: str | None = None
    schema_strict: bool | None = None
    """The answer fits it in any case, where the schema is of the kind that this is possible for."""
    any_json: bool = False
    """The answer has to be a JSON object."""
    effort: str | None = None
    """none, minimal, low, medium, high, xhigh or max."""
    thinking: Json = None
    """Anthropic's object."""
    user: str | None = None
    tier: str | None = None
    """auto, standard, flex or priority."""
    cache: Json = None
    stream: bool = False
    others: list[str] = field(default_factory=list)
    """Members that were said and have no place here."""

    def add(self, role: Literal["user", "assistant", "system"], parts: list[Part]) -> None:
        """Appends to the turns in normal form."""
        if role == "system" and not self.turns:
            self.system += parts
        elif self.turns and self.turns[-1].role == role:
            self.turns[-1].parts += parts
        elif parts:
            self.turns.append(Turn(role, parts))


class Finish(enum.StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOLS = "tools"
    REFUSED = "refused"
    PAUSED = "paused"
    WINDOW = "window"
    """The model's context window is full."""


class Counts(Struct):
    """Tokens by kind. `input` is all of the prompt, cached or not."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0

    @property
    def usage(self) -> Usage:
        return Usage(
            self.input,
            self.output,
            self.cached,
            self.reasoning,
            self.audio_input,
            self.audio_output,
            cache_write_tokens=self.cache_written,
        )


class Answered(Struct):
    """A whole answer."""

    id: str
    model: str
    parts: list[Part]
    finish: Finish
    stop: str | None = None
    """The stop sequence that was met."""
    counts: Counts | None = None
    tier: str | None = None


# --- an answer as it comes


class Began(Struct):
    id: str
    model: str
    counts: Counts | None = None
    tier: str | None = None


class Said(Struct):
    text: str
    logprobs: list[Json] | None = None
    """Of its tokens, where they were asked for."""


class Thought(Struct):
    text: str


class Signed(Struct):
    """Ends a piece of thinking."""

    signature: str


class Hidden(Struct):
    """A piece of redacted thinking."""

    data: str


class Cited(Struct):
    citation: Json


class Called(Struct):
    """A call of a tool begins. `number` counts them from 0."""

    number: int
    id: str
    name: str


class Arguments(Struct):
    """A fragment of the JSON text of a call's input."""

    number: int
    text: str


class Refusing(Struct):
    text: str


class Finished(Struct):
    finish: Finish
    stop: str | None = None
    counts: Counts | None = None
    doubted: bool = False
    """It tells counts that no answer can have."""


class Counted(Struct):
    counts: Counts


class Ended(Struct):
    """The protocol's own end."""


class Failed(Struct):
    """The upstream reports a fault; its bytes, for the log alone."""

    error: bytes


Delta = (
    Began | Said | Thought | Signed | Hidden | Cited | Called | Arguments | Refusing | Finished
    | Counted | Ended | Failed
)  # fmt: skip
CONTENT = (Said, Thought, Hidden, Called, Arguments, Refusing, Finished)
"""What commits an answer."""

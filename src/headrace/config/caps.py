"""How long answers may get, and how tokens are counted before a call: settings of
`gateway/limits/`. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]


class TokenCapRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The default and the most of `max_tokens`. Of all rules that concern a call the least `most`
    holds, and the first `default`."""

    name: str | None = None
    """Shown in refusals; leave out for a name made of the rest."""
    only: dict[str, str | list[str]] = field(default_factory=dict)
    """Which calls it is for: values by `type` (of request), `operation` (chat, completions,
    messages or responses), `model`, `key`, `user`, `team`, `tenant`, or `tag:NAME`. Leave out for
    all. The type is the key's tag `request_type`, else what the client says in
    `x-headrace-request-type`."""
    default: Tokens | None = None
    """Written into calls that name no maximum themselves."""
    most: Tokens | None = None
    """The most that a call may ask for. One that names no maximum, and has no default, gets it."""
    above: Literal["clamp", "refuse"] = "clamp"
    """What happens to a call that asks for more: it gets the most, or is refused."""
    written_as: Literal["max_tokens", "max_completion_tokens"] | None = None
    """The member that is written where the client used neither. Leave out for `max_tokens`, or
    `max_completion_tokens` for models that take only that (o1, o3, o4 and gpt-5 by their names)."""


class Counting(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How tokens are counted before a call. Afterwards the provider's own figures hold."""

    tokens: Literal["estimate", "exact"] = "estimate"
    """`exact` counts prompts for OpenAI's models by their own vocabularies, which takes some 40 us
    for each KB and needs `pip install 'headrace[tokens]'`. Other models are estimated always."""
    assumed_answer_tokens: Tokens = 1024
    """What token limits reserve for the answer of a call that names no maximum. Budgets reserve
    all that the model can answer."""

"""How much callers may use: rules that the configuration and the keys' own records hold.

The ground floor, below the nouns: a `Caller` carries the rules of its key. Plain data.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Dimension = Literal["gateway", "tenant", "team", "user", "key", "ip", "model"]
"""What calls are counted by. `gateway` puts all calls into one count."""
Amount = Annotated[int, Meta(ge=1, le=10**15)]
Usd = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$",
        description="an amount of US dollars such as `50` or `0.25`",
        extra={"number": True},
    ),
]
"""Kept as it is written: 0.1 is no binary fraction. In the file it may stand without quotes."""
Period = Literal["day", "week", "month"]


class LimitRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rate limit, or a limit of calls at once. Each combination of `per` has a count of its
    own; a caller that lacks one of them (a key without a team) is not concerned."""

    name: str | None = None
    """Shown in refusals and alerts; leave out for a name made of the rest."""
    per: Dimension | list[Dimension]
    """What is counted apart: one of gateway, tenant, team, user, key, ip, model, or several."""
    only: dict[str, str | list[str]] = field(default_factory=dict)
    """Which calls it is for: values by dimension, or by `tag:NAME`. Leave out for all."""
    requests: Amount | None = None
    """Calls per `every_s`."""
    tokens: Amount | None = None
    """Tokens per `every_s`: the prompt and the most that may be answered are reserved, what was
    not used is given back."""
    concurrent: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Calls at once."""
    every_s: Annotated[float, Meta(gt=0, le=86_400 * 31)] = 60.0
    """The time that `requests` and `tokens` are for, in seconds."""
    burst_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    """How many seconds of the rate may be used at once; leave out for 10 s, or all of a shorter
    `every_s`, and always at least one call."""


class BudgetRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An amount of money or tokens for a calendar period."""

    name: str | None = None
    """Shown in refusals and alerts; leave out for a name made of the rest."""
    per: Dimension | list[Dimension]
    """What is counted apart: one of gateway, tenant, team, user, key, ip, model, or several."""
    only: dict[str, str | list[str]] = field(default_factory=dict)
    """Which calls it is for; see `limits.only`."""
    usd: Usd | None = None
    """US dollars for each period."""
    tokens: Amount | None = None
    """Tokens for each period."""
    every: Period = "month"
    """Days start at midnight, weeks on Monday, months on the first."""
    timezone: str = "UTC"
    """An IANA name such as `Europe/Rome`: where midnight is."""
    soft_share: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """From this share on, answers carry a warning header and an alert is logged."""
    stop: bool = True
    """Refuse calls that the rest of the budget does not cover. Without it the budget only warns."""
    unpriced: Literal["refuse", "allow"] = "refuse"
    """A call to a model whose price is not known can't be bounded in dollars: it is refused, or
    counts as nothing."""
    away_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The share of the budget that may be used, by all workers together, while Redis is away. 0
    refuses calls until it is back."""

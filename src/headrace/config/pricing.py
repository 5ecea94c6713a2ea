"""Prices of your own. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

PricedModel = Annotated[
    str,
    Meta(
        pattern=r"^[^\s\x00-\x1f]{1,256}$",
        description="a model's name, or `PROVIDER/MODEL`",
    ),
]
Rate = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9][0-9]{0,6})(\.[0-9]{1,9})?$",
        description="US dollars such as `0.15`, at most 9 digits after the point",
        extra={"number": True},
    ),
]
"""Kept as it is written: 0.15 is no binary fraction."""


class OwnPrice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What you pay for a model, in US dollars per million tokens. It takes the place of all that
    Headrace knows of the model's price."""

    input: Rate
    """Input tokens that were not cached."""
    output: Rate | None = None
    """Output tokens; leave out for models that have none, such as those of embeddings."""
    cached_input: Rate | None = None
    """Input tokens read from a cache; leave out to take `input`."""
    cache_write: Rate | None = None
    """Input tokens written to a cache; leave out to take `input`."""
    reasoning: Rate | None = None
    """Output tokens of reasoning; leave out to take `output`."""
    per_thousand_requests: Rate | None = None
    """A fee for each thousand calls, whatever their tokens."""
    audio_input: Rate | None = None
    """Input tokens of sound; leave out to take `input`."""
    audio_output: Rate | None = None
    """Output tokens of sound; leave out to take `output`."""
    image_input: Rate | None = None
    """Input tokens of pictures, as models that make pictures count them; without it a call that has
    any is of unknown price."""
    per_image: Rate | None = None
    """Of a picture that is made, where the answer tells no tokens."""
    per_audio_hour: Rate | None = None
    """Of an hour of sound that is written down, where the answer tells no tokens."""
    per_million_characters: Rate | None = None
    """Of text that is spoken, where the answer tells no tokens."""
    per_thousand_searches: Rate | None = None
    """Of what is ranked, where the answer tells no tokens."""

"""What the operator may say of the model behind a backend. The docstrings under the fields are the
documentation."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath

Modality = Literal["text", "image", "audio", "video", "file", "embedding"]
Day = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="a day such as `2027-03-31`"),
]


class ModelCard(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `GET /v1/models` tells of a backend's model beside its window, price and region. What is
    left out is not told."""

    max_output_tokens: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None
    """The longest answer."""
    input: list[Modality] | None = None
    """What it reads."""
    output: list[Modality] | None = None
    """What it makes."""
    deprecated_on: Day | None = None
    """From when its provider advises against it."""
    retires_on: Day | None = None
    """From when its provider no longer answers with it."""


def check_card(card: ModelCard, path: KeyPath, located: Located) -> None:
    """Days that are in no calendar, and lists that say nothing."""
    for field in ("deprecated_on", "retires_on"):
        day = getattr(card, field)
        if day is not None and not _is_day(day):
            located.problem(
                (*path, field), f"{quoted(day)} is in no calendar", "Write a day that is."
            )
    for field in ("input", "output"):
        if getattr(card, field) == []:
            located.problem((*path, field), "the list is empty", "Name what it is, or remove it.")


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True

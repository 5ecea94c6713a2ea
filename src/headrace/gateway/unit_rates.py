"""What is charged beside tokens of text: sound, pictures, minutes, characters, searches. Pure."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from headrace.gateway.price_data import UnitRow
from headrace.nouns import Units, Usage

MS_PER_HOUR = 3_600_000
_MICRO = 1_000_000


class UnitRates(Struct, frozen=True):
    """Micro-dollars for one of each; None: not known. Tokens of a kind without a rate of its own
    cost as text."""

    audio_input: Decimal | None = None
    """A token of sound that was heard and not cached."""
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    """A token of a picture that was sent."""
    audio_ms: Decimal | None = None
    character: Decimal | None = None
    image: Decimal | None = None
    search: Decimal | None = None

    @classmethod
    def of_row(cls, row: UnitRow) -> UnitRates:
        """Raises ValueError for what is no amount."""
        hour, thousand = _amount(row.audio_hour), _amount(row.thousand_searches)
        image = _amount(row.image)
        return cls(
            audio_input=_amount(row.audio_input),
            audio_output=_amount(row.audio_output),
            image_input=_amount(row.image_input),
            audio_ms=None if hour is None else hour * _MICRO / MS_PER_HOUR,
            character=_amount(row.million_characters),
            image=None if image is None else image * _MICRO,
            search=None if thousand is None else thousand * 1_000,
        )

    def of_units(self, units: Units) -> tuple[Decimal, bool]:
        """What is known of the units' cost in micro-dollars, and whether that is all: there are
        some, and each has its price."""
        total, counted, complete = Decimal(0), False, True
        for count, rate in (
            (units.audio_ms, self.audio_ms),
            (units.characters, self.character),
            (units.images, self.image),
            (units.searches, self.search),
        ):
            if count:
                counted = True
                complete = complete and rate is not None
                total += count * (rate or 0)
        return total, counted and complete

    def of_tokens(self, usage: Usage) -> tuple[Decimal, int, int] | None:
        """Micro-dollars of the tokens that are no text, and how many of the input and the output
        those are; None if the price of some is not known."""
        units = usage.units or Units()
        heard = max(0, usage.audio_input_tokens - units.cached_audio_tokens)
        said, seen = usage.audio_output_tokens, units.image_input_tokens
        if seen and self.image_input is None:
            return None
        total = seen * (self.image_input or 0)
        asked, answered = seen, 0
        if self.audio_input is not None:
            total, asked = total + heard * self.audio_input, asked + heard
        if self.audio_output is not None:
            total, answered = total + said * self.audio_output, said
        return Decimal(total), min(asked, usage.input_tokens), min(answered, usage.output_tokens)


NO_RATES = UnitRates()


def _amount(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"{text!r} is no amount of dollars") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} is no amount of dollars")
    return amount

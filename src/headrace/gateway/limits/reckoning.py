"""What a call may use and cost at most, reckoned before it is sent, in one pass.

All that does not depend on the call itself is found once for each choice of backends, and kept.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from headrace.gateway.flat_prices import Line
from headrace.gateway.limits.measures import Need
from headrace.gateway.limits.prompt_size import prompt_size
from headrace.gateway.limits.sellers import Sellers, SellersOf
from headrace.gateway.limits.token_caps import number
from headrace.gateway.limits.token_counting import ExactCounter
from headrace.gateway.models import Chosen
from headrace.nouns import NO_MEMBER, Call, Operation

MOST_REMEMBERED = 4_096
MOST_CHOICES = 128
"""`n` is at most this at every provider."""
NOTHING = Need(0, 0, 0, 0, 0, True)
_WITHOUT_ANSWER = frozenset({Operation.EMBEDDINGS, Operation.COUNT_TOKENS})


class Terms(Struct, frozen=True):
    """What calls that name a model and have the same choice of backends have in common."""

    chosen: Chosen
    sellers: SellersOf
    line: Line | None
    """What text costs; None where the sellers must be asked."""
    until: float
    """Unix seconds: when `line` must be looked up anew."""
    twice: bool
    """Another backend may be paid too."""


class Reckoning:
    """Reckons for one configuration."""

    def __init__(
        self, sellers: Sellers, exact: ExactCounter | None, assumed_answer_tokens: int
    ) -> None:
        """Prompts are counted by `exact`, and estimated where it is None."""
        self._sellers = sellers
        self._exact = exact
        self.estimates = exact is None
        """Prompts count by their bytes."""
        self.assumed = assumed_answer_tokens
        """Tokens of an answer that nobody bounds."""
        self._terms: dict[tuple[str, int], Terms] = {}
        """By the model's name as clients write it and the choice itself: most come again. A choice
        lives as long as its terms do, so that no other has its id."""

    def need(
        self, call: Call, chosen: Chosen, reserve: Literal["usd", "tokens"] | None, unix: float
    ) -> Need:
        """What the call may use, as `Measures.reserve` wants it. It is what the call has reserved,
        too. `unix` is now."""
        terms = self.terms(call, chosen, unix)
        passed, before = call.passed, call.tokens_before
        if passed is not None:
            likely, prompt = passed.estimate.input_tokens, passed.most_tokens
            answer = passed.answer_tokens
            if not prompt:
                return NOTHING
        else:
            exact, answer = self._exact, _answer_tokens(call)
            if exact is None:
                size = prompt_size(call.body)
            else:
                size = exact.prompt_size(call, terms.sellers.model)
            likely, prompt = size.likely, size.most
        prompt += before
        likely += before + (self.assumed if answer is None else answer)
        if reserve is None:
            need = Need(prompt, answer, None, likely, 0, answer is not None)
        else:  # an upper bound
            most, microusd = terms.sellers.longest_answer if answer is None else answer, None
            if terms.twice:
                prompt, most = 2 * prompt, 2 * most
            if reserve == "usd":
                if passed is None and terms.line is not None:
                    microusd = terms.line.cost_microusd(prompt, most)
                else:
                    units = None if passed is None else passed.most_units
                    microusd = terms.sellers.cost_microusd(prompt, most, units)
            need = Need(prompt, most, microusd, likely, prompt + most, answer is not None)
        call.reserved = need
        return need

    def terms(self, call: Call, chosen: Chosen, unix: float) -> Terms:
        """What holds now for calls like this one."""
        terms = self._terms.get((call.model, id(chosen)))
        if terms is None or unix >= terms.until:
            terms = self._found(call, chosen)
        return terms

    def _found(self, call: Call, chosen: Chosen) -> Terms:
        sellers = self._sellers.of(call, chosen)
        line, until = sellers.line()
        if len(self._terms) >= MOST_REMEMBERED:
            self._terms.clear()
        twice = chosen.resume or chosen.hedging is not None
        terms = Terms(chosen, sellers, line, until, twice)
        self._terms[call.model, id(chosen)] = terms
        return terms


def _answer_tokens(call: Call) -> int | None:
    """The most that all answers of a call may have; None if nobody says."""
    if call.operation in _WITHOUT_ANSWER:
        return 0
    most = None if call.max_tokens is NO_MEMBER else number(call.max_tokens)
    if call.max_completion_tokens is not NO_MEMBER:
        newer = number(call.max_completion_tokens)
        if most is None or (newer is not None and newer > most):
            most = newer
    if most is None or not call.n:
        return most
    choices = number(call.n)
    return most * min(choices or 1, MOST_CHOICES)

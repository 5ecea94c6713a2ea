"""Where words stand in two questions, and what their prepositions say of them: whether direction or
order tells the two apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.gateway.cache import closed_words as closed
from headrace.gateway.cache.lemmas import noun_of
from headrace.gateway.cache.reading import DOING, SELF, Reading, Term

Places = tuple[int, int]
Pairs = tuple[Places, ...]
"""Places of the same term in both."""


def directions_differ(one: Reading, other: Reading, pairs: Pairs) -> bool:
    """Whether a preposition that gives a direction is another in one text, or is missing."""
    near = _near_directions({t.word for t in (*one.terms, *other.terms)})
    if _to_do(one, other, pairs) or _to_do(other, one, [(j, i) for i, j in pairs]):
        near = (*near, {"to", "for"}, {"to", "of"})
    return any(
        _directs(a := _placed(one, i), b := _placed(other, j)) and {a.marker, b.marker} not in near
        for i, j in pairs
    )


def _to_do(one: Reading, other: Reading, pairs: Iterable[Places]) -> bool:
    """`to renew a passport`, `for renewing it`, `for a passport renewal`."""
    return any(
        (a := one.terms[i]).marker == "to"
        and (b := other.terms[j]).marker == "for"
        and (noun_of(b.word, a.word) or (b.word.endswith("ing") and not a.word.endswith("ing")))
        for i, j in pairs
    )


def _directs(one: Term, other: Term) -> bool:
    a, b = one.marker, other.marker
    directed = closed.DIRECTED.values()
    if a == b or {a, b} == {"with", "using"}:
        return False
    if not a or not b:
        return a in _STRICT or b in _STRICT
    if "to" in (a, b) and one.word.endswith("ing") != other.word.endswith("ing"):
        return False  # `the cost of renewing`, `what it costs to renew`
    return a in directed or b in directed


def _placed(text: Reading, i: int) -> Term:
    """The term; before another that has its preposition too, it only says of what kind that is: `to
    the office VPN`, `to the VPN of the office`."""
    term = text.terms[i]
    after = text.terms[i + 1] if i + 1 < len(text.terms) else None
    if term.marker and after and after.at == term.at + 1 and after.marker == term.marker:
        return term._replace(marker="of")
    return term


def _near_directions(words: set[str]) -> tuple[set[str], ...]:
    """Prepositions that are as good as each other beside these words."""
    if not _TAKEN_OUT.isdisjoint(words):
        return ({"from", "in"}, {"from", "of"}, {"from", "on"}, {"from", "'s"})
    if not _ADDED.isdisjoint(words):
        return ({"to", "on"}, {"to", "in"})
    if "visit" in words:
        return ({"to", ""},)
    return () if _TRAVEL.isdisjoint(words) else ({"to", "for"},)


_TAKEN_OUT = frozenset({"remove", "delete", "eliminate", "clear", "removing", "deleting"})
_ADDED = frozenset({"add", "put"})
_TRAVEL = frozenset({"visa", "ticket", "flight", "trip", "travel"})
_STRICT = frozenset({"from", "than", "without", "before", "after", "against"})
"""Where one text has them for a word, the other must have them too."""


def order_differs(one: Reading, other: Reading, pairs: Pairs) -> bool:
    """Whether two words have changed places that may not."""
    for at, (i, j) in enumerate(pairs):
        for k, m in pairs[at + 1 :]:
            if j > m and not _may_swap(one, other, (i, k), (m, j)):
                return True
    return False


def _may_swap(one: Reading, other: Reading, here: Places, there: Places) -> bool:
    """Whether two words may change places, which stand at `here` in one text and, the second of
    them first, at `there` in the other: by its preposition each says what it is, or they stand
    in a list, or one is a superlative."""
    if _compound(one, other, here, there) or _acted_on(one, other, here, there):
        return True
    if _predicate(one, other, here, there) or _predicate(other, one, there, here):
        return True
    if here in one.said_of and there in other.said_of:
        return _beside(one, here) != _beside(other, there)
    first, second = one.terms[here[0]], one.terms[here[1]]
    second_too, first_too = other.terms[there[0]], other.terms[there[1]]
    if first.degree != second.degree and first_too.degree != second_too.degree:
        return sum(t.degree for t in one.terms) == sum(t.degree for t in other.terms) == 1
    kinds = (kind_of(first.marker), kind_of(second.marker))
    if kinds == (kind_of(first_too.marker), kind_of(second_too.marker)):
        if kinds[0] != kinds[1]:
            return True
        listed = here in one.lists and there in other.lists
        words = {t.word for t in (*one.terms, *other.terms)} | one.poles | other.poles
        return listed and not words & closed.ASYMMETRIC
    if _anchored(first, first_too, second, second_too):
        return True
    # `the price of gold`, `the gold price`
    markers = (first.marker, second.marker, first_too.marker, second_too.marker)
    placed = [marker for marker in markers if marker]
    return len(placed) == 1 and placed[0] in closed.PLACED


def _compound(one: Reading, other: Reading, here: Places, there: Places) -> bool:
    """`a list in Python`, `a Python list`; also of three words."""
    for text, places, too, places_too in ((one, here, other, there), (other, there, one, here)):
        first, second = text.terms[places[0]], text.terms[places[1]]
        placed = second.marker in closed.PLACED and first.marker != second.marker
        if placed and places[1] - places[0] <= 2 and _beside(too, places_too):
            return True
    return False


def _acted_on(one: Reading, other: Reading, here: Places, there: Places) -> bool:
    """`to renew a passport`, `a passport renewal`; where both want something done, or are of what
    oneself does, also `to change the oil`, `an oil change`."""
    both = {one.asks, other.asks} <= DOING or SELF in one.persons & other.persons
    return any(
        (both or noun_of(too.terms[noun].word, text.terms[verb].word))
        and acted - verb == 1
        and too.terms[noun].at - too.terms[before].at == 1
        for text, (verb, acted), too, (before, noun) in (
            (one, here, other, there),
            (other, there, one, here),
        )
    )


def _predicate(one: Reading, other: Reading, here: Places, there: Places) -> bool:
    """`why is my internet slow`, `why do I have slow internet`. Only one of the two may be a
    quality, and it must end what it is said in: `is the sour milk old` is not `is the old milk
    sour`."""
    named, quality = one.terms[here[0]], one.terms[here[1]]
    if not _is_quality(quality) or _is_quality(named) or quality.marker != named.marker:
        return False
    after = one.terms[here[1] + 1] if here[1] + 1 < len(one.terms) else None
    ends = after is None or bool(after.marker) or after.at > quality.at + 1
    return ends and here[1] - here[0] <= 2 and there[1] - there[0] == 1 and _beside(other, there)


def _is_quality(term: Term) -> bool:
    return term.past or term.word in closed.QUALITIES


def _anchored(first: Term, first_too: Term, second: Term, second_too: Term) -> bool:
    """One says by its preposition what it is, in both; the other has none, or one that only places
    it: `a dictionary by value in Python`, `a Python dictionary by value`."""
    for still, still_too, moved, moved_too in (
        (first, first_too, second, second_too),
        (second, second_too, first, first_too),
    ):
        loose = {kind_of(moved.marker), kind_of(moved_too.marker)} == {"", "of"}
        if loose and still.marker == still_too.marker and kind_of(still.marker) not in ("", "of"):
            return True
    return False


def _beside(text: Reading, places: Places) -> bool:
    """Whether no other word stands between, but for a third one of the same compound."""
    apart = places[1] - places[0]
    return apart <= 2 and text.terms[places[1]].at - text.terms[places[0]].at == apart


def kind_of(marker: str) -> str:
    """`of` for each preposition that only says to what a word belongs."""
    return "of" if marker in closed.PLACED else marker

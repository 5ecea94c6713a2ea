"""Whether the answer to one question may be given to another, by their texts alone.

Rules come first: what makes two questions differ (a number, a name, a direction, a denial, an
opposite, a tense, a comparison, the kind of question) forbids it, however near their embeddings
are. What passes gets a score, a logistic function of few features whose weights
`training/guard.py` learned. Pure; about 30 µs for two questions that are read.
"""

from __future__ import annotations

import functools
import math
from importlib import resources
from typing import NamedTuple

import msgspec
from msgspec import Struct

from headrace.gateway.cache import closed_words as closed
from headrace.gateway.cache.forms import ALRIGHT
from headrace.gateway.cache.lemmas import alike, noun_of, opposite, same
from headrace.gateway.cache.reading import Reading, Term, read

_FORGOTTEN = frozenset({"forgot", "forget", "forgotten", "lost"})
_RECOVERED = frozenset({"reset", "recover", "restore", "change"})
_HIDDEN_PERSONS = frozenset({"i", "you"})
_OPEN = frozenset({"what", "how"})

LEAST_COSINE = 0.75
"""Below it nothing is looked at: what rules cannot see tells the two apart."""


class Weights(Struct, frozen=True):
    """Of the logistic score, as `training/guard.py` writes them."""

    trained_on: str
    bias: float
    features: dict[str, float]
    threshold: float
    """The score from which on an answer is given."""


class Verdict(NamedTuple):
    """What the guard says of two texts."""

    allowed: bool
    score: float
    """How likely they ask the same, from 0 to 1; 0 where a rule forbids it."""
    reason: str
    """What forbids it: `numbers`, `negation`, ...; `score` if it is too low; `` if allowed."""


class Aligned(NamedTuple):
    """Terms of two readings, one to one."""

    pairs: tuple[tuple[int, int], ...]
    synonyms: int
    left_over: tuple[Term, ...]
    right_over: tuple[Term, ...]
    told: bool
    """One tells beside its question what the other implies."""
    light: int = 0
    """Words of no weight that only one of them has: none of these is left over."""


@functools.cache
def shipped() -> Weights:
    """The weights that the package ships, read once."""
    file = resources.files("headrace.gateway.cache") / "guard.json"
    return msgspec.json.decode(file.read_bytes(), type=Weights)


def judge(
    asked: str | Reading,
    kept: str | Reading,
    cosine: float,
    weights: Weights | None = None,
    threshold: float | None = None,
) -> Verdict:
    """Whether the answer to `kept` answers `asked`. `cosine` is that of their embeddings."""
    if cosine < LEAST_COSINE:
        return Verdict(False, 0.0, "far")
    weights = shipped() if weights is None else weights
    one = read(asked) if isinstance(asked, str) else asked
    other = read(kept) if isinstance(kept, str) else kept
    aligned = align(one, other)
    reason = conflict(one, other, aligned)
    if reason is not None:
        return Verdict(False, 0.0, reason)
    found = score(features(one, other, aligned, cosine), weights)
    least = weights.threshold if threshold is None else threshold
    if found < least:
        return Verdict(False, found, "score")
    return Verdict(True, found, "")


def conflict(one: Reading, other: Reading, aligned: Aligned) -> str | None:
    """The first rule that tells the two apart, None if none does."""
    if one.numbers != other.numbers:
        return "numbers"
    if one.signs != other.signs:
        return "signs"
    if one.quoted != other.quoted:
        return "quoted"
    if one.negations != other.negations:
        return "negation"
    if one.poles != other.poles:
        return "comparison"
    if not _ask_the_same(one, other):
        return "question"
    if one.tense != other.tense and not _just_done(one, other):
        return "tense"
    if not _same_persons(one, other):
        return "person"
    return _terms_differ(one, other, aligned)


def _terms_differ(one: Reading, other: Reading, aligned: Aligned) -> str | None:
    left, right = aligned.left_over, aligned.right_over
    words, others = [t.word for t in one.terms], [t.word for t in other.terms]
    if any(opposite(a.word, b) for a in left for b in others) or any(
        opposite(b.word, a) for b in right for a in words
    ):
        return "opposite"
    if (left or right) and not _may_add(one, other, aligned):
        return "words"
    if not one.terms and one.length + other.length > 0 and one.length != other.length:
        return "words"
    pairs = aligned.pairs
    near = _near_directions({*words, *others})
    if any(
        _directions_differ(a := _placed(one, i), b := _placed(other, j))
        and {a.marker, b.marker} not in near
        for i, j in pairs
    ):
        return "direction"
    if any(_forms_differ(one, other, one.terms[i], other.terms[j]) for i, j in pairs):
        return "tense"
    if {"and", "or"} <= (one.joined ^ other.joined):
        return "joined"
    if not aligned.told and _order_differs(one, other, pairs):
        return "order"
    return None


def narrowed(reason: str, one: Reading, other: Reading) -> str:
    """`names` instead of `words`, where a name, a place or a time is among what differs."""
    if reason != "words":
        return reason
    aligned = align(one, other)
    over = (*aligned.left_over, *aligned.right_over)
    named = any(term.name or term.marker or term.word in closed.NARROWING for term in over)
    return "names" if named or not over else reason


def _may_add(one: Reading, other: Reading, aligned: Aligned) -> bool:
    """Whether one plain word more may still ask the same (`furnace`, `gas furnace`): no name, no
    place, no time, and never a word in the place of another."""
    over = (*aligned.left_over, *aligned.right_over)
    if len(over) > 1 or len(aligned.pairs) < 2:
        return False
    word, terms = over[0], (one if aligned.left_over else other).terms
    if word.marker or word.name or word.word in closed.NARROWING or word.at <= terms[0].at:
        return False
    return any(abs(term.at - word.at) == 1 for term in terms)


def _ask_the_same(one: Reading, other: Reading) -> bool:
    return one.asks == other.asks or {one.asks, other.asks} in _NEAR_KINDS


_DONE = ("why", "whether")
_NEAR_KINDS = ({ALRIGHT, "can"}, {ALRIGHT, "should"})


def _just_done(one: Reading, other: Reading) -> bool:
    """`why was it`, `why has it been`; `did it come`, `has it come`."""
    return one.asks in _DONE and {one.tense, other.tense} == {"past", "perfect"}


def _same_persons(one: Reading, other: Reading) -> bool:
    differ = one.persons ^ other.persons
    if one.asks == "howto":
        differ -= _HIDDEN_PERSONS
    if differ == {"i"} or differ == {"they"}:
        return True  # `my furnace`, `a furnace`
    return not differ


def align(one: Reading, other: Reading) -> Aligned:
    """Pairs the same words first, then words alike, nearest places first."""
    free = list(range(len(other.terms)))
    pairs: list[tuple[int, int]] = []
    left: list[int] = []
    for i, term in enumerate(one.terms):
        matches = [j for j in free if same(term.word, other.terms[j].word)]
        if matches:
            nearest = min(matches, key=lambda j: (other.terms[j].marker != term.marker, abs(j - i)))
            free.remove(nearest)
            pairs.append((i, nearest))
        else:
            left.append(i)
    synonyms, over = 0, []
    for i in left:
        match = next((j for j in free if alike(one.terms[i].word, other.terms[j].word)), None)
        if match is None:
            over.append(one.terms[i])
        else:
            free.remove(match)
            pairs.append((i, match))
            synonyms += 1
    pairs.sort()
    rest = tuple(other.terms[j] for j in free)
    left_over, right_over = _told(tuple(over), other.terms), _told(rest, one.terms)
    told = len(left_over) + len(right_over) < len(over) + len(rest)
    if not pairs or (left_over and right_over):
        return Aligned(tuple(pairs), synonyms, left_over, right_over, told)
    why = one.asks == other.asks == "why"
    heavy, heavy_too = _heavy(left_over, why), _heavy(right_over, why)
    light = len(left_over) + len(right_over) - len(heavy) - len(heavy_too)
    return Aligned(tuple(pairs), synonyms, heavy, heavy_too, told, light)


def _heavy(over: tuple[Term, ...], why: bool) -> tuple[Term, ...]:
    return tuple(
        term
        for term in over
        if term.word not in closed.LIGHT and not (why and term.word in closed.HAPPENS)
    )


def _told(over: tuple[Term, ...], others: tuple[Term, ...]) -> tuple[Term, ...]:
    """Without words that the other text implies: who resets a password has forgotten it."""
    implied = any(term.word in _RECOVERED for term in others)
    if not implied or not any(term.word in _FORGOTTEN for term in over):
        return over
    known = {term.word for term in others}
    return tuple(t for t in over if t.word not in _FORGOTTEN and t.word not in known)


def _directions_differ(one: Term, other: Term) -> bool:
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


def _forms_differ(one: Reading, other: Reading, a: Term, b: Term) -> bool:
    if a.past == b.past or "past" in (one.tense, other.tense):
        return False
    return one.asks != "howto" or other.asks != "howto"


def _order_differs(one: Reading, other: Reading, pairs: tuple[tuple[int, int], ...]) -> bool:
    for at, (i, j) in enumerate(pairs):
        for k, m in pairs[at + 1 :]:
            if j > m and not _may_swap(one, other, (i, k), (m, j)):
                return True
    return False


def _may_swap(one: Reading, other: Reading, here: tuple[int, int], there: tuple[int, int]) -> bool:
    """Whether two words may change places, which stand at `here` in one text and, the second of
    them first, at `there` in the other: by its preposition each says what it is, or they stand
    in a list, or one is a superlative."""
    if _compound(one, other, here, there) or _acted_on(one, other, here, there):
        return True
    if here in one.said_of and there in other.said_of:
        return _beside(one, here) != _beside(other, there)
    first, second = one.terms[here[0]], one.terms[here[1]]
    second_too, first_too = other.terms[there[0]], other.terms[there[1]]
    if first.degree != second.degree and first_too.degree != second_too.degree:
        return sum(t.degree for t in one.terms) == sum(t.degree for t in other.terms) == 1
    kinds = (_kind(first.marker), _kind(second.marker))
    if kinds == (_kind(first_too.marker), _kind(second_too.marker)):
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


def _compound(one: Reading, other: Reading, here: tuple[int, int], there: tuple[int, int]) -> bool:
    """`a list in Python`, `a Python list`; also of three words."""
    for text, places, too, places_too in ((one, here, other, there), (other, there, one, here)):
        first, second = text.terms[places[0]], text.terms[places[1]]
        placed = second.marker in closed.PLACED and first.marker != second.marker
        if placed and places[1] - places[0] <= 2 and _beside(too, places_too):
            return True
    return False


def _acted_on(one: Reading, other: Reading, here: tuple[int, int], there: tuple[int, int]) -> bool:
    """`to renew a passport`, `a passport renewal`."""
    return any(
        noun_of(too.terms[noun].word, text.terms[verb].word)
        and acted - verb == 1
        and too.terms[noun].at - too.terms[before].at == 1
        for text, (verb, acted), too, (before, noun) in (
            (one, here, other, there),
            (other, there, one, here),
        )
    )


def _anchored(first: Term, first_too: Term, second: Term, second_too: Term) -> bool:
    """One says by its preposition what it is, in both; the other has none, or one that only places
    it: `a dictionary by value in Python`, `a Python dictionary by value`."""
    for still, still_too, moved, moved_too in (
        (first, first_too, second, second_too),
        (second, second_too, first, first_too),
    ):
        loose = {_kind(moved.marker), _kind(moved_too.marker)} == {"", "of"}
        if loose and still.marker == still_too.marker and _kind(still.marker) not in ("", "of"):
            return True
    return False


def _beside(text: Reading, places: tuple[int, int]) -> bool:
    """Whether no other word stands between, but for a third one of the same compound."""
    apart = places[1] - places[0]
    return apart <= 2 and text.terms[places[1]].at - text.terms[places[0]].at == apart


def _kind(marker: str) -> str:
    return "of" if marker in closed.PLACED else marker


def features(one: Reading, other: Reading, aligned: Aligned, cosine: float) -> dict[str, float]:
    """What the score is made of, for two texts that no rule tells apart."""
    terms = max(1, len(aligned.pairs))
    lengths = sorted((max(1, one.length), max(1, other.length)))
    inversions = sum(
        1 for a, (_, j) in enumerate(aligned.pairs) for _, m in aligned.pairs[a + 1 :] if j > m
    )
    markers = sum(
        _kind(one.terms[i].marker) != _kind(other.terms[j].marker) for i, j in aligned.pairs
    )
    return {
        "cosine": cosine,
        "synonyms": aligned.synonyms / terms,
        "few_terms": 1 / (1 + len(aligned.pairs)),
        "length": math.log(lengths[1] / lengths[0]),
        "added": float(bool(aligned.left_over or aligned.right_over)),
        "light": min(aligned.light, 3) / 3,
        "inversions": min(inversions, 4) / 4,
        "markers": markers / terms,
    }


def score(found: dict[str, float], weights: Weights) -> float:
    """The logistic function of the weighted features."""
    total = weights.bias + sum(weights.features.get(n, 0.0) * v for n, v in found.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

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
from headrace.gateway.cache.lemmas import alike, opposite, same
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
    if one.tense != other.tense:
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
    if any(_directions_differ(one.terms[i], other.terms[j]) for i, j in pairs):
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
    if word.marker or word.name or word.word in closed.NARROWING:
        return False
    return any(abs(term.at - word.at) == 1 for term in terms)


def _ask_the_same(one: Reading, other: Reading) -> bool:
    return one.asks == other.asks or {one.asks, other.asks} == {"how", "howto"}


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
    return Aligned(tuple(pairs), synonyms, left_over, right_over, told)


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
    if a == b or not a or not b:
        return (a in _STRICT or b in _STRICT) and a != b
    return a in directed or b in directed


_STRICT = frozenset({"from", "than", "without", "before", "after", "against"})
"""Where one text has them for a word, the other must have them too."""


def _forms_differ(one: Reading, other: Reading, a: Term, b: Term) -> bool:
    if a.past == b.past or one.tense == "past":
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
    # `the price of gold`, `the gold price`
    markers = (first.marker, second.marker, first_too.marker, second_too.marker)
    placed = [marker for marker in markers if marker]
    return len(placed) == 1 and placed[0] in closed.PLACED


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
        "inversions": min(inversions, 4) / 4,
        "markers": markers / terms,
    }


def score(found: dict[str, float], weights: Weights) -> float:
    """The logistic function of the weighted features."""
    total = weights.bias + sum(weights.features.get(n, 0.0) * v for n, v in found.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

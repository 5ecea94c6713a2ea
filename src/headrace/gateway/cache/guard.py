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
from headrace.gateway.cache.forms import ALRIGHT, HOW, WISH
from headrace.gateway.cache.lemmas import alike, base, opposite, same
from headrace.gateway.cache.placing import directions_differ, kind_of, order_differs
from headrace.gateway.cache.reading import COMMAND, DOING, ME, SELF, Reading, Term, read

_FORGOTTEN = frozenset({"forgot", "forget", "forgotten", "lost"})
_RECOVERED = frozenset({"reset", "recover", "restore", "change"})
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
    if one.poles != other.poles or one.scopes != other.scopes:
        return "comparison"
    if not _ask_the_same(one, other) or {one.modal, other.modal} == {"can", "must"}:
        return "question"
    if one.tense != other.tense and not _just_done(one, other) and not _is_set(one, other):
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
    if one.hollow != other.hollow:
        return "words"
    pairs = aligned.pairs
    if directions_differ(one, other, pairs):
        return "direction"
    if any(_forms_differ(one, other, one.terms[i], other.terms[j]) for i, j in pairs):
        return "tense"
    if {"and", "or"} <= (one.joined ^ other.joined):
        return "joined"
    if not aligned.told and order_differs(one, other, pairs):
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
    kinds = {one.asks, other.asks}
    if kinds == {"can", "whether"} and one.tense == other.tense == "present":
        if one.persons | other.persons:
            return False
        return any(base(term.word) in closed.MIGHT for term in one.terms)
    return len(kinds) == 1 or kinds in _NEAR_KINDS


_DONE = ("why", "whether")
_DONE_BY_ONESELF = ("what", "how much", "how many")
_NEAR_KINDS = (
    {ALRIGHT, "can"},
    {ALRIGHT, "should"},
    {WISH, HOW},
    {WISH, COMMAND},
    {COMMAND, "what"},
)
_MAY = {"can", "should", "must", ALRIGHT}


def _just_done(one: Reading, other: Reading) -> bool:
    """`why was it`, `why has it been`; `did it come`, `has it come`; `what did I buy`, `what have I
    bought`."""
    own = one.asks in _DONE_BY_ONESELF and SELF in one.persons and SELF in other.persons
    return (own or one.asks in _DONE) and {one.tense, other.tense} == {"past", "perfect"}


def _is_set(one: Reading, other: Reading) -> bool:
    """What is set beforehand is told in the present: `when will my bill be due`, `does the policy
    cover it`, `is the library open on Sunday`."""
    if {one.tense, other.tense} != {"present", "future"} or one.asks not in ("when", "whether"):
        return False
    words = {base(term.word) for term in one.terms}
    if one.asks == "when":
        return words.isdisjoint(closed.WEATHER)
    return not words.isdisjoint(closed.SETTLED)


def _same_persons(one: Reading, other: Reading) -> bool:
    differ = one.persons ^ other.persons
    if one.turned != other.turned or (ME in differ and "you" in one.persons | other.persons):
        return False  # `can I see you`, `can you see me`
    if one.asks in _MAY and SELF in differ and "i" not in differ:
        return False  # `can I use my wife's card`, `can my wife use my card`
    if {SELF, ME} <= differ:
        return False  # `whom do I owe`, `who owes me`
    differ -= {SELF}
    if differ <= {"i", ME} or differ == {"they"}:
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
    asks = one.asks if one.asks == other.asks else ""
    heavy, heavy_too = _heavy(left_over, asks), _heavy(right_over, asks)
    light = len(left_over) + len(right_over) - len(heavy) - len(heavy_too)
    return Aligned(tuple(pairs), synonyms, heavy, heavy_too, told, light)


def _heavy(over: tuple[Term, ...], asks: str) -> tuple[Term, ...]:
    light = closed.LIGHT | closed.IMPLIED.get(asks, frozenset())
    if asks in ("how much", "how many"):
        light -= closed.COUNTED
    return tuple(term for term in over if term.word not in light)


def _told(over: tuple[Term, ...], others: tuple[Term, ...]) -> tuple[Term, ...]:
    """Without words that the other text implies: who resets a password has forgotten it."""
    implied = any(term.word in _RECOVERED for term in others)
    if not implied or not any(term.word in _FORGOTTEN for term in over):
        return over
    known = {term.word for term in others}
    return tuple(t for t in over if t.word not in _FORGOTTEN and t.word not in known)


def _forms_differ(one: Reading, other: Reading, a: Term, b: Term) -> bool:
    if "past" in (one.tense, other.tense):
        return False
    if a.past != b.past and (one.asks not in DOING or other.asks not in DOING):
        return True
    if a.past == b.past and a.state == b.state:
        return False
    return _before_its_noun(a, one) or _before_its_noun(b, other)


def _before_its_noun(term: Term, text: Reading) -> bool:
    """`help with a frozen account`, not `help to freeze an account`."""
    state = term.past or term.state
    return state and any(t.at == term.at + 1 and not t.marker for t in text.terms)


def features(one: Reading, other: Reading, aligned: Aligned, cosine: float) -> dict[str, float]:
    """What the score is made of, for two texts that no rule tells apart."""
    terms = max(1, len(aligned.pairs))
    lengths = sorted((max(1, one.length), max(1, other.length)))
    inversions = sum(
        1 for a, (_, j) in enumerate(aligned.pairs) for _, m in aligned.pairs[a + 1 :] if j > m
    )
    markers = sum(
        kind_of(one.terms[i].marker) != kind_of(other.terms[j].marker) for i, j in aligned.pairs
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

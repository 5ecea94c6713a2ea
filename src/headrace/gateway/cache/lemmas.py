"""Base forms of English words, and which words are alike or opposite."""

# ruff: noqa: SIM905 - lists of words are read as text

from __future__ import annotations

import functools
from importlib import resources

import msgspec
from msgspec import Struct

from headrace.gateway.cache.synonyms import ALIKE

_KEPT = frozenset(
    "news means customs arms goods physics mathematics economics politics series species gas bus "
    "lens atlas canvas texas paris mars venus hiv sms gps dns aws ios https "
    "kubernetes redis jenkins rails".split()
)
"""They end as plurals do, and are none."""
_MANY = frozenset({"men", "women", "children", "oxen", "brethren"})
_VOWELS = frozenset("aeiouy")
_LONGEST_PREFIX = ("un", "in", "im", "il", "ir", "dis", "non", "de", "mis", "anti")

_DEEDS = ("al", "tion", "sion", "ment", "ance", "ence")
"""How nouns end that are made of verbs."""


class Words(Struct, frozen=True):
    """What `training/lexicon.py` made of WordNet."""

    source: str
    alike: dict[str, frozenset[str]]
    opposite: dict[str, frozenset[str]]
    irregular: dict[str, str]


@functools.cache
def words() -> Words:
    """The words that the package ships, read once."""
    file = resources.files("headrace.gateway.cache") / "words.json"
    return msgspec.json.decode(file.read_bytes(), type=Words)


@functools.lru_cache(maxsize=65_536)
def base(word: str) -> str:
    """A word without its ending: not always a word, but the same for its forms."""
    if word in _KEPT or not word.isalpha() or not word.isascii():
        return word
    word = words().irregular.get(word, word)
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")) and len(word) > 4:
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and _VOWELS & set(stem) and not word.endswith("eed"):
            if stem[-1] == stem[-2] and stem[-1] not in "lsz":
                stem = stem[:-1]
            word = stem + "y" if stem.endswith("i") else stem
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


@functools.lru_cache(maxsize=65_536)
def _friends(word: str) -> frozenset[str]:
    """Base forms of words alike, of a word or its base form."""
    known, own = words().alike, ALIKE
    found = known.get(word, frozenset()) | own.get(word, frozenset())
    plain = word.removesuffix("s")
    found |= known.get(plain, frozenset()) | own.get(plain, frozenset())
    for form in (base(word), base(word) + "e", base(word)[:-1] + "y"):
        found |= known.get(form, frozenset()) | own.get(form, frozenset())
    return frozenset(map(base, found))


def past(word: str) -> bool:
    """A past form, or a participle."""
    if word in words().irregular:
        return not word.endswith(("s", "ing", "en", "er", "est"))
    return word.endswith("ed") and not word.endswith("eed") and len(word) > 4


def participle(word: str) -> bool:
    """One that is no simple past: `frozen`."""
    return word.endswith("en") and word in words().irregular and word not in _MANY


def same(one: str, other: str) -> bool:
    """Two forms of one word."""
    return one == other or base(one) == base(other)


def alike(one: str, other: str) -> bool:
    """Two words for one thing. Those of a degree (`biggest`) are held to their plain forms."""
    if base(other) in _friends(one) or base(one) in _friends(other):
        return True
    if "_" in one and "_" in other:
        verb, _, particle = one.partition("_")
        second, _, particle_too = other.partition("_")
        return particle == particle_too and alike(verb, second)
    for ending in ("est", "er"):
        if one.endswith(ending) and other.endswith(ending):
            plain, others = _plain(one, ending), _plain(other, ending)
            return plain != others and alike(plain, others)
    return False


def noun_of(noun: str, verb: str) -> bool:
    """Of two words alike, whether one is what it is to do the other: `renewal`, `renew`."""
    made = noun.removesuffix("s").endswith(_DEEDS)
    return made and noun[:4] == base(verb)[:4] and not base(verb).endswith(_DEEDS)


def opposite(one: str, other: str) -> bool:
    """Antonyms, or one the other's denial (`legal`, `illegal`)."""
    known = words().opposite
    if other in known.get(one, ()) or one in known.get(other, ()):
        return True
    first, second = base(one), base(other)
    if second in map(base, known.get(one, ())) or first in map(base, known.get(other, ())):
        return True
    short, long = sorted((first, second), key=len)
    return any(long == prefix + short for prefix in _LONGEST_PREFIX)


def _plain(word: str, ending: str) -> str:
    stem = word.removesuffix(ending)
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "ls":
        stem = stem[:-1]
    return stem[:-1] + "y" if stem.endswith("i") else stem

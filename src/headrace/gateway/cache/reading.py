"""What a text asks, as far as rules can read it: the guard compares two such readings. Pure."""

# ruff: noqa: SIM905 - lists of words are read as text

from __future__ import annotations

import functools
import itertools
import re
from typing import Final, NamedTuple

from headrace.gateway.cache import closed_words as closed
from headrace.gateway.cache.forms import ALRIGHT, HOW, WISH
from headrace.gateway.cache.lemmas import base, participle, past
from headrace.gateway.cache.wording import common_form

_TOKEN: Final = re.compile(
    r"(?P<number>(?<![\w.])-?\d[\d,.:/-]*\d(?:st|nd|rd|th|[a-z%]\w*)?|"
    r"(?<![\w.])-?\d(?:st|nd|rd|th|[a-z%]\w*)?)"
    r"|(?P<owner>'s\b|(?<=s)'(?=\s))"
    r"|(?P<word>[^\W\d_][\w]*(?:-[^\W\d_]\w*)*[+#]*)"
    r"|(?P<sign>[<>=+*^%$€£¥@&~|#{}\[\]\\]+)|(?P<stop>[,;.!?\n])"
)
_QUOTED: Final = re.compile(
    r"\"([^\"]{1,400})\"|“([^”]{1,400})”|`([^`]{1,400})`|(?<!\w)'([^']{2,400})'(?!\w)"
)
_NAME: Final = re.compile(r"(?<=[\w,;:'\"(-] )[A-Z]\w*|(?<=[\w,;:'\"(-])[A-Z]\w*|\b\w*\d\w*\b")
_NUMBER: Final = re.compile(r"(-?[\d][\d,.:/-]*)([a-z%]*)")
_NOT_ACTED: Final = closed.BE | {"the", "a", "my"}
"""A past form after them is a participle."""
_ARE: Final = frozenset({"am", "is", "are"})
_USA: Final = re.compile(r"\bUS\b")
_PARTICLES: Final = frozenset("on off up down in out".split())
_DAYS: Final = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday weekend weekday holiday".split()
)
_PARTICLE_VERBS: Final = frozenset(
    "turn switch shut power check lock opt plug zoom scroll scale roll back count go come move "
    "take put bring let fill drop phase break close open start slow cut give hand".split()
)
_MEASURES: Final = frozenset(
    "many much long often far old tall big large high deep fast heavy wide hot cold late early "
    "soon hard strong small short young likely good bad".split()
)
ME: Final = "me"
"""Who is spoken of as whom something is done to."""
SELF: Final = "self"
"""Who is to do it is oneself: `can I`."""
COMMAND: Final = "command"
"""The kind of what is no question: `transfer the money`."""
DOING: Final = frozenset({HOW, WISH, COMMAND})
"""Kinds that want something done, by whomever."""
_ABLE: Final = frozenset({"can", "could", "may"})
_ADVICE: Final = frozenset({"should"})
_NEED: Final = frozenset({"must"})
_LEADS: Final = _ABLE | _ADVICE | _NEED | {"shall", "do", "did", "have", "need", ALRIGHT}
_FACT: Final = frozenset("is are am was were do does did has have had will would shall".split())
_WH: Final = frozenset("what which who whom whose when where why".split())

_SAYS_OF: Final = frozenset({"is", "are", "that", "which", "so", "very"})

_PERSONS: Final = (
    ("i", frozenset("i me my mine we us our ours myself".split())),
    (ME, frozenset({"me", "us"})),
    ("you", frozenset("you your yours yourself".split())),
    ("he", frozenset("he him his himself".split())),
    ("she", frozenset("she her hers herself".split())),
    ("they", frozenset("they them their theirs".split())),
)


_KEEP: Final = frozenset("the a an my your its this that our".split())
_OF_DEEDS: Final = frozenset("before after until since".split())
_WHO: Final = frozenset("i you we they he she".split())
"""`before I work out`: what stands before them is said of the deed too."""
_QUANTITIES: Final = frozenset("all every each both only".split())


class Term(NamedTuple):
    """A word with matter."""

    word: str
    marker: str
    """The preposition before it, `'s` after it, or nothing."""
    at: int
    """Its place among all words."""
    degree: bool
    """A superlative, which may stand before or after what it is said of."""
    name: bool
    """It is written as names are."""
    past: bool
    """A past form that no verb of being or having stands before."""
    state: bool = False
    """So does none before a participle: `frozen food`."""


class Reading(NamedTuple):
    """What the guard compares."""

    terms: tuple[Term, ...]
    numbers: tuple[str, ...]
    signs: tuple[str, ...]
    quoted: tuple[str, ...]
    modal: str
    """`must` or `can`, where another word asks: `when can I pay`."""
    asks: str
    """The kind of question: `howto`, `when`, `how many`, `can`, ... or `what`."""
    tense: str
    negations: int
    poles: frozenset[str]
    scopes: tuple[str, ...]
    """What `only` is said of, and the order of denials and quantities."""
    persons: frozenset[str]
    turned: bool
    """Someone else is spoken of before oneself: `can you see me`."""
    joined: frozenset[str]
    """`and`, `or` and their kin."""
    lists: frozenset[tuple[int, int]]
    """Places of terms that such a word, and nothing else, stands between."""
    said_of: frozenset[tuple[int, int]]
    """Places of terms with but `is`, or nothing, between: `the string is empty`, `empty string`."""
    hollow: tuple[str, ...]
    """All words, of a text that has none with matter: `what should I do`."""
    length: int
    """Words in all."""


def read(text: str) -> Reading:
    """Reads a text. About 100 µs for a question of ten words."""
    text = text.replace("’", "'").replace("‘", "'")
    quoted = tuple(
        sorted(
            " ".join(next(g for g in m.groups() if g is not None).split())
            for m in _QUOTED.finditer(text)
        )
    )
    names = frozenset(m.group().lower() for m in _NAME.finditer(text))
    text = common_form(_USA.sub("usa", text).lower())
    words, numbers, signs = _split(text)
    terms = _terms(words, names)
    bare = [word for word in words if word.isalpha()]
    return Reading(
        terms=terms,
        numbers=tuple(sorted(numbers)),
        signs=tuple(sorted(signs)),
        quoted=quoted,
        modal=_modal(bare),
        asks=_asks(bare),
        tense=_tense(bare),
        negations=sum(word in closed.NEGATIONS for word in bare),
        poles=frozenset(closed.POLES & set(bare)),
        scopes=_scopes(bare),
        persons=_persons(bare),
        turned=_turned(bare),
        joined=frozenset(closed.SYMMETRIC & set(bare)),
        lists=_lists(terms, words),
        said_of=_said_of(terms, words),
        hollow=() if terms else tuple(bare),
        length=len(words) - words.count(","),
    )


def _split(text: str) -> tuple[list[str], list[str], list[str]]:
    """Words with `'s` and stops among them, numbers in a common form, and other signs."""
    words: list[str] = []
    numbers: list[str] = []
    signs: list[str] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "number":
            number, unit = _number(token)
            numbers.append(number)
            words.append("0")
            if unit:
                words.append(unit)
        elif kind == "owner":
            words.append("'s")
        elif kind == "sign":
            signs.append(token)
        elif kind == "stop":
            words.append(",")
        elif (spelled := closed.NUMBERS.get(token)) is not None:
            numbers.append(spelled)
            words.append("0")
        else:
            words.append(token)
    return words, numbers, signs


def _number(token: str) -> tuple[str, str]:
    """In a common form, and the unit that is written to it."""
    match = _NUMBER.match(token)
    assert match is not None
    digits, unit = match.group(1).rstrip(".,:/-"), match.group(2)
    if unit in closed.FILLERS:
        return digits + unit, ""  # `8a`, `5m`: no word of their own
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", digits):
        digits = digits.replace(",", "")
    if re.fullmatch(r"-?\d+\.\d*0+", digits) and unit:
        digits = digits.rstrip("0").rstrip(".")
    if unit in ("st", "nd", "rd", "th"):
        return f"#{digits}", ""
    scale = {"k": 3, "m": 6, "bn": 9}.get(unit)
    if scale is not None and digits.isdigit():
        return digits + "0" * scale, ""
    return digits, unit


def _terms(words: list[str], names: frozenset[str]) -> tuple[Term, ...]:
    terms: list[Term] = []
    marker, before, verb = "", "", ""
    for at, word in enumerate(words):
        if word == "'s":
            if terms:
                terms[-1] = terms[-1]._replace(marker="'s")
            marker = ""
        elif word in _PARTICLES and verb and before == verb and not _day(words, at + 1):
            terms[-1] = terms[-1]._replace(word=f"{base(verb)}_{word}")
        elif word in closed.PREPOSITIONS:
            marker = "" if word == "between" else closed.DIRECTED.get(word, word)
        elif word in closed.FILLERS or word in (HOW, ALRIGHT, WISH):
            if word not in _KEEP and not (marker in _OF_DEEDS and word in _WHO):
                marker = ""
        elif word in (",", "0") or word in closed.NEGATIONS or word in closed.POLES:
            marker = "" if word == "," else marker
        else:
            is_past = past(word) and word != "left" and not _is_done(words, at)
            degree = before in ("most", "least") or (word.endswith("est") and len(word) > 5)
            state = participle(word) and before not in closed.BE
            terms.append(Term(word, marker, at, degree, word in names, is_past, state))
            verb = word if base(word) in _particle_verbs() else ""
        before = word
    return tuple(terms)


def _is_done(words: list[str], at: int) -> bool:
    """A participle: `is blocked`, `is my card blocked`."""
    before = words[at - 1] if at else ""
    return before in _NOT_ACTED or not _ARE.isdisjoint(words[max(0, at - 4) : at])


def _day(words: list[str], at: int) -> bool:
    """`open on Sunday`: no particle."""
    return at < len(words) and words[at].removesuffix("s") in _DAYS


@functools.cache
def _particle_verbs() -> frozenset[str]:
    """Base forms. Made with the first question: they take the words that the package ships."""
    return frozenset(map(base, _PARTICLE_VERBS))


def _lists(terms: tuple[Term, ...], words: list[str]) -> frozenset[tuple[int, int]]:
    return frozenset(
        (i, i + 1)
        for i, (one, other) in enumerate(itertools.pairwise(terms))
        if closed.SYMMETRIC & set(between := words[one.at + 1 : other.at])
        and set(between) <= closed.LISTING
    )


def _said_of(terms: tuple[Term, ...], words: list[str]) -> frozenset[tuple[int, int]]:
    return frozenset(
        (i, i + 1)
        for i, (one, other) in enumerate(itertools.pairwise(terms))
        if set(words[one.at + 1 : other.at]) <= _SAYS_OF
    )


def _asks(words: list[str]) -> str:
    """The kind of question, by the first word that asks."""
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else ""
        if word == HOW:
            return HOW
        if word == "how":
            if after in _MEASURES:
                return f"how {after}"
            return "how"
        if word in (ALRIGHT, WISH):
            return word
        if word in _WH:
            return "what" if word in ("what", "which") else word
        if i == 0 or words[i - 1] in ("so", "but", "and"):
            for kind, starts in (
                ("can", _ABLE),
                ("should", _ADVICE),
                ("must", _NEED),
                ("whether", _FACT),
            ):
                if word in starts:
                    if kind == "whether" and word in ("do", "does") and "need" in words:
                        return "must"
                    return kind
    return COMMAND if words and words[0] in closed.COMMANDS else "what"


def _modal(words: list[str]) -> str:
    pairs = set(itertools.pairwise(words))
    if "must" in words or ("need", "to") in pairs or ("have", "to") in pairs:
        return "must"
    return "" if _ABLE.isdisjoint(words) else "can"


def _tense(words: list[str]) -> str:
    found = set(words)
    if found & closed.FUTURE or ("going" in found and "to" in found):
        return "future"
    if "would" in found:
        return "would"
    if found & closed.PAST or _did_use(words):
        return "past"
    if found & closed.PERFECT and any(past(word) for word in words):
        return "perfect"
    return "present"


def _did_use(words: list[str]) -> bool:
    """`used to sell`, not `is used`."""
    return any(
        word == "used" and words[i - 1] not in closed.BE for i, word in enumerate(words) if i
    )


def _scopes(words: list[str]) -> tuple[str, ...]:
    """`only I can see it` is not `I can only see it`, `not all birds fly` not `all do not`."""
    if _QUANTITIES.isdisjoint(words):
        return ()
    found = [word for word in words if word in _QUANTITIES or word in closed.NEGATIONS]
    turns = found if not closed.NEGATIONS.isdisjoint(found) else []
    of = [base(after) for word, after in itertools.pairwise(words) if word == "only"]
    return (*turns, *of)


def _turned(words: list[str]) -> bool:
    own = next((i for i, word in enumerate(words) if word in ("i", "we", ME, "us")), None)
    return own is not None and "you" in words and words.index("you") < own


def _persons(words: list[str]) -> frozenset[str]:
    found = set(words)
    names = {name for name, members in _PERSONS if found & members}
    if any(one in _LEADS and other in ("i", "we") for one, other in itertools.pairwise(words)):
        names.add(SELF)
    return frozenset(names)

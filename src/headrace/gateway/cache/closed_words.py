"""Words of English that ask, point, deny or compare: closed classes, which the guard knows whole.

Written by hand. Open words (nouns, verbs) are in `words.json`, made by `training/lexicon.py`.
"""

# ruff: noqa: SIM905 - lists of words are read as text

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()

NUMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {word: str(i) for i, word in enumerate(_NUMBERS) if word != "one"}
    | {word: str(10 * i) for i, word in enumerate(_TENS, 2)}
    | {word: f"#{i}" for i, word in enumerate(_ORDINALS, 1)}
    | {"dozen": "12", "hundred": "100", "thousand": "1000", "million": "1000000"}
    | {"billion": "1000000000", "twice": "2x", "double": "2x", "once": "1x", "half": "0.5"}
)
"""`one` is left out: it mostly points."""

FILLERS: Final = frozenset(
    "a an the this that these those please just really actually simply thoroughly exactly "
    "realistically also so very some there it its itself one do does is are am be been being "
    "s re ve ll m d i me my mine myself we us our ours you your yours yourself tell know get got "
    "can could may might should would will shall must need want ought have has had did was were "
    "what which who whom whose when where why how and or but if then thing stuff hi hello hey "
    "thanks thank you ok okay well proper properly way easily easy ask wonder "
    "wondering question answer anyone someone somebody anybody kindly as like getting gets gotten "
    "asked asking whether such".split()
)
"""They carry no matter of their own; what some of them ask is looked at apart."""

LIGHT: Final = frozenset(
    "available exact specific specifically actual own possible possibly information info detail "
    "details guide instruction instructions advice help something person people certain particular "
    "use used using request requesting obtain perform go going try trying wish able mean meant "
    "manage good best located associated kind skill skills usually typically normally generally "
    "correctly successfully called named keyword".split()
)
"""In one text alone they rarely make a difference: the score counts them."""
COUNTED: Final = frozenset({"use", "used", "using"})
"""Where something is counted, these make one: what is left, what is used."""
IMPLIED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "why": frozenset({"happen", "happens", "happening", "occur", "occurs", "cause"}),
        "can": frozenset({"legal", "legally"}),
        "how long": frozenset("minutes hours days weeks months years river".split()),
        "how tall": frozenset("mount mountain".split()),
    }
)
"""By the kind of question: in one of two texts that ask it, these make no difference."""

PREPOSITIONS: Final = frozenset(
    "of in at on for to from into onto with without by than through over under above below "
    "before after between about against during until till since within across toward towards "
    "near inside outside behind beside per via vs versus using".split()
)
DIRECTED: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(("to", "into", "onto", "toward", "towards"), "to")
    | {
        word: word
        for word in (
            "from than by over under above below before after through until since without with "
            "against inside outside behind within near"
        ).split()
    }
    | {"till": "until"}
)
"""Prepositions that make a difference for the word after them."""
PLACED: Final = frozenset({"of", "in", "at", "on", "for", "'s", "using"})
"""Prepositions that only say to what a word belongs."""

QUALITIES: Final = frozenset(
    "slow fast hot cold warm cool big small large tall short long high low heavy light hard soft "
    "easy difficult simple cheap expensive safe dangerous dirty clean wet dry loud quiet noisy "
    "dark bright empty full broken stuck lost stolen missing blocked frozen locked late early "
    "damaged cracked flat sore swollen itchy painful sick ill tired weak strong thick thin wide "
    "narrow deep shallow sharp dull smooth rough sour sweet salty bitter spicy fresh stale rotten "
    "ripe raw healthy unhealthy toxic poisonous legal illegal normal abnormal common rare popular "
    "famous important necessary useful possible impossible available unavailable valid invalid "
    "correct incorrect wrong duplicate blurry grainy pale yellow green blue red white black brown "
    "grey gray foggy cloudy foamy sticky slippery rusty dusty greasy bald pregnant contagious "
    "genetic hereditary taxable refundable reusable renewable".split()
)
"""Adjectives that stand before their noun or are said of it."""
WEATHER: Final = frozenset("rain snow hail storm freez".split())
SETTLED: Final = frozenset(
    "cover includ appl accept monday tuesday wednesday thursday friday saturday sunday christmas "
    "easter".split()
)
"""Base forms of what is not set beforehand, by those who ask when, and of what is, by those who ask
whether."""
MIGHT: Final = frozenset(
    "see fly swim hear smell climb float surviv jump dream caus affect damag harm trigger".split()
)
"""Base forms: who asks whether something can, asks whether it does."""

COMMANDS: Final = frozenset(
    "add apply arrange ask assess become block book borrow build buy calculate call cancel change "
    "check choose clear close combine compare compose compute confirm connect contact convert copy "
    "correct create cut debug decline decrease define delete deposit describe design disable "
    "discover display divide download draft edit enable estimate exchange explain export extend "
    "extract file find fix format forward freeze generate get give handle have hear help hide "
    "identify import improve increase increment inform install invite join learn leave let list "
    "locate lock lower make merge mount move mute name notify open order outline paraphrase park "
    "pause pay pick plan play postpone print proofread provide purchase put raise read rebook "
    "receive recharge recommend record redeem reduce refactor refill register remind remove rename "
    "renew rent repay rephrase replace report request reschedule reserve reset resolve restart "
    "restore resume retrieve return reverse review rewrite rollover run save schedule search see "
    "select sell send set setup share ship shorten show sign signin signout signup simplify skip "
    "solve sort speak spell split start stop store submit subscribe suggest suspend switch take "
    "talk tell test track transfer translate try turn unblock uninstall unlock unsubscribe update "
    "upgrade upload use utilize verify view visit wire withdraw write".split()
)
"""A text that begins with one of them wants it done."""

NEGATIONS: Final = frozenset(
    "not no never none nothing nobody neither nor without cannot except excluding unless "
    "hardly instead rather lack stop avoid avoids avoided avoiding".split()
)
POLES: Final = frozenset(
    "off up down out only all every each both either more less most least fewer fewest few many "
    "before after until since than over under above below next previous last latest first same "
    "different again still yet already always sometimes often rarely never without against too "
    "enough almost nearly about per other another else besides ever now later earlier soon "
    "away back forward backward forwards backwards together alone both any minus plus".split()
) - {"about", "any", "many", "much", "now"}
"""Small words that turn a question: each is in both texts or in neither."""

NARROWING: Final = frozenset(
    "today yesterday tomorrow tonight daily weekly monthly yearly annual annually hourly "
    "monday tuesday wednesday thursday friday saturday sunday january february march april june "
    "july august september october november december spring summer autumn fall winter current "
    "currently former formerly old new recent recently ex vice deputy assistant net gross "
    "maximum minimum average total default free paid private public online offline pro "
    "anti fake false true real raw dry wet hot cold male female adult baby pregnant local "
    "international domestic foreign front rear left right upper lower inner outer half "
    "ultra max mini lite slim air native beta prepaid refurbished "
    "premium enterprise professional personal business alternative vegan vegetarian decaf "
    "list explain summarize summarise translate write define compare".split()
)
"""They make a question another one, though they only stand beside a word."""

SYMMETRIC: Final = frozenset({"and", "or", "between", "vs", "versus"})
LISTING: Final = SYMMETRIC | frozenset({",", "a", "an", "the", "my", "your"})
ASYMMETRIC: Final = frozenset(
    "ratio minus subtract divide divided quotient percent convert translate compared relative "
    "before after better worse more less than first".split()
)
"""Where one of these stands, a list's order may matter."""

BE: Final = frozenset("be am is are was were been being get gets got have has had having".split())
PAST: Final = frozenset("was were did had".split())
PERFECT: Final = frozenset({"has", "have"})
FUTURE: Final = frozenset({"will", "shall", "'ll"})

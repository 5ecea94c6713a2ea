"""The common form of a text: courtesies go, "what is the height of" becomes "how tall is", a
passive becomes active. The guard then compares words. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final

from headrace.gateway.cache.forms import (
    CONTRACTIONS,
    HOW,
    PERMISSION,
    PHRASES,
    QUESTIONS,
    Form,
)
from headrace.gateway.cache.lemmas import past, words

MOST_CHARACTERS = 300
"""Longer texts are no single question, and some of the patterns would take a second for a text that
was written to make them."""

_REQUESTS: Final = (
    "write|draft|compose|summari[sz]e|translate|send|set|play|show|check|add|create|order|book|"
    "schedule|call|remind|transfer|move|find|search|list|read|put|skip|switch|turn|lock|unlock|"
    "delete|remove|cancel|confirm|update|start|stop|spell|recommend|suggest|define|increase|"
    "decrease|fix|correct|look up|place|let|tell|explain|give|help|describe|provide|"
    "inform|assist|clarify"
)
_POLITE: Final = re.compile(
    r"\b(?:please|kindly|(?:can|could|would|will) you (?:please |kindly |possibly )*"
    rf"(?=(?:{_REQUESTS})\b)|"
    rf"i(?:'d| would)? (?:want|need|like) (?:for )?you to (?=(?:{_REQUESTS})\b)|"
    r"i(?:'d| would) like (?:you )?to know|i(?: am)? (?:was )?(?:just )?wondering|"
    r"i (?:want|need|must|have|got) (?:you )?(?:to )?know|any idea|"
    r"(?<!how )(?<!what )(?<!when )(?<!why )do you (?:know|happen to know|think)|"
    r"i (?:do not (?:know|understand|see)|am not sure|have no (?:idea|clue)) "
    r"(?=(?:how|what|where|when|why|who|which)\b)|"
    r"(?:can|could|would|does|will) (?:someone|anyone|somebody|anybody) (?:please )?"
    r"(?=(?:tell|explain|show|know|describe)\b)|(?<=anyone )know|"
    r"i am curious(?: about)?|i wonder(?= (?:how|what|where|when|why|who|which|if)\b)|"
    r"tell me(?: more| all| everything)?(?: about)?|let me know|let (?:me|us)(?= \w)|"
    r"if you (?:could|can|would)(?: please)? tell me|"
    r"give me|show me(?! the difference)|"
    rf"(?:help|assist) me(?: to| out)?"
    rf"(?=(?: (?:{_REQUESTS}|understand|with|in|on|please|out)\b)|\W*$)|"
    r"i (?:need|want|would like) (?:some |more |further )*"
    r"(?:information|info|details) (?:about|on)|"
    r"inform me(?: of| about)?|"
    r"for me|"
    r"hi|hello|hey|thanks|thank you|at the moment|right now)\b[,:]?",
)
_WAYS: Final = re.compile(
    r"\b(?:how (?:do|can|could|should|would|might|must) (?:i|you|we|one|someone|anyone|"
    r"a person)(?: best)?(?: go about)?|how does (?:one|someone|a person)(?: go about)?|"
    r"how (?:i|we|one) (?:can|could|should|would|might|may|must)(?: go about)?|"
    r"how(?: best)? to|how(?=\s+do\s*$)|"
    r"(?:what|which)(?: is| are|s)? (?:the |a |some |an )?"
    r"(?:best |easiest |right |proper |correct |simplest |good |(?:most )?effective |efficient )?"
    r"(?:ways?|steps|methods?|procedure|process|protocol|technique|command|shortcut|syntax|trick) "
    r"(?:needed |required |involved )?(?:to|for|of|in)|"
    r"(?:is there|are there) (?:a |any |some )?(?:good |specific |easy )?(?:ways?|steps) "
    r"(?:i (?:need to|should|can) take )?(?:to|for)|"
    r"what (?:steps|path) (?:should|can|do|must) i (?:need to )?(?:take|follow) to|"
    r"i need (?:some )?(?:help|assistance)(?: figuring out)? (?:to|with|in|how i can|how to)|"
    r"(?:the )?(?:directions|instructions|guidance) (?:on how to|(?:to|on|for)(?= \w+ing\b))|"
    r"(?:help|assist) me(?: to)?(?= \w)|"
    r"walk me through(?: on)?(?: how to)?|what does it take to|"
    r"(?:what are )?(?:some )?(?:good )?(?:tips|ideas|advice|suggestions|tricks) (?:to|for|on)|"
    r"ways to|steps (?:to|for)|what (?:more |else )?(?:can|should|must|do) (?:i|you|we|one) "
    r"(?:\w+ly )?(?:have to |need to )?do (?:in order )?to|"
    r"(?:(?<=^)|(?<=[.,!?;] ))i (?:(?:want|need|would like|am trying|am looking|have|got) to|must)|"
    r"(?:the )?best way (?:to|of))\b"
)
_TOPIC: Final = re.compile(
    r"^(?:(?:in|with|on|using|for) (\w+(?: \w+)?), |(\w+): (?=\w+ing\b))(.+?)\s*\??$"
)
_IN_CODE: Final = re.compile(
    r"^(?=\w+ (?:an?|the|all|for|if|whether|two|every|each|from) .* (?:in|with|using) "
    r"(?:python|javascript|js|java|typescript|rust|go|ruby|perl|swift|kotlin|scala|php|c|bash|sql|"
    r"html|css|excel|git|linux|docker|numpy|pandas|react)\s*\??$)"
    r"(?!(?:what|which|who|whose|when|where|why|how|is|are|was|do|does|did|has|have|can|could|should|"
    r"would|will|may|must|get|list|show|explain|describe|define|compare|in|with|using|for|of)\b)"
)
"""What to do there is asked for the way to do it: `sort a list in Python`."""
_BARE: Final = re.compile(r"^(?=\w{3,}ing\b (?:a|an|the|my|\w+s|to|from|in)\b)")

_MAKERS: Final = {
    "author": "wrote",
    "writer": "wrote",
    "inventor": "invented",
    "discoverer": "discovered",
    "founder": "founded",
    "creator": "created",
    "painter": "painted",
    "composer": "composed",
    "winner": "won",
}
"""What they did is done: who is the author and who was it ask for the same person."""


def _participle(word: str) -> bool:
    return past(word) or words().irregular.get(word, word) != word


def _acted(start: str) -> Callable[[re.Match[str]], str]:
    """Puts the active form: group 1 is what is acted on, 2 the participle, 3 the rest."""

    def put(match: re.Match[str]) -> str:
        acted, verb, rest = match.groups()
        return f"{start} be {verb} {acted} {rest}" if _participle(verb) else match.group()

    return put


@functools.cache
def _simple_pasts() -> dict[str, str]:
    """`wrote` for `write`, read with the first text that needs it."""
    return {plain: form for form, plain in words().irregular.items() if past(form)}


def _done(match: re.Match[str]) -> str:
    asked, verb, rest = match.groups()
    return f"{asked} i be {verb} {rest}" if _participle(verb) else match.group()


def _by_whom(match: re.Match[str]) -> str:
    acted, verb = match.groups()
    if not _participle(verb):
        return match.group()
    did = _simple_pasts().get(words().irregular.get(verb, verb), verb)
    return f"who {did} {acted}"


def _done_by(match: re.Match[str]) -> str:
    acted, verb, doer = match.groups()
    return f"do {doer} be {verb} {acted}" if _participle(verb) else match.group()


def _made(match: re.Match[str]) -> str:
    return f"who {_MAKERS[match.group(1)]}"


_VOICES: Final = tuple(
    Form((word,), re.compile(pattern), put)
    for word, pattern, put in (
        (" be ", r"^(?:can|could|may) (.+?) be (\w+)\b(.*)", _acted("can i")),
        (" be ", r"^((?:what|which) .+?) (?:can|should|must) be (\w+)\b(.*)", _done),
        (" be ", r"^should (.+?) be (\w+)\b(.*)", _acted("should i")),
        ("how ", r"\bhow (?:can|could|should|must|do) (.+?) (?:be|get) (\w+)\b(.*)", _acted(HOW)),
        ("how ", r"\bhow (?:is|are) (.+?) (\w+(?:ed|n|e|t))\s*(\??)$", _acted(HOW)),
        (" by ", r"^(?:is|are) (.+?) (\w+) by (.+)", _done_by),
        ("by whom", r"^by whom (?:is|are|was|were) (.+?) (\w+)\s*\??$", _by_whom),
        ("by whom", r"^(.+?) (?:is|are|was|were) (\w+) by whom\b", _by_whom),
        (" by", r"^who (?:is|are|was|were) (.+?) (\w+) by\s*\??$", _by_whom),
        ("who ", rf"\bwho (?:is|was|are|were) the ({'|'.join(_MAKERS)})s? of\b", _made),
    )
)


def common_form(text: str) -> str:
    """`text`, in small letters, with what is said in many ways said in one."""
    text = _put(text, CONTRACTIONS)
    text = " ".join(_POLITE.sub(" ", text).split()).lstrip(",.!:; ")
    if len(text) <= MOST_CHARACTERS:
        text = _TOPIC.sub(lambda m: f"{m.group(3)} in {m.group(1) or m.group(2)}", text)
        for forms in (PHRASES, PERMISSION, _VOICES, QUESTIONS):
            text = _put(text, forms)
        text = _IN_CODE.sub(f"{HOW} ", text)
        text = _BARE.sub(f"{HOW} ", text)
    return _WAYS.sub(HOW, text)


def _put(text: str, forms: tuple[Form, ...]) -> str:
    for form in forms:
        for word in form.words:
            if word in text:
                text = form.pattern.sub(form.put, text)
                break
    return text

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
    WISH,
)
from headrace.gateway.cache.frames import ASKED, LIGHT_VERBS, PARTICLES, TOLD
from headrace.gateway.cache.lemmas import past, words
from headrace.gateway.cache.putting import Form, Table

MOST_CHARACTERS = 300
"""Longer texts are no single question, and some of the patterns would take a second for a text that
was written to make them."""

_REQUESTS: Final = (
    "write|draft|compose|summari[sz]e|translate|send|set|play|show|check|add|create|order|book|"
    "schedule|call|remind|transfer|move|find|search|list|read|put|skip|switch|turn|lock|unlock|"
    "delete|remove|cancel|confirm|update|start|stop|spell|recommend|suggest|define|increase|"
    "decrease|fix|correct|look up|place|let|tell|explain|give|help|describe|provide|"
    "inform|assist|clarify|report|notify|calculate|compute|convert|figure out|work out|generate|"
    "rewrite|rephrase|paraphrase|proofread|shorten|simplify|outline|solve|analy[sz]e|debug|"
    "refactor|name|repeat|pull up|bring up|look for|look into|display|locate|reserve|submit|"
    "compare|estimate|identify|extract|format|advise|point"
)
_MADE: Final = (
    "write|draft|compose|summari[sz]e|translate|generate|rewrite|rephrase|paraphrase|proofread"
)
"""Whom one asks to help with these is to do them."""
_ASKS: Final = r"(?=(?:how|what|where|when|why|who|which|if|whether)\b)"
_POLITE: Final = re.compile(
    r"\b(?:please|kindly|(?:(?:can|could|would|will) you|(?:are|would) you (?:be )?able to|"
    r"is it possible for you to|is there any (?:way|chance) (?:that )?you (?:can|could)) "
    r"(?:please |kindly |possibly )*"
    rf"(?=(?:{_REQUESTS})\b)|"
    r"(?:can|could|would|will) you (?:(?:please|kindly) (?=\w)|(?!see|hear|feel|know|remember|"
    r"recognize|understand|believe|love|like|have\b)(?=\w+ (?:\w+ )?(?:my|me|us|our)\b))|"
    r"i(?:'d| would)? (?:want|need|like) (?:for )?you to (?=\w)|"
    r"can i (?:have|get) you (?:to )?(?=\w)|"
    r"i(?:'d| would) like (?:you )?to (?:know|ask|find out|hear|see|learn)(?= (?:how|what|where|"
    r"when|why|who|which|if|whether|about|my|the)\b)|"
    r"i(?: am)? (?:was )?(?:just )?(?:wondering|curious)(?: about)?|"
    rf"i am (?:just )?(?:trying|looking|hoping) to (?:find out|figure out|understand|learn|know) "
    rf"{_ASKS}|"
    r"i (?:want|need|must|have|got) (?:you )?(?:to )?(?:know|hear)|any idea|"
    rf"(?:may|can|could|might) i (?:please )?(?:ask|know|find out) (?:you )?{_ASKS}|"
    r"what i (?:want|need|would like) to know is|"
    rf"(?:my|the|a|quick) question(?: is)?(?=[:,]| {_ASKS})|"
    r"(?<!how )(?<!what )(?<!when )(?<!why )do you (?:know|happen to know|think|have any idea)|"
    rf"i (?:do not (?:know|understand|see)|am not sure|have no (?:idea|clue)) {_ASKS}|"
    rf"i (?:can not|could not) (?:figure out|work out|remember|understand|recall) {_ASKS}|"
    r"(?:can|could|would|does|will) (?:someone|anyone|somebody|anybody) (?:please )?"
    r"(?=(?:tell|explain|show|know|describe)\b)|(?<=anyone )know|"
    r"i wonder(?= (?:how|what|where|when|why|who|which|if)\b)|"
    rf"remind me (?:again )?{_ASKS}|remind me of (?=the\b|my\b)|"
    r"(?:search|google|look up)(?: google| online| the (?:web|internet))?(?: for)? (?=how to\b)|"
    r"tell me(?: more| all| everything)?(?: about)?|let me (?:know|see|hear)|let us(?= \w)|"
    r"if you (?:could|can|would)(?: please)? tell me|if possible|if you do not mind|"
    r"give me|show me(?! the difference)|"
    rf"(?:help|assist) me(?: to| out)?(?=(?: (?:{_MADE}|understand)\b)|\W*$)|"
    r"i (?:need|want|would like) (?:some |more |further )*"
    r"(?:information|info|details) (?:about|on)|"
    r"inform me(?: of| about| on)?|by the way|on average|excuse me|"
    r"good (?:morning|afternoon|evening)(?=[,!.])|"
    r"(?<!have )(?<!good )(?<!bad )(?<!safe )(?<!healthy )for me|"
    r"(?:figure|find) out (?=how many\b|how much\b|what\b|when\b)|"
    r"hi|hello|hey|thanks(?: in advance)?|thank you|at the moment|right now)\b[,:]?",
)
_WISHES: Final = re.compile(
    r"\b(?:(?<=^)(?:need|want|would like|looking|trying|hoping|have got|got) to(?= \w)|"
    r"(?<=^)(?:need|looking for) (?:some )?(?:help|assistance) (?:to|with|in|on)|"
    r"i need (?:to get )?(?:some |a little )?(?:help|assistance|guidance|direction)"
    r"(?: figuring out)? (?:to|with|in|on|how i can|how to)|"
    r"(?:(?:please )?provide |give me )?(?:some )?assistance (?:with|in|on)|"
    r"(?:help|assist) me(?: out)?(?: to| with| in)?(?= \w)|let me (?=\w)|"
    r"(?:(?<=^)|(?<=[.,!?;] ))i (?:just )?(?:(?:want|need|wish|would like|would love|am trying|"
    r"am looking|am planning|plan|intend|am hoping|hope|have|got) to|must|"
    r"am interested in (?=\w+ing\b)))\b"
)
_WAYS: Final = re.compile(
    r"\b(?:how (?:do|can|could|should|would|might|must|shall) (?:i|you|we|one|someone|anyone|"
    r"people|a person)(?: best| actually| possibly)?(?: go about)?|"
    r"how am i (?:supposed|able) to|"
    r"how (?:does|would|can) (?:one|someone|a person)(?: go about)?|"
    r"how (?:i|we|one) (?:can|could|should|would|might|may|must)(?: go about)?|"
    r"how(?: best)? to|how(?=\s+do\s*$)|"
    r"(?:what|which)(?: is| are|s)? (?:the |a |some |an )?"
    r"(?:best |easiest |right |proper |correct |simplest |good |easy |simple |safe |"
    r"(?:most )?effective |efficient |recommended |usual |standard )?"
    r"(?:ways?|steps|methods?|procedure|process|protocol|technique|command|shortcut|syntax|trick|"
    r"secret|key|route(?: to take)?) "
    r"(?:i need to follow |needed |required |involved )?(?:to|for|of|in)|"
    r"(?:is there|are there) (?:a |any |some )?(?:good |specific |easy |simple |quick )?"
    r"(?:ways?|steps|method|trick|command) "
    r"(?:i (?:need to|should|can) take )?(?:to|for|of)|"
    r"what (?:steps|path|actions) (?:should|can|do|must) i (?:need to )?(?:take|follow) to|"
    r"(?:the )?(?:directions|instructions|guidance) (?:on how to|(?:to|on|for)(?= \w+ing\b))|"
    r"(?:walk|talk|guide) me through(?: on)?(?: how to)?|what does it take to|"
    r"(?:show me |teach me )how to|teach me to|"
    r"(?:i (?:want|need|would like) to learn|learn) how to|"
    r"(?:what are )?(?:some )?(?:good )?(?:tips|ideas|advice|suggestions|tricks) (?:to|for|on)"
    r"(?: how to)?|"
    r"(?:a )?(?:step[ -]by[ -]step )?(?:guide|tutorial|instructions) (?:to|for|on)(?: how to)?"
    r"(?= \w+ing\b)|"
    r"ways to|steps (?:to|for)|what (?:more |else )?(?:can|should|must|do) (?:i|you|we|one) "
    r"(?:\w+ly )?(?:have to |need to )?do (?:in order )?to|"
    r"what (?:has|needs) to be done (?:in order )?to|what is (?:involved in|the secret to)|"
    r"(?:the )?best way (?:to|of))\b"
)
_AVERTED: Final = re.compile(rf"(?<={HOW} )avoid(?:ing)? ")
_HALTED: Final = re.compile(rf"(?<={HOW} )(?:stop|quit)(?:ping|ting)? (?!my\b)")
"""What is not to come, or to come to an end, is no denial."""
_OWN: Final = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|yourself)\b")
_ONESELF: Final = {"you": "i", "your": "my", "yours": "mine"}
_ANYBODY: Final = re.compile(r"\b(?:you|your|yours)\b")
"""Who asks how you change your name asks for oneself; who asks how I change your name does not."""
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
    """Puts the active form: of the last three groups, the first is what is acted on, the second the
    participle, the third the rest."""

    def put(match: re.Match[str]) -> str:
        *asked, acted, verb, rest = match.groups()
        begun = " ".join((*asked, start))
        return f"{begun} be {verb} {acted} {rest}" if _participle(verb) else match.group()

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


_MOMENTS: Final = "how (?:long|often|soon|many times|much|far|early|late)|when|where|why"
"""What may be asked of what is done."""
_VOICES: Final = tuple(
    Form((word,), re.compile(pattern), put)
    for word, pattern, put in (
        (" be ", r"^(?:can|could|may) (.+?) be (\w+)\b(.*)", _acted("can i")),
        (" be ", r"^((?:what|which) .+?) (?:can|should|must) be (\w+)\b(.*)", _done),
        (" be ", rf"^({_MOMENTS}) ((?:can|should|could|may)) (.+?) be (\w+)\b(.*)", _acted("i")),
        (
            " be ",
            rf"^({_MOMENTS}) (?:must|(?:does|do) (?=.+ (?:need|have) to be)) ?"
            r"(.+?)(?: (?:need|have) to)? be (\w+)\b(.*)",
            _acted("do i need to"),
        ),
        (
            " be ",
            r"^(?:must|(?:does|do) (?=.+ (?:need|have) to be)) ?"
            r"(.+?)(?: (?:need|have) to)? be (\w+)\b(.*)",
            _acted("do i need to"),
        ),
        (
            " be ",
            r"^((?:my|the|this|these) .+?) (?:needs?|has|have) to be (\w+)\b(.*)",
            _acted("i want to"),
        ),
        (" be ", r"^should (.+?) be (\w+)\b(.*)", _acted("should i")),
        ("how ", r"\bhow (?:can|could|should|must|do) (.+?) (?:be|get) (\w+)\b(.*)", _acted(HOW)),
        (
            "how ",
            r"\bhow (?:is|are) (.+?) (\w+(?:ed|n|e|t))\s*(\??)$(?<!caused)(?<!caused\?)",
            _acted(HOW),
        ),
        (" by ", r"^(?:is|are) (.+?) (\w+) by (.+)", _done_by),
        ("by whom", r"^by whom (?:is|are|was|were) (.+?) (\w+)\s*\??$", _by_whom),
        ("by whom", r"^(.+?) (?:is|are|was|were) (\w+) by whom\b", _by_whom),
        (" by", r"^who (?:is|are|was|were) (.+?) (\w+) by\s*\??$", _by_whom),
        ("who ", rf"\bwho (?:is|was|are|were) the ({'|'.join(_MAKERS)})s? of\b", _made),
    )
)


_CONTRACTIONS: Final = Table(CONTRACTIONS)
FORMS: Final = Table(
    (*TOLD, *LIGHT_VERBS, *PARTICLES, *PHRASES, *PERMISSION, *_VOICES, *ASKED, *QUESTIONS)
)
"""All that is put once courtesies are gone."""


def common_form(text: str) -> str:
    """`text`, in small letters, with what is said in many ways said in one."""
    text = _CONTRACTIONS.put(text)
    text = " ".join(_POLITE.sub(" ", text).split()).lstrip(",.!:; ")
    if len(text) <= MOST_CHARACTERS:
        text = _TOPIC.sub(lambda m: f"{m.group(3)} in {m.group(1) or m.group(2)}", text)
        text = FORMS.put(text)
        text = _IN_CODE.sub(f"{HOW} ", text)
        text = _BARE.sub(f"{HOW} ", text)
    asked, text = text, _WISHES.sub(WISH, _WAYS.sub(HOW, text))
    if HOW in text and not _OWN.search(asked):
        text = _ANYBODY.sub(lambda match: _ONESELF[match.group()], text)
    return _AVERTED.sub("prevent ", _HALTED.sub("halt ", text))

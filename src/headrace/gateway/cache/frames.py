"""Frames in which people ask a help desk, a shop, a bank, a travel desk or a developer's assistant:
more ways of saying one thing, and the one that stands for all.

Tables as in `forms.py`. `TOLD` is put first: statements that say what is asked ("my card was stolen,
how do I report it"). `PARTICLES` are verbs of two words, and light verbs. `ASKED` is put before the
forms that turn on a question's first words.
"""

# ruff: noqa: E501 - a line of a table is a line

from __future__ import annotations

import re
from typing import Final

from headrace.gateway.cache.forms import table
from headrace.gateway.cache.putting import Form

TOLD: Final = table(r"""
yet|already :: (^(?:has|have|is|are|did|does|do)\b.*) (?:yet|already)\s*(?=\??$) -> \1
again :: (^(?:what|who) (?:is|are|was|were)\b.*?),? again\s*(?=\??$) -> \1
if|whether :: ^(?:if|whether) (i|we) (?:might |may |would |will )?(?:be |am |are )?able to\b -> can \1
if|whether :: ^(?:if|whether) (i|we|you|they|he|she|it|(?:the|my|your|this|an?) \w+(?: \w+)?|\w+) (can|could|should|may|must|will|is|are|was|were|has) (?!.*[,.] ) -> \2 \1~
me to :: \b(?:(?:do|would|did) )?you (?:want|need|like|wish|prefer|expect) me to\b -> should i
do you think :: ^(what|when|where|why|how|which|who) do you think (i|we|the|my|it|this) (should|can|could|is|are|will)\b -> \1 \3 \2
next :: (^when (?:should|do|will|would|must|can) i\b.*) next\s*(?=\??$) -> \1
next|another :: (^when (?:do|should|would|will|might) i need) (?:my |an? )?(?:next|another)\b -> \1 a
next|time :: ^when is the (?:next )?time (?:that )?(?=(?:i|we|you) (?:need|should|have)\b) -> when~
required|necessary|needed :: \b(when|why|how often|where) (?:is|would) it (?:be )?(?:required|necessary|needed) (?:for me )?to\b -> \1 do i need to
at what point :: \bat what point\b -> when
called|named :: ^how (is|are) (.+?) (?:called|named)\s*(?=\??$) -> what \1 \2 called
call :: ^(?:what|how) (?:do|does|would) (?:you|we|one|people) call (.+?)\s*(?=\??$) -> what is \1 called
birth :: ^what (?:is|was) (.+?)'s (?:date of birth|birth ?date|birthday)\s*(?=\??$) -> when was \1 born
birth :: ^what (?:is|was) the (?:date of birth|birth ?date|birthday) of (.+?)\s*(?=\??$) -> when was \1 born
birth :: ^when (?:is|was) (.+?)'s (?:birth ?date|birthday)\s*(?=\??$) -> when was \1 born
list :: ^(?:read|show|check|see|view|display|hear)(?: out| back| off)?(?: me)?(?: everything| all(?: the| of the)?(?: things| items)?)?(?: that is)?(?: on)? (my|the) ((?:\w+ )?list)\s*(?=[.?]*$) -> what is on \1 \2
not work|not function :: \b(?:is|are) not (?:working|functioning)\b -> is broken
not :: \b(is|are) ((?:my|the|our|this) (?:\w+ ){1,3}?)not (?:working|functioning)\b -> \1 \2broken
not work|not function :: \b(?:does|do|will) not (?:work|function)(?! (?:for|in|at|with|on)\b) -> is broken
stopped|quit|stops :: \b(?:has |have )?(?:stopped|quit|stops) (?:working|functioning)\b -> is broken
not :: \b(?:is|are) not ((?:my|the|our|this) (?:\w+ ){1,3}?)(?:working|functioning)\b -> is \1broken
not :: \b(?:does|do|will) not ((?:my|the|our|this) (?:\w+ ){1,3}?)(?:work|function)\b(?! (?:for|in|at|with|on)\b) -> is \1broken
can not|could not|unable :: ^i (?:can not|could not|am unable to) (?:find|locate) (my (?:\w+ ){0,2}\w+) -> \1 is lost
lost|misplaced :: ^i (?:have )?(?:lost|misplaced) (my (?:\w+ ){0,2}?\w+)(?=[,.;]|$| and (?:i |need|want)) -> \1 is lost
missing|misplaced :: ^(my (?:\w+ ){0,2}?\w+) (?:is|has gone|went|has been) (?:missing|misplaced)\b -> \1 is lost
lost|stolen|broken|damaged|blocked|frozen|locked|declined|hacked|expired :: ^my (\w+(?: \w+){0,2}?) (?:is|was|has been|got|has|appears to be|seems to be) (lost|stolen|broken|damaged|blocked|frozen|locked|declined|hacked|expired)[,.;]? (?:and |so |but )?((?:how|where|who|can|could|should|i need|i want|i would like|i have)\b.*?) (?:it|this|that|them)\s*(?=\??$) -> \3 my \2 \1
report :: \breport (?:that )?(my|the|an?) ((?:\w+ ){0,2}?\w+) (?:as |is |was |has been |got )?(?:being )?(lost|stolen|missing)\b -> report \1 \3 \2
do :: ^((?:my|the|i|an?|there)\b.{4,80}?)[,.;!]* (?:so |and |now )?what (?:do|should|can|must|shall|could) i do(?: now| next)?\s*\??$ -> HOW handle \1
do :: \bwhat (?:do|should|can|must|could|would|shall) (?:i|you|we|one) do (?:if|when|in case)\b -> HOW handle
to do :: \bwhat to do (?:if|when|in case)\b -> HOW handle
would :: \b(what|when|how|which|where)((?: \w+){0,2}?) would be\b -> \1\2 is
would :: \b(what|when|how much|how long|where) would (the|my|it|this) ((?:\w+ )??)be\b -> \1 is \2 \3
handle :: \bhandle i (?:lose|lost|have lost|misplace|misplaced) (my (?:\w+ ){0,2}?\w+)(?=\s*[?.]*$) -> handle \1 is lost
number of :: \b(increase|raise|grow|boost|reduce|decrease|limit)(?:e?s|ing)? (?:the|my) number of\b -> \1
money :: \bhow much money\b(?! (?:is|was|are)\b) -> how much
have left :: \b(i|we|you) have left\b -> \1 have
email address :: \b(chang|updat|verif|edit|correct|confirm)(\w+ (?:my|the|your) )email address(?:es)? -> \1\2email
savings|checking :: \b(savings|checking) account\b -> \1
need|want|like :: ^i (?:need|want|would like) (?:to (?:get|have) )?((?:my|the|this|these) (?:\w+ ){1,3}?)(\w+ed)(?=\s*(?:$|[?.,])| (?:to|into|in|by|on|for)\b) -> i want to be \2 \1
start|begin :: ^i (want|need|would like) to (.+?),? (?:but )?(?:where|how) (?:do|should|can) i (?:start|begin)\s*\??$ -> i \1 to \2
go about|do that|do it|do this :: ^i (want|need|would like) to (.+?)[,.;] ?(?:and |so |but )?how (?:do|can|should) i (?:do (?:it|that|this|so)|go about (?:it|that|this|doing (?:it|that|this|so)))\s*\??$ -> i \1 to \2
pregnan :: \b(?:while|when|if|for) (?:i am |you are |she is )?(?:being )?pregnant(?: women)?\b -> during pregnancy
pregnant :: \b(can|should|may|could) (?:a )?pregnant (?:women|woman|lady|person|people)\b -> \1 i during pregnancy
pregnant :: \b(foods?|things|drinks?) (?:should|must) pregnant women avoid\b -> \1 should i avoid during pregnancy
harm|hurt|damage :: ^(?:does|do|can) (?:drinking |eating |smoking )?(.+?) (?:harm|hurt|damage) (?:my |your |our |the |people's )?health\s*(?=\??$) -> is \1 bad for health
drinking|eating|consuming :: ^(is|are) (?:drinking|eating|consuming) (?=(?:\w+ ){1,3}(?:bad|good|harmful|healthy|unhealthy|safe|dangerous)\b) -> \1~
food :: \bwhat foods? (?:should|can|could) i eat\b -> what should i eat
to eat|to drink|to buy|to wear|to bring|to pack :: \bwhat (?:is|are) (?:some |the )?(?:good|best|healthy) (?:foods?|things?|stuff) to (eat|drink|buy|wear|bring|pack)\b -> what should i \1
good|best :: \bwhat (?:is|are) (?:some |the )?(?:good|best) (books?|movies?|films?|shows?|games?|places|sights|songs?) to (read|watch|play|visit|see|listen)\b -> what are good \1
should :: \b(?:what|which) (books?|movies?|films?|shows?|games?|places) should i (?:read|watch|play|visit|see)(?= (?:on|about|in|for|to)\b|\s*\??$) -> what are good \1
""")
_DEEDS: Final = {
    "transfer": "transfer",
    "deposit": "deposit",
    "withdrawal": "withdraw",
    "purchase": "purchase",
    "order": "order",
    "request": "request",
    "reservation": "reserve",
    "booking": "book",
    "change": "change",
    "copy": "copy",
    "update": "update",
    "search": "search",
    "backup": "backup",
    "check": "check",
    "claim": "claim",
    "donation": "donate",
    "comparison": "compare",
    "calculation": "calculate",
    "translation": "translate",
    "conversion": "convert",
    "reset": "reset",
    "restart": "restart",
    "upgrade": "upgrade",
}
_DO: Final = (
    r"(?:(?:make|place|submit|put in|perform|carry out|conduct|file|run|making|placing|submitting|"
    r"putting in|performing|filing)(?: an?| the| my| another| some| any)?|"
    r"(?:do|doing) an?)"
)


_OF_DEEDS: Final = (
    "form|number|page|box|list|system|button|sheet|history|status|confirmation|out|in"
)
"""After a deed's noun they make it a thing's: `make an order form`."""


def _deed(match: re.Match[str]) -> str:
    kind, noun = match.group(1), match.group(2)
    return f"{_DEEDS[noun]} {kind or ''}".rstrip()


LIGHT_VERBS: Final = (
    Form(
        tuple(_DEEDS),
        re.compile(
            rf"\b{_DO} ((?:\w+ ){{0,2}}?)({'|'.join(_DEEDS)})s?\b"
            rf"(?! (?:{_OF_DEEDS})\b)(?: (?:of|on)\b|(?<=changes) to\b|(?<=change) to\b)?"
        ),
        _deed,
    ),
)
"""Who makes a request for leave requests it."""
PARTICLES: Final = table(r"""
enabl|activat :: \b(?:enable|activate|enabling|activating)\b -> turn on
disabl|deactivat :: \b(?:disable|deactivate|disabling|deactivating)\b -> turn off
place :: \btak(?:e|es|ing) place\b -> happen
passed away|pass away|passes away :: \bpass(ed|es)? away\b -> die\1
2fa|mfa|factor|step :: \b2fa\b|\bmfa\b|\b(?:two|multi|2)[- ](?:factor(?: authentication)?|step (?:verification|authentication))\b -> twofactor
promo|discount|coupon :: \b(?:promo|promotional|promotion|discount|coupon) codes?\b -> coupon
gift :: \bgift (?:card|certificate|voucher)(s?)\b -> giftcard\1
cell|mobile|smart :: \b(?:cell|mobile|smart)[ -]?phone\b -> phone
mileage|economy|efficiency|consumption|gallon :: \bgas mileage\b|\bfuel (?:economy|efficiency|consumption)\b|\bmiles per gallon\b -> mpg
licen :: \b(?:driver'?s?|driving) licen[cs]e\b -> driverslicense
carry|luggage|bag :: \bcarry[- ]?on(?: (?:bag|luggage|baggage))?s?\b|\bhand luggage\b|\bcabin (?:bag|luggage|baggage)\b -> carryon
credit :: \bcredit (?:score|rating)\b -> credit score
tax return :: \b(?:my |a |an )?(?:income )?tax returns?\b -> taxes
home loan :: \bhome loan\b -> mortgage
direct debit|auto :: \bdirect debit\b|\bauto(?:matic)?[ -]?pay(?:ments?)?\b -> autopay
cash machine :: \bcash machine\b -> atm
intelligence :: \bartificial intelligence\b -> ai
operating system :: \boperating system\b -> os
stomach|tummy|belly|back|tooth|head :: \b(?:stomach|tummy|belly)[ -]?(?:ache|pain)\b -> stomachache
back :: \bback (?:pain|ache)\b -> backache
tooth :: \btooth (?:pain|ache)\b -> toothache
to eat :: \bplaces? to eat\b -> restaurant
status code|error code|http code|response code :: \b(status|error|http|response) code(?=\s*\d|\s*(?:$|[?.,])| mean) -> \1
duplicate :: \bduplicate (?:items|elements|entries|values|rows|records)\b -> duplicates
slow|fast :: \b(?:run|runs|running)(?= (?:so |very |too )?(?:slow|slowly|fast)\b) ->
process :: \bprocess (?:that is |that |which is )?(?:running|listening|runs|listens|uses|using)(?: on)? (?=an?\b|port|the\b) -> process on~
foreign :: \blearn(?:ing)? a foreign language\b -> learn a language
limit|balance :: \bthe (limit|balance) (?:on|of|for) (?:my|the) (credit|debit)(?: card)?(?=\s*\??$) -> my \2 \1
soon|asap :: \bas soon as possible\b|\basap\b ->
up :: \b(?:bring|pull|call)(?:ing)? up (?=(?:my|the|an?)\b) -> show~
off :: \b(?:take|cross|check|strike|get|taking|crossing) ((?:\w+ ){1,3}?)off(?: of)? (my|the) -> remove \1from \2
phone|weekend :: \bover the (phone|weekend)\b -> by \1
away :: \bmak(?:e|ing) ((?:\w+ ){1,3}?)go away\b -> remove \1
away :: \bgo(?:es|ing)? away\b -> disappear
at the same time :: \bat the same time\b -> simultaneously
anymore|any :: (\bnot\b.*) (?:anymore|any more|any longer)\b -> \1
upcoming :: \b(?:next )?upcoming\b -> next
latest :: \blatest (?=paycheck|payment|bill|invoice|order|statement|transaction|purchase|charge|message) -> last~
different|various :: (\b(?:what|which) (?:(?:are|is) (?:the |some |your |my )?)?)(?:different|various) -> \1
still :: ^(do|does|am|is|are|can) (i|we|you|my \w+|the \w+) still\b -> \1 \2
will|would :: \b(?:will|would) (i|we) (?:need|have) to\b -> do \1 need to
will|would :: \b(?:will|would) (i|we) need\b -> do \1 need
up :: \blook(?:ing)? up\b -> find
up :: \b(?:hook|hooking) up\b -> connect
up :: \btop(?:ping)? up\b -> recharge
up :: \b(?:show|showing) up\b -> appear
up :: \bblow(?:ing)? up (?=(?:an? |the |my )?(?:balloon|tire|tyre|mattress|ball|bed)) -> inflate~
up :: \b(sum|end|open|lock|tie|zip|line|team|meet|chop|mix|use|add|grow|cheer|soften|toughen|tighten|loosen|split|cover|paint|patch|polish|book|hurry|sharpen|freshen|brighten|charge|wind|rest|link|pair|connect|gather|count|divide|fold|wrap|rinse|scrub|mop)(s|ing|ed)? up\b -> \1\2
up :: \bcom(?:e|ing) up with\b -> create
off|down :: \b(?:shut|power|switch)(?:ting|ing)? (?:down|off)\b -> turn off
on|up :: \b(?:power|switch|boot)(?:ing)? (?:on|up)\b -> turn on
up :: \bstart(?:ing)? up (?=(?:my|the|an?) (?:computer|pc|laptop|engine|car|machine)\b) -> start~
down :: \b(?:take|taking) down (?=(?:my |the |an? )?(?:post|website|site|page|tree|poster|wallpaper)) -> remove~
off|down|out|back :: \b(wipe|rinse|clean|dry|cool|wash|scrub|read|print|dust|brush|list)(s|ing|d)? (?:off|down|out|back)\b -> \1\2
out|in :: \b(?:fill)(?:ing)? (?:out|in)(?= (?:an?|the|my|this)\b) -> complete
in :: \b(?:hand|turn)(?:ing)? in(?= (?:an?|the|my|this)\b) -> submit
back :: \b(?:give|send|ship|take|bring|mail|giving|sending|shipping|taking|bringing) back\b -> return
back :: \b(?:send|ship|take|bring|mail|give) (an? \w+|the \w+|my \w+|my \w+ \w+|an item|it|something) back\b -> return \1
back :: \bget(?:ting)? (my (?:\w+ )?(?:deposit|data|files?|account|photos?|pictures?|messages?|password|contacts)) back\b -> recover \1
back :: \bget(?:ting)? back (my|the) -> recover \1
out :: \b(?:take|taking|get|getting) out (?=an? (?:\w+ )?(?:loan|mortgage|insurance|policy)) -> get~
after|care :: \b(?:look(?:ing)? after|car(?:e|ing) for|tak(?:e|ing) (?:good )?care of)\b -> maintain
together :: \b(?:put|putting) together\b -> assemble
apart :: \b(?:take|taking) apart\b -> disassemble
over :: \b(?:look|go)(?:ing)? over\b (?=my|the|this) -> review~
on :: \b(?:carry|keep)(?:ing)? on(?= \w+ing\b) -> continue
out of :: \b(?:run|running|ran) out of\b -> lack
make|making :: \bmak(?:e|ing) sure\b -> ensure
better :: \bmak(?:e|ing) ((?:my|the|an?) (?:\w+ ){0,3}?\w+) better\b -> improve \1
faster :: \bmak(?:e|ing) ((?:my|the|an?) (?:\w+ ){0,3}?\w+) (?:run |go |work |load )?(?:faster|quicker)\b -> speed \1
bigger|larger :: \bmak(?:e|ing) ((?:my|the|an?) (?:\w+ ){0,3}?\w+) (?:bigger|larger)\b -> enlarge \1
smaller :: \bmak(?:e|ing) ((?:my|the|an?) (?:\w+ ){0,3}?\w+) smaller\b -> shrink \1
sharp|clean|short|soft|strong|wide|loose|tight|white|bright :: \bmak(?:e|ing) ((?:my|the|an?) (?:\w+ )??\w+) (sharp|clean|shorter|softer|stronger|wider|looser|tighter|whiter|brighter|longer)\b -> \2en \1
decision|call|photo|picture|payment|appointment|reservation|booking|purchase|complaint :: \bmak(?:e|ing) a decision\b -> decide
payment :: \bmak(?:e|ing) (?:an? |my )?(?:\w+ )??payments?\b -> pay
call :: \b(?:make|place|making|placing) a (?:phone )?call to\b -> call
reservation|booking :: \bmak(?:e|ing) an? (?:reservation|booking) (?:for|at)\b -> book
appointment :: \b(?:make|book|set up|get|arrange|making|booking) an appointment\b -> schedule appointment
picture|photo|screenshot :: \b(?:tak|mak|captur|grab)(?:e|ing)? (?=(?:an? )?(?:picture|photo|screenshot)s?\b) -> take~
look at :: \b(?:take|have|taking|having) a look at\b -> view
turning|going|getting :: \b(?:turning|going|getting)(?= (?:brown|black|yellow|green|grey|gray|bad|stale|sour|soggy|mou?ldy|rancid|rusty|bald|blind)\b) -> becoming
turn|go|goes|get :: \b(?:turn|go|turns|goes|get|gets)(?= (?:brown|black|yellow|green|grey|gray|bad|stale|sour|soggy|mou?ldy|rancid|rusty|bald|blind)\b) -> become
be a|be an :: (^how (?:do|can|could) i )be (?=an?\b) -> \1become~
in touch :: \b(?:get|be|getting) in (?:touch|contact) with\b -> contact
work|workplace :: \b(?:at|in) (?:work|the workplace)\b(?=\s*(?:$|[?.,])) -> in workplace
expensive|affordable :: \b(?:least expensive|most affordable|most inexpensive)\b -> cheapest
expensive :: \bless expensive\b -> cheaper
costliest|priciest :: \b(?:costliest|priciest)\b -> most expensive
latest|recent :: \bmost recent\b|\bmy latest\b -> last
currently|presently|nowadays|these days|as of now :: \b(?:currently|presently|nowadays|these days|as of now)\b ->
grammar|spelling :: \b(grammar|spelling) (?:mistakes?|errors?|issues?|problems?)\b -> \1
grammatical :: \bgrammatical (?:mistakes?|errors?)\b -> grammar
claim :: \b(claim) (?:on|under|against|with|through)\b -> \1 of
""")
ASKED: Final = table(r"""
best|right|ideal|good|optimal|perfect :: \b(?:when|what) is (?:the |a )?(?:best|right|ideal|good|optimal|perfect) (?:time|season)(?: of (?:the )?(?:year|day))? (?:for (?:me|us) )?to (?=\w) -> when should i~
use :: ^why (?:do|does|would|should) (?:we|you|people|i|one|they|developers|programmers) (?:need to )?use (.+?)(?=\s*\??$| in \w+\s*\??$) -> what is the purpose of \1
used :: ^why (?:is|are) (.+?) used(?: for)?(?=\s*\??$| in \w+\s*\??$) -> what is the purpose of \1
use :: ^what (?:do|does|can|would) (?:we|you|i|one|people) use (.+?) for\s*(?=\??$) -> what is the purpose of \1
date|day :: \bwhat (is|was) the (?:exact )?(?:date|day) (?:of|for) (?!today|tomorrow) -> when \1~
due date :: \bwhat is the (?:payment )?due date (?:of|for|on) (.+?)\s*(?=\??$) -> when is \1 due
due date :: \bwhen is the due date (?:of|for|on) (.+?)\s*(?=\??$) -> when is \1 due
hours :: ^what (?:are|is) (?:your|the) (?:opening |business |store |working |operating |office |regular )?hours(?: of operation| of business)?(?=\s*\??$| on\b) -> when are you open
hours :: ^what (?:are|is) (?:the )?(?:opening |business |operating |working )?hours (?:of|for|at) ((?:the |your )?[\w ]+?)(?=\s*\??$| on\b) -> when is \1 open
hours|times :: ^what (?:hours|times) (?:are|is) ((?:the |your )?[\w ]+?) open\b -> when is \1 open
hours :: ^what are ((?:the|your) \w+?)(?:'s|s') (?:opening |business )?hours\b -> when is \1 open
take|accept :: \b(?:do|does|will|would|can) (you|they) (?:take|accept) (?=(?:credit|debit|cash|paypal|visa|mastercard|amex|american express|apple pay|google pay|cheque|check|bitcoin|crypto|gift|card|payment)) -> do \1 accept~
pay :: ^can i pay (?:with|by|via|using|in|through) (?:an? |my )?(.+) -> do you accept \1
accepted|supported|offered :: ^(?:what|which) (.+?) (?:are|is) (accept|support|offer)ed(?=\s*\??$| (?:by you|here)) -> what \1 do you \2
support :: \b((?:what|which) payment methods do you) (?:support|take|offer|have)\b -> \1 accept
accepted :: ^(?:is|are) (.+?) accepted\s*(?=\??$) -> do you accept \1
offer|provide :: \b(do|does) (you|your \w+|the \w+) (?:offer|provide)\b -> \1 \2 have
available|offered|provided :: ^(?:is|are) (?!you\b|there\b)(.+?) (?:available|offered|provided)\b -> do you have \1
available :: ^(?:is|are) there (?:an? |any )?(.+?) available\b -> do you have \1
abroad|overseas|countries|outside :: \b(ship|deliver) (?:abroad|overseas|to other countries|outside (?:of )?(?:the )?(?:us|usa|country))\b -> \1 internationally
shipping|delivery :: \bdo you have international (?:shipping|delivery)\b -> do you ship internationally
 you :: ^(?:can|could|will) you (?=(?:ship|deliver|accept|serve|cater|sell)\b) -> do you~
allowed|permitted|welcome :: ^(?:is|are) (?:my )?(dogs?|pets?|cats?|children|kids|animals) (?:allowed|permitted|welcome) (?:in|at|on|inside) -> can i bring \1 in
allow|permit|accept|take :: ^(?:does|do) ((?:the |your |this )?\w+) (?:allow|permit|accept|take) (dogs?|pets?|cats?|children|kids|animals)\s*(?=\??$) -> can i bring \2 in \1
friendly :: ^(?:is|are) ((?:the |your |this )?\w+) pet[ -]friendly\s*(?=\??$) -> can i bring pets in \1
dog|pet|cat|kids|children :: \bcan i (?:bring|take|have) (?:my |an? )?(dogs?|pets?|cats?|children|kids) (?:in|to|into|inside|at|on)\b -> can i bring \1 in
can you :: ^can you (?=(?:freeze|refreeze|reheat|microwave|eat|drink|bake|boil|grill|fry|roast|wash|paint|park|swim|drive|mix|recycle|compost|smoke|get)\b) -> can i~
spelling|pronunciation :: \bwhat is the (?:correct |right |proper )?(?:(spelling)|pronunciation) (?:of|for) -> HOW \1spell~
word|translation|phrase|term :: ^what is (?:the )?(\w+) (?:word|translation|phrase|term) (?:for|of) (.+?)\s*(?=\??$) -> translate \2 to \1
translation :: ^what is the translation of (.+?) (?:in|into|to) (\w+)\s*(?=\??$) -> translate \1 to \2
say|said :: ^how (?:is|do you say|would you say|do i say|would i say|can i say) (.+?) (?:said )?in (spanish|french|german|italian|portuguese|japanese|chinese|korean|russian|arabic|dutch|swedish|latin|greek|hindi|turkish|polish|finnish)\s*(?=\??$) -> translate \1 to \2
location|whereabouts :: \bwhat is the (?:exact )?(?:location|whereabouts) of\b -> where is
located|situated|found|kept|stored :: (^where (?:is|are) .+?) (?:located|situated|found|kept|stored)\s*(?=\??$) -> \1
location|place|part :: ^(?:in |at )?(?:what|which) (?:location|place|part of the world) (?=(?:is|are|was|were|do|does|did|can)\b) -> where~
where :: ^where (?:can|could|do|would|should|might) i (?:go )?(?:to )?(?:(?:look for|access|view)\b|(?:get|obtain) (?=my\b|(?:an?|the|some) (?:\w+ ){0,2}?(?:forms?|copy|receipts?|invoices?|statements?|bills?|certificates?|transcripts?|w2)\b)) -> where is~
where :: ^where (can|could|do|would|should|might) i get (?!\w+ed\b) -> where \1 i acquire~
form|receipt|invoice|statement|bill|contract|payslip|paystub|certificate|transcript|w2 :: ^how (?:do|can|could|would) i (?:get|obtain|find|see|view|access|locate) (?:a copy of |copies of )?((?:my|an?|the) (?:\w+ ){0,2}?(?:forms?|receipts?|invoices?|statements?|bills?|contract|payslips?|paystubs?|certificates?|transcripts?|w2)\b) -> where is \1
suggest|recommend :: \bwhat (?:do|would|can) you (?:suggest|recommend)(?: for)?(?= \w) -> what are good
recommend|suggest :: ^(?:any|i (?:need|want|would like) (?:an? |some |any )?|do you have (?:any |some )?|are there any )(?:good )?(?:recommend|suggest)(?:ation|ion)s? (?:for|on|about) (?:an? |some )?(?:good )? -> what are good~
looking|searching|after :: ^i am (?:looking for|searching for|after) (?:an? |some )?good\b -> what are good
best :: \b(?:what|which) (?:is|are) (?:the |some of the )?best (?=(?:\w+ )??(?:books?|movies?|films?|games?|restaurants?|hotels?|cafes?|bars?|beaches|museums?|podcasts?|courses?|websites?|resources?|tutorials?|recipes?|places|gifts?|songs?)\b) -> what are good~
good :: ^what is a good (?=(?:\w+ )??(?:book|movie|film|game|restaurant|hotel|podcast|course|website|resource|tutorial|recipe|gift|song)\b) -> what are good~
required|needed|necessary|need :: \bwhat (?:is|are) (?:required|needed|necessary) (?:in order )?to\b -> what do i need to
need :: \bwhat (?:will|would|do|does|should) (?:i|you|we|one) need (?:in order )?to (?!do\b|know\b) -> what do i need to~
requirements :: \bwhat are the requirements (?:in order )?(?:to|for (?=\w+ing\b)) -> what do i need to~
requirements :: \bwhat are the requirements (?:for|of) -> what do i need for~
supposed :: \b(?:am|are|is) (i|you|we) supposed to\b -> do \1 need to
need :: \bis there (?:a|any) need (?:for me )?to\b -> do i need to
must :: ^must (i|we|you)\b -> do \1 need to
legal|illegal|lawful :: \bis it (legal|illegal|lawful) (?:for ((?:my |the |an? )?\w+) )?to\b -> can \2 \1
recommend|advise|suggest :: ^would you (?:recommend|advise|suggest) (?=\w+ing\b) -> should i~
expect|get|receive :: \bwhen (?:can|should|could|do|will) i (?:expect|get|receive) (my (?:\w+ )??(?:order|package|parcel|delivery|item|refund|paycheck|card))(?: to (?:arrive|come|be delivered))?\s*(?=\??$) -> when will \1 arrive
contact|call|talk|speak|ask|see|reach :: ^who (?:do|can|should|must|would) i (?:contact|call|talk to|speak to|speak with|talk with|reach out to|get in touch with)(?: (?:about|for|regarding|to|if|with))? -> who is responsible for
cause|led|brought|triggered :: ^what (?:caused|led to|brought about|triggered)\b -> why was
cause|reason :: \bwhat (was|were) the (?:main )?(?:causes?|reasons?) (?:of|for|behind)\b -> why \1
caused :: ^how (?:is|are) (.+?) caused\s*(?=\??$) -> why \1
if|whether :: ^how (?:do|can|could|would|should) (?:i|you|one|we) (?:know|tell|check|determine|verify|see|find out|test) (?:if|whether) -> HOW check if~
signs :: \bwhat are (?:the |some )?signs (?:that|of) (?=i\b|my\b|you\b|your\b) -> HOW check if~
vs|versus :: ^(?:what is (?:the )?)?((?:\w+ ){1,3}?)(?:vs\.?|versus) ((?:\w+ ?){1,3})\s*\??$ -> what is the difference between \1and \2
separates|sets :: ^what (?:separates|sets) (.+?) (?:apart )?from\b -> what is the difference between \1 and
different :: ^what (?:is|makes) (?:so )?(.+?) different (?:from|to|than)\b -> what is the difference between \1 and
different :: ^what is (?:so )?different (?:between|about) (.+?) (?:and|from|compared to)\b -> what is the difference between \1 and
differs|differentiates :: ^what (?:differentiates|is distinct about) (.+?) from\b -> what is the difference between \1 and
held|place|happen|occur|celebrated :: ^(when|where) (?:is|are|does|do) (.+?) (?:held|celebrated|happen|occur|happening|taking place)\s*(?=\??$) -> \1 is \2
cause|produce :: ^(?:what|which) ([\w ]+?) (?:can|may|might|could|does|do) ([\w ]+?) (?:cause|produce)\s*(?=\??$) -> what is \1 of \2
work|function|operate :: ^(how (?:do|does) .+?) (?:function|operate)\s*(?=\??$) -> \1 work
old :: ^how many years old (is|was|are) -> how old \1~
account :: \b(?:cancel|clos|terminat)(?:l?ing|e)? ((?:my|the|an?) (?:\w+ )?account)\b -> delete \1
date|time :: ^what (is|was) the (release|launch|publication|start|end|expiry|expiration|closing|opening|departure|arrival|delivery) (?:date|time) (?:of|for) (.+?)\s*(?=\??$) -> when \1 \3 \2
help|good|works|take|remed|cure|treatment :: ^what (?:helps?|is good|works|can help|would help|(?:should|can|could) i take|(?:is|are) (?:the |some |an? )?(?:best |good )?(?:cures?|remed(?:y|ies)|treatments?))(?: best| to help)? (?:with|for|against) (?=an? |my |the |\w+\s*\??$) -> HOW treat~
lifespan|life span|expectancy|lifetime :: ^what is the (?:average |typical |usual )?(?:lifespan|life span|life expectancy|lifetime) of (.+?)\s*(?=\??$) -> how long does \1 live
time|period :: ^what is the (?:average |typical |usual )?(\w{2,}ing) (?:time|period) (?:of|for) (.+?)\s*(?=\??$) -> how long it take to \1 \2
time :: ^what is the (?:average |typical |usual )?(\w{2,}ing) (?:time|period)\s*(?=\??$) -> how long it take \1
how long :: ^how long (?:do|does|should|must|would|will) (?:i|you|we|one) (?:need to |have to )?(?=(?:cook|bake|boil|roast|fry|grill|steam|simmer|microwave|soak|marinate|charge|defrost|thaw)\b) -> how long it take to~
need|want|like :: ^i (?:need|want|would like) (?:to (?:get|have|order|request|buy|purchase) )?(?=an? |some |my )(?!.*\b(?:to|that|which|help)\b) -> i want to get~
ways :: \bin (?:what|which) ways (?=(?:do|does|is|are|can)\b) -> how~
take :: ^how many (minutes|hours|days|weeks|months|years) (do|does|will|would) (.+?) take\b -> how long \2 it take \3 in \1
last :: ^how many (minutes|hours|days|weeks|months|years) (do|does|will|would|did) (.+?) last\b -> how long \2 \3 endure in \1
how long :: ^how long (?:is|are|will|does|do|can) (.+?) (?:be |stay |remain |keep )?(?:good|fresh|safe|ok|edible)(?: for| to eat)?(?= in | at | on |\s*\??$) -> how long can i keep \1
last|endure|keep|stay :: ^how long (?:does|do|will|can|would) (?!i\b|you\b|we\b)(.+?) (?:last|endure|keep|stay|stay good|be good)(?= in the (?:fridge|refrigerator|freezer|pantry|cupboard)\b| at room temperature\b| outside\b| unrefrigerated\b) -> how long can i keep \1
how long :: ^how long (?:can|should|may|could) i (?:store|keep|leave|save)\b -> how long can i keep
source :: ^what (?:are|is) (?:some |the |an? )?(?:good|best|great|rich|excellent) sources? of (iron|protein|calcium|fiber|fibre|zinc|magnesium|potassium|vitamin \w+|omega \w+|iodine|fat|carbs|carbohydrates) -> what foods are rich in \1
speak|spoken|used :: \blanguages? (?:is|are|do|does) (?:people |they |the people )?(?:spoken|speak|spoken by people) (?:in|of)\b -> is the languages of
use :: ^(?:what|which) (currency|money) (?:does|do|is|are) (.+?) use\s*(?=\??$) -> what is the currency of \2
use :: ^(?:what|which) (currency|money) (?:is|are|do|does) (?:used|they use|people use) (?:in|by) -> what is the currency of~
age :: \b(?:legal |minimum )*(driving|drinking|voting|smoking) age\b -> minimum age to \1
which way :: ^which way (?:is|to) -> HOW get to~
high|big|much|large :: ^how (?:high|big|large|much) is (my (?:\w+ )??(?:limit|balance|rate|score|apr|allowance|deductible))\b -> what is \1
check|show|view|display|see|pull|bring|tell|get|find :: ^(?:check|show|view|display|see|pull up|bring up|get|find|tell) (?:on )?((?:my|the|today's|the current) (?:\w+ ){0,2}?(?:balance|status|score|limit|rate|rates|apr|points|schedule|calendar|weather|forecast|price|total|mileage|income|reminders|spending|meetings|appointments|agenda|due date|interest|expiration date))\b -> what is \1
command :: ^(?:what|which) command (?=(?:list|show|display)s?\b) -> HOW~
""")

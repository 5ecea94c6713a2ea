"""Ways of saying one thing, and the one that stands for all.

Each line is `words :: pattern -> what stands for it`: one of the words is in each text that has the
pattern, and a look for it is cheaper; `~` is a space. What both sides of a line ask is the same wherever they
stand; what merely tends to be is left to the score. In the order in which they are put.
"""

# ruff: noqa: E501 - a line of a table is a line

from __future__ import annotations

import re
from typing import Final

from headrace.gateway.cache.putting import Form

HOW: Final = "howto"
"""Stands for each way to ask how something is done."""
WISH: Final = "wishto"
"""Stands for `I want to`: half a request to do it, half the question how it is done."""
ALRIGHT: Final = "alright"
"""Stands for `is it ok to`: half `can I`, half `should I`."""


def table(lines: str) -> tuple[Form, ...]:
    """The forms of such lines."""
    found = []
    for line in lines.strip().splitlines():
        words, _, rest = line.partition("::")
        pattern, _, put = rest.partition("->")
        put = (
            put.strip()
            .replace("~", " ")
            .replace("HOW", HOW)
            .replace("WISH", WISH)
            .replace("ALRIGHT", ALRIGHT)
        )
        found.append(Form(tuple(words.strip().split("|")), re.compile(pattern.strip()), put))
    return tuple(found)


CONTRACTIONS: Final = table(r"""
'd|id :: \b(i|we|you|they)'?d (?=like|love|prefer|rather)\b -> \1 would~
let's :: \blet's\b -> let us
im :: \bim (?=\w+ing\b|not\b|sure\b) -> i am~
dont|doesnt|didnt|isnt|arent|wasnt|werent|couldnt|wouldnt|shouldnt|hasnt|havent :: \b(do|does|did|is|are|was|were|could|would|should|has|have|had)nt\b -> \1 not
cant :: \bcant\b -> can not
wont :: \bwont\b -> will not
can :: \bcan't\b|\bcannot\b -> can not
won't :: \bwon't\b -> will not
't :: n't\b -> ~not
're :: 're\b -> ~are
'll :: 'll\b -> ~will
've :: 've\b -> ~have
'm :: 'm\b -> ~am
's :: \b(what|who|where|when|how|why|which|it|that|there|here)'s\b -> \1 is
whats|hows|whos|wheres|whens :: \b(what|how|who|where|when)s\b -> \1 is
wanna :: \bwanna\b -> want to
gotta :: \bgotta\b -> need to
""")
PHRASES: Final = table(r"""
why :: \bwhy will not\b -> why do not
few|couple :: \ba (?:few|couple of)\b -> some
what are all :: \bwhat are all (?:of )?(?:the )?\b -> what are the~
more :: ^(?:more|all|everything) about\b -> about
off|down|up :: \b(?:call(?:ing)? off)\b -> cancel
off :: \bput(?:ting)? off\b -> postpone
off|back|down :: \bpay(?:ing)? (?:off|back|down)\b -> repay
down|back :: \bcut(?:ting)? (?:down|back) on\b -> reduce
out|away :: \bthrow(?:ing)? (?:out|away)\b -> discard
up :: \bback(?:ing)? up (?=my|the|an?\b) -> backup~
up :: \b(?:go|going|goes) up\b -> rise
down :: \b(?:go|going|goes) down\b -> fall
up :: \bpick(?:ing)? up\b -> collect
up|down :: \b(wake|fill|cool)(s|ing|d)? (?:up|down)\b -> \1\2
out :: \b(dry|carry)(s|ing|ies)? out\b -> \1\2
time :: \bhow much time\b -> how long
high|large :: \bhow (?:(high)|large)\b(?= (?:is|are|was|were)) -> how big
big :: (\bhow )big( (?:is|are|was|were) .*(?:mountain|mount|hill|building|tower|peak)) -> \1tall\2
size :: \bwhat (is|are|was) the size of\b -> how big \1
duration :: \bwhat (is|was) the duration of\b -> how long \1
expensive :: \bhow expensive (?:is|are|would) (?:it (?:be )?to )?\b -> how much does cost~
pay :: \bhow much (?:do|does|would|will|must|should) (?:i|you|one|we) (?:have to |need to )?pay (?:for|to)\b -> how much does cost
day|month :: \b(?:on |in )?(?:what|which) (?:day|month) (?=(?:is|are|do|does|did|was|will|can|should)\b(?! (?:it|today)\b)) -> when~
it :: \bwho (?:is|was) it (?:that|who)\b -> who
true :: ^is it true that ([\w ]+?) (is|are|can|will|has|have)\b -> \2 \1
here|me|area|close by :: \b(?:around|near) (?:here|me)\b|\bclose (?:by|to me)\b|\bin my area\b -> nearby
more :: \b(?:get|gain|have)(?:t?ing)? more (?=\w+ (?:on|from|in|for)\b) -> increase~
less :: \bspend(?:ing)? less (?:money )?on\b -> save money on
not to :: \b(?:teach|train)(?:ing)? ((?:my|the|an?) \w+) not to (\w+) -> prevent \1 \2
make sure :: \bmake sure (?:that )?(.+?) (?:does|do) not (\w+) -> prevent \1 \2
lost|stolen :: \b(my (?:\w+ ){0,2}\w+) (?:was|has been|got) (lost|stolen)\b -> \1 is \2
looks|seems|appears :: \b(?:looks|seems|appears) to be\b -> is
why :: ^(.+?),? (?:and|but) why(?: that (?:is|(?:could|might|would) be))?\s*[.?]*$ -> why \1
how :: ^i (want|need|would like|am trying) to (.+?),?(?: (?:and|but))?(?: i)?(?: do not know| have no idea| am not sure)? how(?: to(?: do (?:it|that|so|this))?)?\s*[.?]*$ -> i \1 to \2
's :: \b(today|tomorrow|tonight|yesterday)'s (\w+) -> \2 \1
today|tomorrow|tonight :: \bfor (today|tomorrow|tonight)\b -> \1
able :: \b(?:will|would|should) (i|we|they) be able to\b -> can \1
long :: \bfor how long\b -> how long
long :: (\bhow long (?:does|do|will|can) .*)\blast\b -> \1endure
take :: \bhow long (does|do|will|would) (?!it\b|i\b|you\b)((?:\w+ ){1,4})take(?=\s*(?:$|[?.,])) -> how long \1 it take \2
far :: \bhow far away (is|are)\b -> how far \1
distant :: \bhow distant\b -> how far
warrant|contract|guarantee|insurance|policy|law :: \bunder (?=(?:the |my |our |your )?(?:warranty|contract|guarantee|insurance|policy|law)\b) -> by~
break :: \bbreak(?:ing)?[ -]up\b -> breakup
out :: \b(help|print|try|test|cash|fill|write)(s|ing|ed)? out\b -> \1\2
down|up :: \b(slow|calm|write|jot|note)(s|ing|ed)? down\b -> \1\2
up :: \b(build|clean|heat|warm|speed|save|fix|write|type|tidy|wash)(s|ing|ed)? up\b -> \1\2
protect :: \b(?:(?:provide|offer|give)s? )?protect(?:ion|s)? (?:against|from)\b -> prevent
deal|cop :: \b(?:deal|cop)(?:e|ing)? with\b -> handle
all|every :: \b(list|show|see|display|view)s? (?:all|every)(?: of)?(?: the)?\b -> \1
side :: \bdouble[ -]sided\b|\bon both sides(?: of (?:the |a )?(?:paper|page|sheet))?(?=\s*\??$) -> doublesided
payment|paying|pay :: \b(?:forms?|methods?|types?|means|ways) of (?:payment|paying)\b|\bpayment (?:options?|types?)\b|\bways (?:i can |can i )?to pay\b -> payment methods
want|need|like :: ^i (?:want|need|would like) to (?:get|have) (?=an?\b|some\b) -> i need~
out :: \b(?:figure|find) out (?=(?:how|what|where|when|why|who|which)\b) ->
money :: \b(?:get |have )?(?:my|our|your|the|a) money back\b -> refund
much :: \bhow much (?:money )?(?:is (?:there )?in|do i have (?:left )?in|is left in) (my .*?account)\b -> what is the balance of \1
way :: \bin (?:what|which) way\b -> how
using :: \bwithout using\b -> without
get :: \bget(?:ting)? rid of\b -> remove
get :: \bget(?:ting)? (\w+(?: \w+){0,3}) out(?: of\b)? -> remove \1 from
get :: \bget(?:ting)? (my|a|an|the|your) ([\w' ]+?) (\w+ed)\b -> be \3 \1 \2
get :: \bget(?:ting)? ready\b -> prepare
touch :: \bget(?:ting)? in touch with\b -> contact
give :: \b(?:give|giving) up (?=\w+ing\b) -> stop~
quit :: \bquit(?:ting)? (?=\w+ing\b) -> stop~
from :: \b(?:keep|prevent|stop)(?= (?:\w+ ){1,4}from \w+ing\b) -> prevent
from :: (?<=\w )from (?=\w+ing\b) ->
stop :: \bstop (my|the|a) (\w+) (?=\w+ing\b) -> prevent \1 \2~
look :: \b(this|that|it) looks? like\b -> \1
up :: \b(?:pump|turn) up\b -> boost
turn|switch :: \b(turn|switch) ((?:the|my|a|all) [\w ]+?) (on|off)(?=\s*$|[?.,]) -> \1 \3 \2
out :: \b(?:figure|find) out\b -> discover
look :: \blook(?:ing)? for\b -> find
up :: \b(?:set|setting) (?:((?:my|the|an?) [\w ]+?) )?up\b -> setup \1
up :: \bsign(?:ing)? up\b -> signup
over :: \broll(?:ing)? over\b -> rollover
up :: \bfree(?:ing)? up\b -> free
up :: \bput(?:ting)? up (?=(?:an? |the |my )?(?:picture|poster|painting|mirror|shel)) -> hang~
in :: \b(?:log|sign)(?:ging|ing)? in(?:to)?\b -> signin
log|sign :: \b(?:log|sign)(?:ging|ing)? (?:out|off)\b -> signout
off :: \b(?:time|days?) off\b -> leave
out :: \bwork(?:ing)? out (?=(?:the|my|how)\b) -> calculate~
out :: \bwork(?:ing)? out\b(?=\s*(?:$|[?.,])) -> workout
over :: \bget(?:ting)? over\b -> recover from
move on :: \bmov(?:e|ing) on (?:from|after)\b -> recover from
space|storage|room :: \b(?:free|clear|make)(?:ing)?(?: up)? (?:more |some )?(space|storage|room)\b -> free space
new :: \bstart(?:ing)? a new\b -> create a
new :: \b(creat(?:e|ing)|mak(?:e|ing)|open(?:ing)?|learn(?:ing)?|add(?:ing)?|register(?:ing)?|writ(?:e|ing)|build(?:ing)?|appl(?:y|ying) for|insert(?:ing)?|generat(?:e|ing)|defin(?:e|ing)|declar(?:e|ing)) a new\b -> \1 a
account :: \bclos(?:e|ing) ((?:my|the|an?) (?:\w+ )?account)\b -> delete \1
complaint :: \b(?:file|make|submit|lodge|raise)(?:ing)? a complaint\b|\bfiling a complaint\b -> file a complaint
summary :: \b(?:write|make|create|provide) (?:me )?a summary\b -> a summary
i need|i want|i would like :: ^i (?:need|want|would like) an? (email|letter|poem|essay|story)\b -> write a \1
i have :: ^i have (lost|forgotten|found|\w+ed)\b -> i \1
say :: ^how (?:do|can|would|should) (?:you|i) say (.+?) in (\w+)\b -> translate \1 to \2
happen :: \bwhat (?:happens|will happen|would happen) (?:if|when)\b -> what happens if
consequences :: \bwhat are the consequences of\b -> what happens if i
deadline :: \b(?:when|what) is the deadline (?:for|to)\b -> when do i need to
by when :: \bby when\b -> when
nearest|closest :: ^what is the (nearest|closest)\b -> where is the \1
down :: \bcome down\b -> fall
down :: \bbring(?:ing)? down\b -> reduce
request :: \b(?:put|hand|send)(?:ting|ing)? in (?:an? )?(?=\w*request) ->
request|claim :: \b(?:mak|submit|plac|fil)(?:e|t?ing)? an? (\w+ )?(request|claim)\b -> \1\2
recent :: \bmost recent\b -> last
charge :: \bin charge of\b -> responsible for
responsibility :: \bhas responsibility for\b -> is responsible for
responsibility :: \bwhose responsibility is\b -> who is responsible for
plenty|lot :: \b(?:contains?|ha(?:s|ve)) (?:a lot|lots|plenty) of\b -> are rich in
visa :: \bvisa ((?:required |needed |necessary )?)(?:to|for) (?:travel(?:l?ing)? to|visit(?:ing)?|go(?:ing)? to|enter(?:ing)?)\b -> visa \1for
support|service|care :: \bcustomer (?:support|service|care)\b|\bsupport team\b -> support
account :: \b(?:on|in|for) my account\s*(?=\??$) ->
connection :: \binternet connection\b -> internet
windows|mac :: \b(windows|mac) (?:computer|pc|machine)\b -> \1
away :: \bright away\b -> immediately
health :: \b(?:your|my|the|our|one's) health\b -> health
bad|good|harmful :: \b(bad|good|harmful|healthy) for (?:you|me|us)\b -> \1 for health
unhealthy|harmful :: \bunhealthy\b|\bharmful (?:to|for) health\b -> bad for health
healthy :: (^(?:is|are) .*)\bhealthy(?=\s*\??$) -> \1good for health
air :: \bair condition(?:er|ing)\b -> airconditioner
a/c :: \ba/c(?: unit)?\b -> airconditioner
u.s|states :: \bunited states of america\b|\bunited states\b|\bu\.s\.a\.|\bu\.s\. -> usa
u.k|kingdom|britain :: \bunited kingdom\b|\bgreat britain\b|\bu\.k\. -> uk
york|nyc :: \bnew york city\b|\bnyc\b -> new york
e-mail :: \be-mail\b -> email
wi-fi :: \bwi-fi\b -> wifi
w-2 :: \bw-2\b -> w2
lot :: \ba lot of\b|\blots of\b -> many
different|various|several :: \b(?:different|various|several) (?=(?:kind|type|sort|way)s?\b) ->
kind|type|sort :: \b(?:kinds?|types?|sorts?) of\b -> kind
able :: \bbe able to\b ->
order :: \bin order to\b -> to
possible :: \bas (\w+) as possible\b -> \1
still :: (\bhow (?:many|much) .*)\bstill have\b -> \1have
left|remaining|available :: (\bhow (?:many|much) .*\bhave) (?:left(?: over)?|remaining|available)\b -> \1
now :: \bnow\s*(?=\??$) ->
each|every|per :: \b(?:per|each|every) (day|week|month|year|hour)\b -> \1ly
much :: (\bhow much\b.*) a (day|week|month|year|hour)\b -> \1 \2ly
dayly :: \bdayly\b -> daily
have :: \b(do|does) (\w+) have to\b -> \1 \2 need to
""")
PERMISSION: Final = table(r"""
is it :: \bis it (?:ok|okay|fine|alright|acceptable) for (.+?) to\b -> can \1
safe :: \bis it safe to (eat|drink|consume|freeze|refreeze|reheat|microwave|mix)\b -> can i \1
safe :: \bis it safe to take (?=.*\bwith\b) -> can i take~
safe :: ^(?:is|are) (.+?) safe to (eat|drink|consume|freeze|refreeze|reheat|microwave|mix)\b -> can i \2 \1
is it :: \bis it safe for (.+?) to\b -> can \1 safe
is it :: \bis it safe to\b -> can i safe
safe :: ^(?:is|are) (.+?) safe to (\w+)\b -> can i safe \2 \1
safely :: ^can (.+?) safely\b -> can \1 safe
is it :: \bis it (?:ok|okay|fine|alright|acceptable) to\b -> ALRIGHT i
is it :: \bis it (?:advisable|appropriate|recommended|wise|smart|a good idea) to\b -> should i
is it worth :: \bis it worth(?:while)?(?: it)?(?: to)?\b(?= \w) -> should i
is it :: \bis it (?:necessary|required|mandatory|obligatory|compulsory) (?:for (?:me|you|us) )?to\b -> do i need to
am i :: \bam i (?:required|obliged|obligated) to\b -> do i need to
possible :: \bis it possible for (.+?) to\b -> can \1
possible :: \bis it possible to\b -> can i
able :: \bam i able to\b -> can i
may :: \bmay i\b -> can i
allowed|permitted :: \b(?:am|is|are) (.+?) (?:allowed|permitted) to\b -> can \1
right to :: ^(?:does|do) (.+?) have the right to\b -> can \1
require|need|necess :: ^(?:is|are) (?:an? )?(.+?) (?:required|needed|necessary|mandatory)\b(?: in order)? -> do i need \1
require :: \bdo i require\b -> do i need
need|require|necess :: \b(?:is|are) (?:required|needed|necessary)\b -> i need
""")
_WHY = (
    r"(?:what(?: is| are| was| (?:could|can|might|would) be)?|is there) (?:the |a )?(?:main )?(?:reasons?|causes?)"
    r"(?: (?:for|of|that|why|behind))?|"
    r"(?:what|which) (?:would |could |can |might )?(?:be |is |are )?(?:caus(?:es?|ing)|making)|"
    r"how come|for what reason|why is it that"
)
QUESTIONS: Final = (
    Form(
        ("reason", "cause", "causing", "making", "come", "why"),
        re.compile(rf"\b(?:{_WHY})\b"),
        "why",
    ),
    *table(r"""
makes :: \bwhat makes(?= \w) -> why
caused :: ^how (?:is|are|was|were) (.+?) caused\b -> why \1
directions :: ^directions (?:to|for) -> HOW get to
recipe :: ^(?:what is )?(?:an? |the |good |simple |easy |best )*((?:\w+ ){1,2})recipe\s*\??$ -> HOW make \1
removes|prevents|relieves|cures|keeps|cleans :: ^what (?:best )?(remove|prevent|relieve|cure|keep|clean)s\b -> HOW \1
city|town|place :: ^(?:in |at )?(?:what|which) (?:city|town|place) (?=(?:was|were|do|does|did|can)\b) -> where~
list :: ^list (?:all )?(?=the .+ (?:of|for)\b) -> what is~
first|last :: ^who (?:is|was) the (first|last) (?:person|man|woman|human|one) (?:to|who|that)\b -> who did \1
first|last :: ^who (first|last) (?=\w+ed\b) -> who did \1~
caused :: ^what (?:is|are|was|were) (.+?) caused by\b -> why \1
time :: \b(?:at )?what time\b -> when
year :: \b(?:in )?(?:what|which) year\b -> when
date :: \b(?:on |by )?(?:what|which) date\b(?! is) -> when
's :: ^what (is|was) (.+?)'s (height|length|depth|age|weight)\b -> what \1 the \3 of \2
height :: \bwhat (is|was|are) the height of\b -> how tall \1
height :: ^what height (is|was|are)\b -> how tall \1
depth :: \bwhat (is|was) the depth of\b -> how deep \1
speed :: \bwhat (is|was) the speed of\b -> how fast \1
age :: \bwhat (is|was) the age of\b -> how old \1
age :: ^what age (is|are|was)\b -> how old \1
length :: \bwhat (is|was) the length of\b(?! time) -> how long \1
weight :: \bwhat (is|was) the weight of\b -> how heavy \1
old :: \bhow old (?:do|must|should) (?:you|i|one|people) (?:have to |need to )?be to\b -> what is the minimum age to
age :: \b(?:at|from) what age can (?:you|i|one|people)\b -> what is the minimum age to
temperature :: \b(?:at )?what temperature (?:does|do) (.+?) (boil|melt|freeze)(?: at)?\b -> what is the \2ing point of \1
distance :: \bwhat is the distance (?:between|from) (.+?) (?:and|to)\b -> how far \1 and
how far :: \bhow far (?:is|are) (?:it )?(?:away )?(?:from )?(.+?) (?:away )?(?:from|to)\b -> how far \1 and
live :: \bhow many people live in\b -> what is the population of
number :: \bwhat is the (?:total )?number of\b -> how many
amount|quantity :: \bwhat (?:is the )?(?:amount|quantity) of\b -> how much
content :: \bwhat is the (\w+) content of\b -> how much \1 is in
frequently :: \bhow frequently\b -> how often
many :: \bhow many ((?!.*\b(?:i|we|you|he|she|they)\b).+?) (?:does|do) (.+?) have\b -> how many \1 in \2
name :: \bwhat is the name of the (?:person|man|woman|scientist|one|artist) (?:who|that)\b -> who
what|which :: ^(?:what|which) (?:person|man|woman|scientist|artist|people) (?=\w) -> who~
won :: ^(?:what|which) (?:country|team|nation|player) (?=won\b) -> who~
capital :: ^(?:what|which) (?:city|town) is (?=the capital|.+'s capital) -> what is~
capital :: \bcapital city\b -> capital
have :: ^(?:what|which) ([\w ]+?) (?:does|do) ([\w ]+?) have\s*\??$ -> what is \1 of \2
find my :: ^how (?:do|can) i find my\b -> where is my
where :: ^where (?:can|could|do) i (?:find|see|locate)\b -> where is
birth :: ^what is the (?:birthplace|place of birth) of (.+?)\s*\??$ -> where was \1 born
birth :: ^what is (.+?)'s (?:birthplace|place of birth)\s*\??$ -> where was \1 born
weather|forecast :: ^(?:what is |check )?(?:the )?(weather|forecast)\b -> how is the weather
like :: ^(?:what|how) (?:is|are) (.+?) like\b -> how is \1
cost :: \bwhat (?:does|do|would|will) (.+?) cost\b -> how much does \1 cost
cost|price :: \bwhat (?:is|are) the (?:prices?|costs?) (?:of|for|to)\b -> how much does cost
cost|price :: \bwhat (?:is|are) the ((?:\w+ ){1,3})(?:price|cost)s?\b -> how much does \1cost
much :: \bhow much (?:is|are) (?:it to\b|(?=(?:an?|the) )) -> how much does cost~
cost :: \bhow much (?:does|do|would|will) (.+?) cost\b -> how much does cost \1
explain|describe :: \b(?:explain|describe)(?: to me)?(?= (?:how|why|when|where|what|who)\b) ->
explain|describe|define :: ^(?:explain|describe|define)\b -> what is
definition|meaning :: \bwhat is (?:the )?(?:definition|meaning) of(?: the word| the term)?\b -> what is
mean :: ^what (?:does|do) (.+?) (?:mean|stand for)\b -> what is \1
meant :: ^what is meant by\b -> what is
do :: ^what (?:does|do) ((?:the|an?) [\w ]+?) do\b(?=\s*\??$| in) -> what is the purpose of \1
purpose|role|function|use|point :: \bwhat is the (?:purpose|role|function|use|point) of\b -> what is the purpose of
used for :: ^what (?:is|are) (.+?) used for\b -> what is the purpose of \1
recommend|suggest :: ^(?:recommend|suggest)(?: me)? (?:some |any |an? |good )* -> what are good~
do :: \bwhat (?:can|should|do) i do (?:about|against|for)\b -> HOW handle
treatment :: \bwhat is (?:the |a )?(?:best |good )?treatment (?:for|of)\b -> HOW treat
way :: (?:\bwhat (?:is|are) )?\bthe (fast|quick|cheap)est ways? (?:to|of) (.+?)\s*\??$ -> HOW \2 \1ly
command|shortcut :: ^(?:what|which) (?:command|shortcut) (?:will |can |does )?(?=\w+s\b) -> HOW~
formula :: \bwhat is the formula (?:for|of)\b -> HOW calculate
recipe :: \b(?:what is )?(?:a |the |good )*recipe for\b -> HOW make
instead :: \bwhat (?:can|could|should) i use instead of\b -> what is substitute for
substitut :: \bwhat (?:can|could|should) i substitute for\b -> what is substitute for
replace :: \bwhat (?:can|could|should) i replace (.+?) with\s*\??$ -> what is substitute for \1
alternative|replacement :: \b(?:good |an? )*(?:alternative|replacement) (?:to|for)\b -> substitute for
differ :: ^how (?:does|do) (.+?) and (.+?) differ\b -> what is the difference between \1 and \2
differ :: ^how (?:does|do) (.+?) differ from\b -> what is the difference between \1 and
differ :: ^how (?:is|are) (.+?) different (?:from|to|than)\b -> what is the difference between \1 and
distinguish :: ^what distinguishes (.+?) from\b -> what is the difference between \1 and
differences :: \bdifferences\b -> difference
"""),
)

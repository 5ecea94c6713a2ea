"""Words that ask the same in most questions, written by hand; many more are in `words.json`.

A group is not a word's only sense: a word may be in several.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_DOING = (
    "fix repair mend, lower reduce decrease, train teach, unclog unblock clear, "
    "raise increase boost, improve enhance boost, improve increase raise better, "
    "buy purchase, remove erase eliminate delete, build construct, create make, "
    "begin start, prevent keep, show display, explain describe, find locate, discover learn, "
    "choose pick select, reply respond answer, require need, allow permit let, acquire obtain get, "
    "modify change alter update edit adjust, change switch, replace change, cancel terminate end, "
    "recover reset restore, revert undo, install setup, configure setup, assist help, "
    "happen occur, shut close, wed marry, differ difference, teach instruct, "
    "speak talk, grow rise, register signup, login signin, logout signout, compute calculate, "
    "track trace, reserve book, pay payment, contact reach, reject decline refuse, "
    "check verify, check test, request ask, capture take, combine merge join, "
    "invite add, insert add, unsubscribe optout, deliver ship, dispatch ship, "
    "send submit, travel go visit, come arrive, quit stop cease, bring take carry, "
    "contain have hold, run execute, launch start, launch open, close exit, cook prepare, "
    "prepare ready, treat cure, heal cure, wash clean, store keep, save store, save keep, "
    "convert turn transform change, move transfer, earn make, shrink reduce, enlarge expand, "
    "lend loan, hire recruit, employ hire, fire dismiss, rent lease, repay payback, "
    "complain complaint, resolve fix solve, debug fix, "
    "connect link attach, connect join, pair connect, detach disconnect, examine inspect, "
    "evaluate assess, estimate approximate, "
    "enable activate, disable deactivate, freeze suspend, guarantee ensure, "
    "hang mount, stick glue, drill bore, melt thaw, defrost thaw, "
    "study learn, memorize memorise remember, practice practise, forget lose, "
    "refresh reload, restart reboot, crash fail, "
    "search find lookup, browse view, see view, watch view, view show, "
    "print output, declare define, split divide separate, "
    "iterate loop, sort order arrange, append add, concatenate join combine, "
    "summarize summarise summary, translate translation, utilize utilise use, "
    "cover include, discard trash, collect pickup, postpone delay, endure keep, endure stay, "
    "overcome beat, overcome stop, murder kill, "
    "wound injure, hurt injure, hurt pain ache, ache pain sore, "
    "write draft compose, turn switch, add put, file submit lodge, list show see display view, "
    "fix correct, find calculate, handle treat, handle fix, handle remove, handle solve, "
    "handle repair, handle stop, vomit throwup, sleep rest, wake awake, awaken wake"
)
_THINGS = (
    "car automobile vehicle auto, movie film, kid child toddler, bike bicycle, phone telephone, "
    "cellphone mobile smartphone phone, tv television telly, fridge refrigerator, "
    "couch sofa, error mistake, job employment work, vacation holiday, doctor physician, "
    "lawyer attorney solicitor, apartment flat, trash garbage rubbish, "
    "benefit advantage pro, drawback disadvantage con downside, bill invoice, "
    "photo photograph picture, image picture, email mail, pc computer, site website, "
    "webpage page, application app, program software, cost price, cost charge, cost fee, "
    "usa us america, uk britain, km kilometer kilometre, kg kilogram kilo, lb pound lbs, "
    "javascript js, typescript ts, kubernetes k8s, postgres postgresql, railway train rail, "
    "workout exercise exercising, "
    "cm centimeter centimetre, mm millimeter millimetre, hr hour, min minute, sec second, "
    "reason cause, sound noise, difference distinction, kind type sort, law legislation, "
    "gift present, store shop, house home, trip journey, amount quantity, method technique, "
    "ac airconditioner, citizen national, company business firm, meaning definition, "
    "definition define, author writer, inventor creator, package parcel, "
    "meeting appointment, salary wage pay, tax taxation, mold mildew mould, "
    "luggage baggage, colleague coworker co-worker workmate, boss manager supervisor, "
    "employee worker, staff personnel, customer client, support service, "
    "shipping delivery shipment, password passcode, symptom sign, medicine medication drug, "
    "illness disease sickness, flu influenza, autumn fall, centre center downtown, "
    "document paper paperwork, resume cv, requirement need, example instance, example sample, "
    "storage space, directory folder, function method, variable var, "
    "dictionary dict, integer int, string str, boolean bool, argument parameter, "
    "repository repo, database db, administrator admin, configuration config setting, "
    "information info details, option choice, tip advice suggestion, idea suggestion, "
    "feature functionality, issue problem trouble, bug error, internet web online, "
    "wifi wireless, screen display monitor, hotel accommodation, airport airfield, "
    "plane airplane aeroplane aircraft, boat vessel, truck lorry, "
    "gas petrol gasoline, pavement sidewalk, elevator lift, queue line, cookie biscuit, "
    "candy sweets, eggplant aubergine, zucchini courgette, cilantro coriander, soda pop, "
    "diaper nappy, faucet tap, stove cooker, garden yard, lawn grass, "
    "puppy pup, kitten kitty, rabbit bunny, cow cattle, "
    "baby infant newborn, teenager teen adolescent, mother mom mum, "
    "father dad, grandmother grandma, grandfather grandpa, husband spouse, wife spouse, "
    "paycheck paycheque payslip, pto vacation leave, leave timeoff, "
    "college university, professor teacher lecturer, student pupil, "
    "exam test examination, grade mark, homework assignment, essay paper, "
    "war conflict, army military, ocean sea, stone rock, forest wood, "
    "street road, nation country, earth world, sum total, power energy, "
    "tyre tire, colour color, favourite favorite, behaviour behavior, neighbour neighbor, "
    "honour honor, flavour flavor, theatre theater, metre meter, litre liter, grey gray, "
    "licence license, cheque check, programme program, travelling traveling, aluminium aluminum, "
    "jewellery jewelry, mum mom, maths math mathematics, organisation organization, "
    "recognise recognize, organise organize, realise realize, analyse analyze, "
    "optimise optimize, categorise categorize, customise customize, specialise specialize"
)
_LIKE = (
    "fast quick rapid, quickly fast rapidly quick, fastly quickly fast, "
    "quickly quick, cheaply cheap, "
    " big large, small little, "
    "cheap inexpensive affordable, smart intelligent clever, sick ill, unwell ill, "
    "ok okay advisable acceptable appropriate, approximately roughly, often frequently, "
    "usually normally generally typically, correct right, incorrect wrong, tall high, "
    "rich high, scared afraid, glad happy, sad unhappy, beautiful pretty, odd strange weird, "
    "hard difficult tough, easy simple, important significant, main primary major, "
    "common popular, famous well-known known, broken faulty damaged, dead deceased, "
    "remaining left, whole entire, safe safely, quiet silent, loud noisy, "
    "necessary needed required, possible feasible, available offered, "
    "nearby near close, closest nearest, "
    "simultaneously concurrently, immediately instantly, abroad overseas, abroad internationally, "
    "international abroad, legal lawful, healthy health, painful pain, blocked clogged, "
    "costly expensive, wealthy rich, poor broke, tired exhausted, angry mad, "
    "accessible reachable, responsible responsibility, beneficial benefit"
)


def _alike() -> dict[str, frozenset[str]]:
    alike: dict[str, set[str]] = {}
    for group in ", ".join((_DOING, _THINGS, _LIKE)).split(","):
        words = group.split()
        for word in words:
            alike.setdefault(word, set()).update(words)
    return {word: frozenset(others - {word}) for word, others in alike.items()}


ALIKE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(_alike())
"""Words that ask the same in most questions."""

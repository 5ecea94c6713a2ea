"""T26: pairs of questions that are near to each other and have different answers.

Each family has frames and words to fill them with; pairs are drawn by a seed.
"""
# ruff: noqa: SIM905 - lists of words are read as text

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Pair(NamedTuple):
    """Two questions that must not share an answer."""

    family: str
    one: str
    other: str


CITIES = "Rome Paris Berlin Madrid Oslo Vienna Lisbon Dublin Warsaw Athens Tokyo Lima".split()
COUNTRIES = "France Germany Spain Italy Norway Peru Japan Kenya Chile Canada Poland".split()
PEOPLE = "Einstein Newton Darwin Curie Turing Mozart Picasso Tesla Lincoln Austen Tolstoy".split()
COMPANIES = "Apple Microsoft Google Amazon Tesla Intel Samsung Sony Oracle Netflix".split()
TOOLS = "Python Java Rust Go Ruby Perl Swift Kotlin Scala PHP".split()
ANIMALS = "dogs cats horses lions wolves rabbits snakes hawks mice foxes".split()
MONTHS = "January February March April May June July August October December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
RELATIVES = "mother father brother sister uncle aunt son daughter".split()
THINGS = "router printer laptop camera phone oven dishwasher thermostat heater alarm".split()
FOODS = "rice beans chicken salmon bread cheese yoghurt pasta potatoes eggs".split()

LENGTHS = "meters feet miles kilometers inches yards centimeters".split()
WEIGHTS = "kilograms pounds ounces grams tons stones".split()
HEATS = "celsius fahrenheit kelvin".split()
TIMES = "seconds minutes hours days weeks months years".split()
MONEY = "dollars euros pounds yen rupees pesos".split()

NUMBER_FRAMES = (
    "What was the revenue of {c} in {n}?",
    "How many calories are in {n} grams of {f}?",
    "Convert {n} miles to kilometers",
    "What is {n} percent of 900?",
    "Is {n} a prime number?",
    "Can I install version {n} of {t} on my {g}?",
    "What happened in {k} in {n}?",
    "How much does a {n} GB plan cost?",
    "Book a table for {n} people in {y}",
    "How long does it take to drive {n} km?",
    "Give me {n} ideas for a birthday party",
    "What does error {n} on my {g} mean?",
)
NAME_FRAMES: tuple[tuple[str, list[str]], ...] = (
    ("What is the capital of {x}?", COUNTRIES),
    ("What is the population of {x}?", COUNTRIES),
    ("What is the weather like in {x} today?", CITIES),
    ("When was {x} born?", PEOPLE),
    ("What is {x} best known for?", PEOPLE),
    ("What is the stock price of {x}?", COMPANIES),
    ("Who is the chief executive of {x}?", COMPANIES),
    ("How do I read a file in {x}?", TOOLS),
    ("How do I sort a list in {x}?", TOOLS),
    ("How long do {x} live?", ANIMALS),
    ("What should I buy for my {x}'s birthday?", RELATIVES),
    ("How do I reset my {x}?", THINGS),
    ("How do I clean my {x}?", THINGS),
    ("How long can I keep {x} in the fridge?", FOODS),
    ("Is {x} safe for my dog to eat?", FOODS),
    ("Do I need a visa for {x}?", COUNTRIES),
)
DATE_FRAMES: tuple[tuple[str, list[str]], ...] = (
    ("What is the weather in {y} in {x}?", MONTHS),
    ("Is the museum in {y} open on {x}?", DAYS),
    ("Show my meetings for {x}", DAYS),
    ("What holidays are there in {k} in {x}?", MONTHS),
    ("What events happened in {k} on {x} 5?", MONTHS),
    ("What is the weather in {y} {x}?", ["today", "tomorrow", "yesterday", "tonight"]),
    ("Show my spending for {x}", ["this week", "last week", "next week"]),
    ("Who won the league in {k} {x}?", ["last year", "this year", "two years ago"]),
    ("What was the inflation of {k} in the {x}?", ["1970s", "1980s", "1990s", "2000s"]),
)
UNIT_FRAMES: tuple[tuple[str, list[str]], ...] = (
    ("How tall is the tower of {y} in {x}?", LENGTHS),
    ("How heavy are {a} in {x}?", WEIGHTS),
    ("How much is 250 {x} in grams?", ["ounces", "pounds", "tons", "stones"]),
    ("What is the boiling point of water in {x}?", HEATS),
    ("How many {x} are in a leap year?", ["seconds", "minutes", "hours", "days", "weeks"]),
    ("How much is 40 {x} worth today?", MONEY),
    ("Set a timer for 10 {x}", TIMES),
    ("What does the flight to {y} cost in {x}?", MONEY),
    ("How far is {y} from here in {x}?", LENGTHS),
    ("My {g} weighs 3 {x}, is that much?", WEIGHTS),
)
NEGATIONS = (
    ("Which foods can I eat with {f}?", "Which foods can I not eat with {f}?"),
    ("Is it safe to eat {f}?", "Is it not safe to eat {f}?"),
    ("Why does my {g} work?", "Why doesn't my {g} work?"),
    ("Which countries have a border with {k}?", "Which countries have no border with {k}?"),
    ("Recipes with {f}", "Recipes without {f}"),
    ("Who can enter {k} with a visa?", "Who can enter {k} without a visa?"),
    ("Which {a} are dangerous?", "Which {a} are not dangerous?"),
    ("Is {p} the author of this book?", "Isn't anyone but {p} the author of this book?"),
    ("Do {a} sleep at night?", "Do {a} never sleep at night?"),
    ("What should I do when my {g} starts?", "What should I do when my {g} won't start?"),
    ("List hotels in {y} that allow pets", "List hotels in {y} that do not allow pets"),
    ("Is the {g} from {c} legal in {k}?", "Is the {g} from {c} illegal in {k}?"),
    ("Is {t} compatible with {c} cloud?", "Is {t} incompatible with {c} cloud?"),
    ("Show all orders from {c} including returns", "Show all orders from {c} except returns"),
)
ANTONYMS = (
    ("How do I turn on the {g}?", "How do I turn off the {g}?"),
    ("How do I turn the {g} on?", "How do I turn the {g} off?"),
    ("How do I enable notifications on my {g}?", "How do I disable notifications on my {g}?"),
    ("How do I lock my {g}?", "How do I unlock my {g}?"),
    ("How do I increase the volume of my {g}?", "How do I decrease the volume of my {g}?"),
    ("Should I buy shares of {c}?", "Should I sell shares of {c}?"),
    ("What are the advantages of {t}?", "What are the disadvantages of {t}?"),
    ("Why are {a} strong?", "Why are {a} weak?"),
    ("When does the shop in {y} open?", "When does the shop in {y} close?"),
    ("How do I install {t}?", "How do I uninstall {t}?"),
    ("Import a list from {c}", "Export a list from {c}"),
    ("How do I encrypt a file with {t}?", "How do I decrypt a file with {t}?"),
    ("What happens before the {g} starts?", "What happens after the {g} starts?"),
    ("How do I sign in to {c}?", "How do I sign out of {c}?"),
    ("What is the minimum age to drive in {k}?", "What is the maximum age to drive in {k}?"),
    ("How do I gain weight with {f}?", "How do I lose weight with {f}?"),
    ("Is {y} north of {y2}?", "Is {y} south of {y2}?"),
    ("How do I upload a file to {c}?", "How do I download a file to {c}?"),
)
DIRECTIONS = (
    ("Flights from {y} to {y2}", "Flights from {y2} to {y}"),
    ("How do I get from {y} to {y2} by train?", "How do I get from {y2} to {y} by train?"),
    (
        "Translate this letter from {k} English to Latin",
        "Translate this letter from Latin to {k} English",
    ),
    ("How do I convert {t} code to {t2}?", "How do I convert {t2} code to {t}?"),
    ("Do {a} eat {a2}?", "Do {a2} eat {a}?"),
    ("Did {c} buy {c2}?", "Did {c2} buy {c}?"),
    ("Is {y} larger than {y2}?", "Is {y2} larger than {y}?"),
    ("Why is {t} faster than {t2}?", "Why is {t2} faster than {t}?"),
    ("Who taught {p} about {p2}?", "Who taught {p2} about {p}?"),
    ("Send money from {c} to {c2}", "Send money from {c2} to {c}"),
    ("How did {p} influence {p2}?", "How did {p2} influence {p}?"),
    ("Move files from the {g} to the {g2}", "Move files from the {g2} to the {g}"),
    ("Can {a} hunt {a2} at night?", "Can {a2} hunt {a} at night?"),
    ("What does {k} export to {k2}?", "What does {k2} export to {k}?"),
    ("Flights to {y}", "Flights from {y}"),
    ("Can I replace {f} with {f2}?", "Can I replace {f2} with {f}?"),
    ("Does {c} pay {c2} for search?", "Does {c2} pay {c} for search?"),
)
TENSES = (
    ("Who is the president of {k}?", "Who was the president of {k}?"),
    ("Who is the president of {k}?", "Who will be the president of {k}?"),
    ("How much does {c} earn?", "How much did {c} earn?"),
    ("How much does {c} earn?", "How much will {c} earn?"),
    ("What do {a} eat?", "What did {a} eat?"),
    ("Who leads {c}?", "Who led {c}?"),
    ("Who owns {c}?", "Who owned {c}?"),
    ("Where do people from {y} work?", "Where did people from {y} work?"),
    ("Is it raining in {y}?", "Was it raining in {y}?"),
    ("Is {c} going to launch a {g}?", "Did {c} launch a {g}?"),
    ("Which language do they speak in {k}?", "Which language did they speak in {k}?"),
    ("Has {c} released a {g}?", "Will {c} release a {g}?"),
    ("What wins the race in {y}?", "What won the race in {y}?"),
)
COMPARATIVES = (
    ("Which is the largest city in {k}?", "Which is the smallest city in {k}?"),
    ("Which is the largest city in {k}?", "Which is the second largest city in {k}?"),
    ("Which {g} is cheaper?", "Which {g} is the cheapest?"),
    ("Is {t} better than {t2}?", "Is {t} worse than {t2}?"),
    ("Is {t} better than {t2}?", "Is {t} as good as {t2}?"),
    ("Does {c} have more staff than {c2}?", "Does {c} have less staff than {c2}?"),
    ("Which {a} are the fastest?", "Which {a} are the slowest?"),
    (
        "List cities in {k} with over 2 million people",
        "List cities in {k} with under 2 million people",
    ),
    ("Does {f} cost at least 5 dollars?", "Does {f} cost at most 5 dollars?"),
    ("Who was the first leader of {k}?", "Who was the last leader of {k}?"),
    ("What is the highest point of {k}?", "What is the lowest point of {k}?"),
    ("Which people in {y} live longest?", "Which people in {y} live shortest?"),
    ("Do all {a} swim?", "Do some {a} swim?"),
    ("Do all {a} swim?", "Do only {a} swim?"),
    ("Is the {g} louder than the {g2}?", "Is the {g} quieter than the {g2}?"),
    ("Is {y} older than {y2}?", "Is {y} as old as {y2}?"),
)
QUESTIONS = (
    ("When was {p} in {y}?", "Why was {p} in {y}?"),
    ("How many {a} are there in {k}?", "How much are {a} in {k}?"),
    ("Can I bring {f} to {k}?", "Should I bring {f} to {k}?"),
    ("Where is the head office of {c}?", "Who is the head office of {c}?"),
    ("How long is the {g} cable?", "How old is the {g} cable?"),
    ("How often should I clean my {g}?", "How should I clean my {g}?"),
    ("Is my {g} broken?", "Why is my {g} broken?"),
    ('Who wrote "The {p} Letters"?', 'Who wrote "The {p2} Letters"?'),
    ("What does 'git {g}' do?", "What does 'git {g2}' do?"),
    ("What is my name, {p}?", "What is your name, {p}?"),
    ("Where did he meet {p}?", "Where did she meet {p}?"),
    ("Does the plan of {c} cover {f} and {f2}?", "Does the plan of {c} cover {f} or {f2}?"),
)

_POOLS = {
    "y": CITIES,
    "k": COUNTRIES,
    "p": PEOPLE,
    "c": COMPANIES,
    "t": TOOLS,
    "a": ANIMALS,
    "g": THINGS,
    "f": FOODS,
}


def _filled(rng: random.Random, *frames: str, **given: str) -> list[str]:
    """The same words in all frames; `{y2}` is another of the kind of `{y}`."""
    words = dict(given)
    for name, pool in _POOLS.items():
        words[name], words[f"{name}2"] = rng.sample(pool, 2)
    return [frame.format(**words) for frame in frames]


def _number_pair(rng: random.Random) -> tuple[str, str]:
    frame = rng.choice(NUMBER_FRAMES)
    n = rng.choice((rng.randint(2, 30), rng.randint(100, 999), rng.randint(1990, 2030)))
    change = rng.choice((1, -1, 10, 2))
    other = str(n + change)
    shown = str(n)
    if "version" in frame:
        shown, other = f"3.{n}", f"3.{n + 1}"
    state = rng.getstate()
    one = _filled(rng, frame, n=shown)[0]
    rng.setstate(state)
    return one, _filled(rng, frame, n=other)[0]


def _swap(frames: tuple[tuple[str, list[str]], ...]) -> Callable[[random.Random], tuple[str, str]]:
    def make(rng: random.Random) -> tuple[str, str]:
        frame, pool = rng.choice(frames)
        x, other = rng.sample(pool, 2)
        frame = frame.replace("{x}", "\0")
        filled = _filled(rng, frame)[0]
        return filled.replace("\0", x), filled.replace("\0", other)

    return make


def _either(pairs: tuple[tuple[str, str], ...]) -> Callable[[random.Random], tuple[str, str]]:
    def make(rng: random.Random) -> tuple[str, str]:
        one, other = _filled(rng, *rng.choice(pairs))
        return (one, other) if rng.random() < 0.5 else (other, one)

    return make


FAMILIES: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "numbers": _number_pair,
    "names": _swap(NAME_FRAMES),
    "dates": _swap(DATE_FRAMES),
    "units": _swap(UNIT_FRAMES),
    "negation": _either(NEGATIONS),
    "antonyms": _either(ANTONYMS),
    "direction": _either(DIRECTIONS),
    "tense": _either(TENSES),
    "comparatives": _either(COMPARATIVES),
    "question": _either(QUESTIONS),
}
_STYLES: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    lambda text: text.rstrip("?"),
    lambda text: f"Please tell me: {text}",
    lambda text: f"Hi! {text}",
    lambda text: text.lower().rstrip("?"),
)


def pairs(count: int, seed: int) -> Iterator[Pair]:
    """`count` different pairs, all families in turn, in different styles of writing."""
    rng = random.Random(seed)
    seen: set[tuple[str, str]] = set()
    names = list(FAMILIES)
    while len(seen) < count:
        family = names[len(seen) % len(names)]
        one, other = FAMILIES[family](rng)
        pair = (rng.choice(_STYLES)(one), rng.choice(_STYLES)(other))
        if pair not in seen and one != other:
            seen.add(pair)
            yield Pair(family, *pair)

"""The guard: what may share an answer, and what must not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from benchmarks import adversarial
from benchmarks.cache import QUESTIONS
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.cache import guard
from headrace.gateway.cache.reading import read

NEAR_MISSES = Path(__file__).with_name("near_misses.txt")
MOST_WRONG = 2
"""Of 2,000: 0.1 %."""


def test_t26_near_questions_with_other_answers_are_told_apart_even_at_a_cosine_of_one() -> None:
    """An embedding that cannot tell them apart at all is the worst case."""
    pairs = list(adversarial.pairs(2_000, seed=26))
    wrong = [pair for pair in pairs if guard.judge(pair.one, pair.other, 1.0).allowed]
    assert len(pairs) == 2_000
    assert set(Counter(pair.family for pair in pairs)) == set(adversarial.FAMILIES)
    assert len(wrong) <= MOST_WRONG, wrong[:10]


def test_t26_does_not_pass_because_nothing_does() -> None:
    """Each of the same questions, asked in two styles, shares its answer."""
    questions = [pair.one for pair in adversarial.pairs(200, seed=27)]
    for question in questions:
        assert guard.judge(question, f"Please tell me: {question}", 0.98).allowed, question


def test_paraphrases_of_the_file_are_found_and_its_near_misses_refused() -> None:
    rows = [line.split("\t") for line in Path(QUESTIONS).read_text().splitlines()]
    found = [guard.judge(one, other, 0.95).allowed for same, one, other in rows if same == "1"]
    wrong = [(a, b) for same, a, b in rows if same == "0" and guard.judge(a, b, 0.95).allowed]
    assert sum(found) >= 0.6 * len(found)
    assert not wrong


def test_near_questions_of_every_kind_are_told_apart_and_not_because_nothing_passes() -> None:
    """Written for each way of asking that the guard knows, and for what tells questions apart
    beside T26: quantities, modals, persons, what `only` is said of, names that are almost the
    same."""
    lines = [line for line in NEAR_MISSES.read_text().splitlines() if line and line[0] != "#"]
    pairs = [(line.partition(" | ")[0], line.partition(" | ")[2]) for line in lines]
    assert len(pairs) >= 300
    assert [pair for pair in pairs if guard.judge(pair[0], pair[1], 1.0).allowed] == []
    questions = [question for pair in pairs for question in pair]
    assert [q for q in questions if not guard.judge(q, f"Hi! {q.lower()}", 0.98).allowed] == []


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("flights from Rome to Paris", "flights from Paris to Rome", "direction"),
        ("revenue in 2023", "revenue in 2024", "numbers"),
        ("Turn on two-factor authentication", "Turn off two-factor authentication", "comparison"),
        ("Who is the CEO of Intel?", "Who was the CEO of Intel?", "tense"),
        ("Can I eat grapes?", "Can I not eat grapes?", "negation"),
        ('Who wrote "Emma"?', 'Who wrote "Persuasion"?', "quoted"),
        ("Do dogs eat cats?", "Do cats eat dogs?", "order"),
        ("When did it start?", "Why did it start?", "question"),
        ("Is a < b?", "Is a > b?", "signs"),
        ("Is it legal to park here?", "Is it illegal to park here?", "opposite"),
        ("How old are you?", "How old am I?", "person"),
        ("Can I see you?", "Can you see me?", "person"),
        ("Only I can edit it", "I can only edit it", "comparison"),
        ("When can I pay?", "When must I pay?", "question"),
        ("capital of France", "capital of Germany", "words"),
        ("how is the weather", "how is the weather", "far"),
    ],
)
def test_what_tells_two_questions_apart_is_named(one: str, other: str, reason: str) -> None:
    cosine = 0.5 if reason == "far" else 0.999
    verdict = guard.judge(one, other, cosine)
    assert not verdict.allowed
    assert verdict.reason == reason


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_read_and_judged_both_ways_alike_and_itself_is_the_same(
    one: str, other: str
) -> None:
    assert guard.judge(one, other, 1.0).allowed == guard.judge(other, one, 1.0).allowed
    reading = read(one)
    assert guard.conflict(reading, reading, guard.align(reading, reading)) is None

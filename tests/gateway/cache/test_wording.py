"""Ways of asking one thing that the guard knows, and what they must not make alike."""

from __future__ import annotations

import pytest
from training.pairs import ASKED

from headrace.gateway.cache import forms, guard, wording
from headrace.gateway.cache.wording import common_form

SAME = [
    ("What's the height of the Eiffel Tower?", "How tall is the Eiffel Tower?"),
    ("What is the Eiffel Tower's height?", "How tall is the Eiffel Tower?"),
    (
        "How is a latte different from a mocha?",
        "What is the difference between a mocha and a latte?",
    ),
    ("What distinguishes a latte from a mocha?", "How do a latte and a mocha differ?"),
    ("How are tents waterproofed?", "How do I waterproof a tent?"),
    ("Can raw fish be frozen?", "Can I freeze raw fish?"),
    ("Who was Hamlet written by?", "Who wrote Hamlet?"),
    ("Who is the author of Hamlet?", "Who wrote Hamlet?"),
    ("Is hail damage covered by my policy?", "Does my policy cover hail damage?"),
    ("Is it safe to eat raw eggs?", "Are raw eggs safe to eat?"),
    ("What does osmosis mean?", "Define osmosis"),
    ("What can I use instead of yeast?", "What is a good alternative to yeast?"),
    ("How much is a train ticket?", "What does a train ticket cost?"),
    ("How many moons does Mars have?", "How many moons are in Mars?"),
    ("In Ruby, how do I reverse a string?", "How do I reverse a string in Ruby?"),
    ("Reversing a string in Ruby", "How can I reverse a string using Ruby?"),
    ("What is the quickest way to peel garlic?", "How do I peel garlic quickly?"),
    ("Why has my parcel been delayed?", "Why was my parcel delayed?"),
    ("Can you switch on the fan?", "Turn the fan on"),
    ("Could you please put eggs on my list?", "Add eggs to my list"),
    ("Is a helmet required to ride a moped?", "Do I need a helmet to ride a moped?"),
    ("What happens when I cancel early?", "What will happen if I cancel early?"),
    ("How do I get wine out of a rug?", "How can I remove wine from a rug?"),
    ("How do I say good morning in Finnish?", "Translate good morning into Finnish"),
    ("What is the function of the spleen?", "What does the spleen do?"),
    ("I'm not sure how to fold a map", "How do I fold a map?"),
    ("I need some help to set up a proxy", "How do I set up a proxy?"),
    (
        "What's the state of my application for the grant?",
        "What is the state of my grant application?",
    ),
    ("Can I tell if a window is locked?", "Can I tell if it is a locked window?"),
    ("Reverse a string in Ruby", "How do I reverse a string in Ruby?"),
    ("Please help me connect to the proxy", "How can I connect to the proxy?"),
    ("I'd like to fold a map but I don't know how", "How do I fold a map?"),
    ("I must renew my visa", "How do I renew my visa?"),
    ("Why won't my kettle boil?", "Why doesn't my kettle boil?"),
    ("My lamp seems to be broken and I have no idea why", "Why is my lamp broken?"),
    (
        "How long does it take to register a trademark?",
        "How long does trademark registration take?",
    ),
    ("What is on today's menu?", "What is on the menu today?"),
    (
        "How long does fresh basil last in the fridge?",
        "How long can fresh basil stay in the fridge?",
    ),
    ("Is the museum open on Sunday?", "Is the museum open Sundays?"),
    ("How can I teach my parrot not to scream?", "How do I stop my parrot from screaming?"),
    ("How do I list all the tables in a database?", "How do I show the tables of a database?"),
    ("Has my order shipped?", "Did my order ship?"),
    ("Which gifts should be avoided?", "What gifts should I avoid?"),
    ("What methods of payment are there?", "What payment options are there?"),
    ("I want to track my parcel", "Track my parcel"),
    ("I want to track my parcel", "How do I track my parcel?"),
    ("Need to track my parcel", "How do I track my parcel?"),
    ("I'd like you to lock my card", "Please lock my card"),
    ("My badge was stolen, how do I report it?", "How do I report my stolen badge?"),
    ("I lost my badge, what should I do?", "What do I do if I lose my badge?"),
    ("Can you tell me if I can return shoes?", "Can I return shoes?"),
    ("I'd like to know whether the pool is heated", "Is the pool heated?"),
    ("When do you think I should prune roses?", "When should I prune roses?"),
    ("When is the best time to prune roses?", "When should I prune roses?"),
    ("How often should the filter be changed?", "How often should I change the filter?"),
    ("Does the filter need to be cleaned?", "Do I need to clean the filter?"),
    ("My booking needs to be cancelled", "Cancel my booking"),
    ("How do I make a payment?", "How do I pay?"),
    ("How do I make changes to my booking?", "How do I change my booking?"),
    ("I need to put in a leave request", "I want to request leave"),
    ("Why do I have slow wifi?", "Why is my wifi slow?"),
    ("What papers do I need to renew my visa?", "What papers do I need for a visa renewal?"),
    ("Is the museum open on Sunday?", "Will the museum be open on Sunday?"),
    ("When will my invoice be due?", "When is my invoice due?"),
    ("What should I do before I work out?", "What should I do before a workout?"),
    ("How can I stop smoking?", "What are ways to quit smoking?"),
    ("How do I avoid a hangover?", "How do I prevent a hangover?"),
    ("Why is my kettle not working?", "Why doesn't my kettle work?"),
    ("Has my parcel arrived yet?", "Has my parcel arrived?"),
    ("What are your opening hours?", "When are you open?"),
    ("Do you take credit cards?", "Can I pay with credit cards?"),
    ("Is parking available?", "Do you offer parking?"),
    ("Are dogs allowed in the hostel?", "Can I bring my dog to the hostel?"),
    ("Why do we use a mutex in Go?", "What is the purpose of a mutex in Go?"),
    ("A mutex vs a semaphore", "What is the difference between a mutex and a semaphore?"),
    ("How many minutes does boiling rice take?", "How long does boiling rice take?"),
    ("How do I know if a melon is ripe?", "How can I tell whether a melon is ripe?"),
    ("What is the Greek word for bread?", "How do you say bread in Greek?"),
    ("Disable notifications", "Turn off notifications"),
    ("How do I send a parcel back?", "How do I return a parcel?"),
    ("Is it safe to eat raw eggs?", "Can I eat raw eggs?"),
    ("Can owls see at night?", "Do owls see at night?"),
    ("What did I buy?", "What have I bought?"),
    ("How do you change your name?", "How do I change my name?"),
    ("Where can I get a receipt?", "Where can I find a receipt?"),
]
OTHER = [
    ("What does the spleen do?", "What is the spleen?"),
    ("How does the stock market work?", "How do I work in the stock market?"),
    ("Who is the director of the museum?", "Who was the director of the museum?"),
    ("Can you switch on the fan?", "Turn the fan off"),
    ("What can I replace with yeast?", "What can I replace yeast with?"),
    ("Is it ok to eat raw eggs?", "Why is it ok to eat raw eggs?"),
    ("Is coffee bad for me?", "Is coffee good for me?"),
    ("Remove Ann from Ben's team", "Remove Ben from Ann's team"),
    ("Add the list to the table", "Add the table to the list"),
    ("Can I freeze raw fish?", "Should I freeze raw fish?"),
    ("How often should I wash my car?", "How should I wash my car?"),
    ("How are tents made?", "How were tents made?"),
    ("Must I pay for parking?", "Can I pay for parking?"),
    ("What is the cheapest way to ship a bike?", "What is the fastest way to ship a bike?"),
    ("What is the role of the king?", "What is the name of the king?"),
    ("What eats the dog?", "What does the dog eat?"),
    ("Do I need a visa for Brazil?", "Do I need a visa for Bolivia?"),
    ("How do I get a refund?", "How do I give a refund?"),
    ("Please help me write a poem", "How do I write a poem?"),
    ("Summarize the letter in French", "How do I summarize the letter in French?"),
    ("Why won't my kettle boil?", "Why does my kettle boil?"),
    ("How long has the shop been open?", "How long was the shop open?"),
    ("Has my order shipped?", "Will my order ship?"),
    ("What is on today's menu?", "What is on tomorrow's menu?"),
    ("How long does the race last?", "How long did the last race take?"),
    ("Is the museum open on Sunday?", "Is the museum open on Monday?"),
    ("Ship a gift to Oslo", "Ship a gift for Oslo"),
    ("My card was stolen", "My card was declined"),
    ("How do I turn on all lamps?", "How do I turn on the lamp?"),
    ("What removes rust?", "What causes rust?"),
    ("I'd like to sell my car", "I'd like to buy my car"),
    ("What do I pay for an assessment?", "What do I assess for a payment?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_ways_of_asking_share_an_answer(one: str, other: str) -> None:
    verdict = guard.judge(one, other, 0.95)
    assert verdict.allowed, (verdict, common_form(one.lower()), common_form(other.lower()))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_near_ways_of_asking_something_else_do_not(one: str, other: str) -> None:
    assert not guard.judge(one, other, 0.999).allowed, common_form(one.lower())


def test_a_long_text_is_left_as_it_is_but_for_courtesies() -> None:
    """Patterns with two gaps would look at each pair of places in it."""
    long = "how many a b c do d e f " * 40
    assert common_form(f"please {long}") == long.strip()


def test_forms_are_found_by_how_words_begin_as_if_each_was_tried() -> None:
    """A form whose words stand in no text that it has would never be put."""
    table = wording.FORMS
    for line in ASKED.read_text().splitlines():
        text = line[2:].lower().replace("'s ", " is ")
        slow = text
        for form in table.forms:
            slow = form.pattern.sub(form.put, slow)
        assert table.put(text) == slow


def test_each_form_names_a_word_that_its_texts_have() -> None:
    """Without that word the pattern is never tried."""
    every = (*forms.CONTRACTIONS, *wording.FORMS.forms)
    for form in every:
        assert form.words and all(form.words), form.pattern.pattern

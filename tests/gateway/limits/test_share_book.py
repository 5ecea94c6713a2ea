"""What one worker remembers of shared counters that nobody uses just now."""

from __future__ import annotations

import pytest

from headrace.gateway.limits import share_book
from headrace.gateway.limits.asking import SharedBound
from headrace.gateway.limits.measures import Budget, Measures
from headrace.gateway.limits.share_book import ShareBook
from support.measured import MIDNIGHT, at_once, budget, rate

NOON = MIDNIGHT + 12 * 3600.0
TOMORROW = MIDNIGHT + 86_400.0


def used(book: ShareBook, one: Budget, amount: int, unix: float = NOON) -> SharedBound:
    """By a call of which the server has heard."""
    bound = book.bind(Measures((rate(60),), (), (at_once(3),), (one,)))
    book.turn_page(bound, unix)
    _, share = bound.budgets[0]
    share.settle(0, amount)
    share.report()
    share.seen(share.spent_before)
    return bound


def told(book: ShareBook, unix: float = NOON) -> dict[str, int]:
    return {one.key: spent for one, spent in book.spent(unix)}


def swept(book: ShareBook, unix: float = NOON) -> None:
    for _ in range(5):
        book.forget(unix)


def test_a_budget_that_lies_idle_is_told_until_its_period_ends() -> None:
    book = ShareBook("p:")
    book.leave(used(book, budget(1000, stop=False), 8720))
    swept(book)
    assert not book._shares, "nothing is held for nobody"
    assert told(book) == {"budget": 8720}
    assert told(book, TOMORROW) == {"budget": 0}
    swept(book, TOMORROW - 1)
    assert told(book, TOMORROW - 1) == {"budget": 8720}
    swept(book, TOMORROW)
    assert told(book, TOMORROW) == {}


def test_who_comes_again_is_told_as_before_until_the_server_speaks() -> None:
    book = ShareBook("p:")
    book.leave(used(book, budget(1000), 700))
    swept(book)
    bound = book.bind(Measures(budgets=(budget(2000),)))
    book.turn_page(bound, NOON)
    _, share = bound.budgets[0]
    assert not share.known, "others may have used some meanwhile: the next call asks"
    assert [(one.cap, spent) for one, spent in book.spent(NOON)] == [(2000, 700)]
    share.seen(900)
    assert told(book) == {"budget": 900}
    book.leave(bound)
    swept(book)
    bound = book.bind(Measures(budgets=(budget(2000),)))
    book.turn_page(bound, TOMORROW)
    assert told(book, TOMORROW) == {"budget": 0}, "what was used is of another day"


def test_a_call_that_ends_after_its_share_was_forgotten_is_told() -> None:
    """One that only warns holds nothing as long as it runs."""
    book = ShareBook("p:")
    bound = used(book, budget(1000, stop=False), 0)
    _, share = bound.budgets[0]
    book.leave(bound)
    swept(book)
    assert told(book) == {"budget": 0}
    share.settle(0, 8720)
    assert told(book) == {"budget": 8720}
    again = book.bind(Measures(budgets=(budget(1000, stop=False),)))
    book.turn_page(again, NOON)
    share.settle(0, 10)
    again.budgets[0][1].settle(0, 1)
    assert told(book) == {"budget": 8731}


def test_a_period_that_is_over_is_not_told_in_place_of_the_next() -> None:
    book = ShareBook("p:")
    bound = used(book, budget(1000), 700)
    book.turn_page(bound, TOMORROW)
    bound.budgets[0][1].seen(40)
    swept(book, TOMORROW)
    assert told(book, TOMORROW) == {"budget": 40}


def test_of_more_than_are_remembered_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_book, "MOST_IDLE", 3)
    book = ShareBook("p:")
    for n in range(5):
        book.leave(used(book, budget(1000, key=f"b{n}"), n + 1))
        swept(book)
    assert told(book) == {"b2": 3, "b3": 4, "b4": 5}

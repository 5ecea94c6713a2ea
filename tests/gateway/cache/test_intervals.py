"""Exact intervals: against sums of the binomial distribution, and tables."""

from __future__ import annotations

import math

import pytest

from headrace.gateway.cache.intervals import clopper_pearson, lower, upper


def at_most(wrong: int, count: int, share: float) -> float:
    """P(X <= wrong)."""
    return sum(
        math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(wrong + 1)
    )


@pytest.mark.parametrize(
    ("wrong", "count"), [(0, 1), (0, 299), (1, 10), (3, 500), (9, 10), (10, 10)]
)
def test_bounds_are_those_of_the_binomial_distribution(wrong: int, count: int) -> None:
    if wrong < count:
        assert at_most(wrong, count, upper(wrong, count, 0.95)) == pytest.approx(0.05, abs=1e-6)
    if wrong:
        low = lower(wrong, count, 0.95)
        assert 1 - at_most(wrong - 1, count, low) == pytest.approx(0.05, abs=1e-6)


def test_known_values() -> None:
    assert clopper_pearson(0, 0) == (0, 1)
    assert upper(0, 299, 0.95) == pytest.approx(0.00997, abs=1e-5)
    assert clopper_pearson(10, 100) == pytest.approx((0.0490, 0.1762), abs=1e-4)
    low, high = clopper_pearson(50, 100_000)
    assert 0.0003 < low < 0.0005 < high < 0.0007

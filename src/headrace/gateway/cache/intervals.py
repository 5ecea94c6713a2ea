"""How sure a share is that was counted: exact intervals of a binomial share. Pure."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
_STEPS = 60
_TERMS = 300
_TINY = 1e-300


def clopper_pearson(wrong: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of a share of which `wrong` of `count` were seen; (0, 1) where nothing was.

    Clopper and Pearson 1934, The use of confidence or fiducial limits: it holds at least as often
    as `confidence` says, whatever the true share is."""
    tail = (1 - confidence) / 2
    return lower(wrong, count, 1 - tail), upper(wrong, count, 1 - tail)


def upper(wrong: int, count: int, confidence: float) -> float:
    """One-sided: the true share is below it in `confidence` of all cases."""
    if wrong >= count:
        return 1.0
    return beta_quantile(confidence, wrong + 1, count - wrong)


def lower(wrong: int, count: int, confidence: float) -> float:
    """One-sided: the true share is above it in `confidence` of all cases."""
    if wrong == 0:
        return 0.0
    return beta_quantile(1 - confidence, wrong, count - wrong + 1)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The value below which a beta distribution has this share, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if beta_share(a, b, middle) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_share(a: float, b: float, x: float) -> float:
    """The share of a beta distribution that is below a value: the incomplete beta function,
    regularised, by its continued fraction (Abramowitz and Stegun, 26.5.8)."""
    if x <= 0 or x >= 1:
        return float(x > 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Evaluated forwards (Lentz 1976)."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for part in (even, odd):
            d = 1 / _away(1 + part * d)
            c = _away(1 + part / c)
            change = c * d
            value *= change
        if abs(change - 1) < 1e-14:
            break
    return value


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY

"""Settings of the cache that have no effect are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.config.loading import loaded

MODEL = "headrace.yaml:6: models.m.cache"
TEXT = """backends: {{a: {{provider: local}}}}
models:
  m:
    pools: [[a]]
    cache:
      {cache}
"""


def warnings_of(cache: str) -> list[str]:
    text = TEXT.format(cache=cache).encode()
    return [str(warning) for warning in loaded(text, Path("headrace.yaml")).warnings]


@pytest.mark.parametrize(
    ("cache", "begins"),
    [
        (
            "max_wrong_rate: 0.01",
            "headrace.yaml:6: models.m.cache.max_wrong_rate: it has no effect",
        ),
        ("check_share: 0.1", "headrace.yaml:6: models.m.cache.check_share: it has no effect"),
    ],
)
def test_what_bounds_nothing_is_a_warning(cache: str, begins: str) -> None:
    (warning,) = warnings_of(cache)
    assert warning.startswith(begins)


def test_a_bound_with_checks_is_none() -> None:
    cache = "answers: semantic\n      max_wrong_rate: 0.01\n      check_share: 0.1"
    assert warnings_of(cache) == []

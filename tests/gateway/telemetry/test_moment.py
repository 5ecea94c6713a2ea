"""What a worker tells of the cache's wrong hits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.gateway.telemetry.moment import moment
from headrace.gateway.telemetry.snapshot import Moment, wrong_hits


def parts_with(found_out: dict[tuple[str, bool], int] | None) -> Any:
    learning = None if found_out is None else SimpleNamespace(found_out=found_out)
    return SimpleNamespace(
        fleet=SimpleNamespace(all=list), running=0, cache=SimpleNamespace(learning=learning)
    )


def test_hits_that_were_checked_are_told_and_flags_are_not_counted() -> None:
    known = {("shadow", True): 97, ("shadow", False): 3, ("flag", False): 50}
    told = moment(cast(Any, parts_with(known)), None, 0.0, 0.0)
    assert (told.hits_checked, told.hits_wrong) == (100, 3)
    assert moment(cast(Any, parts_with(None)), None, 0.0, 0.0).hits_checked == 0


def test_the_worker_that_knows_of_most_counts() -> None:
    few = Moment(hits_checked=10, hits_wrong=10, most_wrong=0.01)
    most = Moment(hits_checked=400, hits_wrong=20, most_wrong=0.01)
    found = wrong_hits([few, most])
    assert found is not None
    assert found[0] == pytest.approx(0.0308, abs=0.001)  # Clopper-Pearson of 20 in 400, 95 %
    assert wrong_hits([]) is None
    assert wrong_hits([Moment(most_wrong=0.01)]) is None

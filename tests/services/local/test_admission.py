from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import Reason, Refused
from headrace.services.local.admission import Admission


def test_places_are_those_at_work_and_those_waiting() -> None:
    admission = Admission("smol", parallel=2, queue=1)
    places = [admission.enter(0.0) for _ in range(3)]
    with pytest.raises(Refused) as caught:
        admission.enter(0.0)
    refused = caught.value
    assert refused.reason is Reason.QUEUE_FULL
    assert "smol" in refused.detail
    assert "3 places" in refused.detail
    assert refused.retry_after_s is not None
    assert refused.retry_after_s >= 1
    admission.leave(places[1], 1.0)
    assert admission.inside == 2
    admission.enter(1.0)


def test_leaving_twice_gives_one_place() -> None:
    admission = Admission("smol", parallel=1, queue=0)
    place = admission.enter(0.0)
    admission.leave(place, 1.0)
    admission.leave(place, 1.0)
    admission.enter(1.0)
    with pytest.raises(Refused):
        admission.enter(1.0)


def test_a_slow_model_says_to_come_back_later() -> None:
    def told(call_s: float) -> float:
        admission = Admission("smol", parallel=1, queue=0)
        now = 0.0
        for _ in range(30):
            place = admission.enter(now)
            now += call_s
            admission.leave(place, now)
        admission.enter(now)
        with pytest.raises(Refused) as caught:
            admission.enter(now)
        assert caught.value.retry_after_s is not None
        return caught.value.retry_after_s

    assert told(0.1) == 1
    assert told(30.0) == pytest.approx(30, abs=1)


@given(st.integers(1, 64), st.integers(0, 1000), st.integers(1, 64))
def test_shares_sum_to_the_whole(parallel: int, queue: int, workers: int) -> None:
    def places(share: Admission) -> int:
        taken = 0
        try:
            while True:
                share.enter(0.0)
                taken += 1
        except Refused:
            return taken

    each = places(Admission.share("m", parallel, queue, workers))
    assert each >= 1
    assert parallel + queue <= each * workers < parallel + queue + workers

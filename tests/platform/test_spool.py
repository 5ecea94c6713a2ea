"""A bounded queue and the thread that empties it."""

from __future__ import annotations

from headrace.platform.telemetry.spool import Spool


def test_what_finds_it_full_is_dropped_and_counted_and_the_rest_comes_in_order() -> None:
    taken: list[list[int]] = []
    spool = Spool("numbers", taken.append, most=5, batch=3, every_s=60.0)
    spool.put(0)
    spool.put_all([1, 2, 3])
    spool.put_all([4, 5, 6])
    spool.put_all([7])
    spool.put(8)
    assert (len(spool), spool.dropped) == (5, 4)
    spool.start()
    spool.close()
    assert taken == [[0, 1, 2], [3, 4]]
    spool.put_all([9])
    assert (len(spool), spool.dropped) == (1, 4)

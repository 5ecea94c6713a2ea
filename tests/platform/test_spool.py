"""A bounded queue and the thread that empties it."""

from __future__ import annotations

from headrace.platform.telemetry.spool import Spool


def test_what_finds_it_full_is_dropped_and_counted_and_the_rest_comes_in_order() -> None:
    taken: list[list[str]] = []
    spool = Spool("texts", taken.append, most=8, batch=3, every_s=60.0, size_of=len)
    for text in ("a", "bb", "ccc", "ddd", "ee", "f"):
        spool.put(text)
    assert (len(spool), spool.dropped) == (8, 4)
    spool.start()
    spool.close()
    assert taken == [["a", "bb", "ccc"], ["ee"]]
    spool.put("g")
    assert (len(spool), spool.dropped) == (1, 4)

"""Calls that came together take each step together.

A step that one call after the other takes finds its code, and all of its data that is not the
call's own, in the processor's caches. A call that goes its whole way alone finds none of it there:
the steps before threw it out. On a busy gateway, where a turn of the loop brings many requests,
each call therefore lets the others come as far as it is before it begins a step that is large
(Larus and Parkes, "Using Cohort Scheduling to Enhance Server Performance", USENIX 2002).
"""

from __future__ import annotations

import types
from collections.abc import Generator

LEAST = 4
"""For fewer the turns of the loop cost more than they save."""


class Cohort:
    """Counts what one turn of the loop brings, before any of it is taken up."""

    __slots__ = ("_looked_at", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._looked_at = True

    def join(self) -> None:
        """One more has come, for which a task was made."""
        if self._looked_at:
            self._looked_at = False
            self._size = 1
        else:
            self._size += 1

    @property
    def is_large(self) -> bool:
        """For a task in its first step: whether so many others came with it that it should take
        its steps with them."""
        self._looked_at = True
        return self._size >= LEAST


@types.coroutine
def others_first() -> Generator[None, None, None]:
    """Goes on in the loop's next turn: after all that were to run in this one."""
    yield

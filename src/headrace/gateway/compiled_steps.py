"""Steps of a call in C, if they were made: admission, price and the journal's records.

They do what `limits/reckoning.py`, `limits/one_of_each.py`, `limits/answer_lines.py` and
`metering.py` do, for nearly every call, and leave whatever is unusual to these. They read and write
the fields of the same objects, so either may go on with what the other has begun.

Of a call's steps that are run between others each costs several times what it costs in a row,
since little of the interpreter, its objects and its code is in the processor's caches. In C there
is a tenth of all that to be brought there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from headrace.compiled import digest
from headrace.data.budget_file import BudgetFile
from headrace.data.journal import Journal
from headrace.data.records import Settlement
from headrace.gateway.flat_prices import FlatRates, Line
from headrace.gateway.limits.answer_lines import Lines
from headrace.gateway.limits.counter_states import AtOnceState, BudgetState, RateState
from headrace.gateway.limits.measures import AtOnce, Budget, Need, Rate
from headrace.gateway.limits.one_of_each import Taken
from headrace.gateway.limits.reckoning import Terms
from headrace.gateway.limits.sellers import SellersOf
from headrace.gateway.models import Target
from headrace.gateway.progress import Progress
from headrace.nouns import NO_MEMBER, Call, Caller, Reserved, Usage

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps

log = logging.getLogger("headrace.compiled")

SWITCH = "HEADRACE_COMPILED"
"""An environment variable; `0` takes the steps in Python."""
_ANEW: Final = "`python -m headrace.compiled.build` makes them"


def compiled_steps(environ: Mapping[str, str]) -> Steps | None:
    """None if they were not made, or are not wanted."""
    if environ.get(SWITCH) == "0":
        log.info("steps are taken in Python", extra={"detail": f"{SWITCH} is 0"})
        return None
    try:
        from headrace.compiled._steps import SOURCES, Steps
    except ImportError:
        log.info("steps are taken in Python", extra={"detail": f"there are none in C: {_ANEW}"})
        return None
    if digest() != SOURCES:
        log.warning("steps are taken in Python", extra={"detail": f"those in C are old: {_ANEW}"})
        return None
    return Steps(
        AtOnce=AtOnce,
        AtOnceState=AtOnceState,
        Budget=Budget,
        BudgetFile=BudgetFile,
        BudgetState=BudgetState,
        Call=Call,
        Caller=Caller,
        FlatRates=FlatRates,
        Journal=Journal,
        Line=Line,
        Lines=Lines,
        Need=Need,
        NO_MEMBER=NO_MEMBER,
        Progress=Progress,
        Rate=Rate,
        RateState=RateState,
        Reserved=Reserved,
        SellersOf=SellersOf,
        Settlement=Settlement,
        Taken=Taken,
        Target=Target,
        Terms=Terms,
        Usage=Usage,
    )

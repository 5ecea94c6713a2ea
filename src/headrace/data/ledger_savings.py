"""What each pattern saved, out of the ledger's own rows: measured where a row tells what the same
answer cost when it was made, a bound where all that is known is what it cannot have been more than.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct, field

from headrace.data.database import Database
from headrace.data.ledger_sums import Adding, Kind, OfRows, Question
from headrace.data.ledger_tables import AGAIN, CAP, CUT, PATTERN, SAVED
from headrace.data.ledger_usage import Usage

PATTERNS: Final = {
    "exact": "exact cache",
    "semantic": "semantic cache",
    "cache": "cache, by an older Headrace",
    "shared": "equal calls in flight",
    "replay": "repeats of a call",
}
"""Patterns whose saving is measured, by what the ledger calls them, and for people. `cache` are
rows that were stored before they had the tier."""
KEPT: Final = "kept"
"""Answers that stood in where no backend gave one: they are no saving, for without them the calls
would have failed and cost nothing."""

GIVEN_AGAIN: Final = OfRows(
    ("1", "saved_microusd", "CASE WHEN saved_microusd = 0 THEN 1 ELSE 0 END"),
    (AGAIN, "finish = 'complete'"),
    (PATTERN,),
)
CUT_OFF: Final = OfRows(
    ("1", "COALESCE(cut_microusd, 0)", "CASE WHEN cut_microusd IS NULL THEN 1 ELSE 0 END"),
    (CUT,),
    (f"'{CAP}'",),
)
SAVINGS: Final = Kind(rollups=(SAVED,), rows=(GIVEN_AGAIN, CUT_OFF), groups=("pattern",))

Group = tuple[str, ...]
T = TypeVar("T")


class Saving(Struct):
    """Of calls that got an answer made for another, what that answer had cost."""

    calls: int = 0
    saved_microusd: int = 0
    without_cost: int = 0
    """Calls whose answer had cost nothing, or what is not known: nothing is counted for them."""


class Cuts(Struct):
    """Of answers that reached a cap which a rule had set: what the cap saved lies between nothing
    and `most_microusd`, for nobody knows how long they would have become."""

    calls: int = 0
    most_microusd: int = 0
    """Had each become as long as its client allowed, of those calls for which that is known."""
    unbounded: int = 0
    """Calls whose client named no length, or for whose tokens no price is known."""


class Saved(Struct):
    """What one group saved."""

    group: Group
    cost_microusd: int = 0
    """What its calls did cost, of known price."""
    patterns: dict[str, Saving] = field(default_factory=dict)
    """By the names of `PATTERNS`."""
    kept: int = 0
    """Calls that were answered by a kept answer, which is no saving."""
    caps: Cuts = field(default_factory=Cuts)

    @property
    def saved_microusd(self) -> int:
        """Measured: without what caps may have saved."""
        return sum(saving.saved_microusd for saving in self.patterns.values())


class Savings:
    """The ledger's reader of what was saved. Raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._usage = Usage(database)
        self._adding = Adding(database, SAVINGS)

    def lines(
        self,
        by: Sequence[str],
        where: Mapping[str, str],
        since_s: float,
        until_s: float | None,
        step_s: int = 0,
    ) -> list[Saved]:
        """As `Usage.lines`. Raises UnknownDimension."""
        found: dict[Group, Saved] = {}
        for used in self._usage.lines(by, where, since_s, until_s, step_s):
            found[used.group] = Saved(used.group, used.sums["cost_microusd"])
        answered = self._adding.groups(Question(by, where, since_s, until_s, step_s))
        for (*group, pattern), (calls, microusd, unknown) in answered.items():
            line = _line(found, tuple(group))
            if pattern == CAP:
                line.caps = Cuts(calls, microusd, unknown)
            elif pattern == KEPT:
                line.kept = calls
            else:
                line.patterns[pattern] = Saving(calls, microusd, unknown)
        return [found[group] for group in sorted(found)]


def added_up(lines: Sequence[Saved], group_of: Callable[[Group], Group]) -> list[Saved]:
    """Lines put together by what `group_of` makes of their groups, in order."""
    found: dict[Group, Saved] = {}
    for one in lines:
        line = _line(found, group_of(one.group))
        line.cost_microusd += one.cost_microusd
        line.kept += one.kept
        for pattern, saving in one.patterns.items():
            _add(line.patterns.setdefault(pattern, Saving()), saving)
        _add(line.caps, one.caps)
    return [found[group] for group in sorted(found)]


def _add(to: T, one: T) -> None:
    assert isinstance(to, Struct)
    for name in to.__struct_fields__:
        setattr(to, name, getattr(to, name) + getattr(one, name))


def _line(found: dict[Group, Saved], group: Group) -> Saved:
    line = found.get(group)
    if line is None:
        line = found[group] = Saved(group)
    return line

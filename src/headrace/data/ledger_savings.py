"""What each pattern saved, out of the ledger's own rows: measured where a row tells what the same
answer cost when it was made, a bound where all that is known is what it cannot have been more than.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct, field

from headrace.data.database import Database, Value
from headrace.data.ledger_tables import AGAIN, CUT
from headrace.data.ledger_usage import Usage, row_conditions, row_groups, with_tags

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

_PATTERN = "CASE WHEN answered_by = 'cache' THEN COALESCE(cache_tier, 'cache') ELSE answered_by END"

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
        self._database = database

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
        for used in Usage(self._database).lines(by, where, since_s, until_s, step_s):
            found[used.group] = Saved(used.group, used.sums["cost_microusd"])
        conditions, values = row_conditions(where, since_s, until_s)
        groups = row_groups(by, step_s)
        answered = ", ".join(
            (
                _PATTERN,
                "COUNT(*)",
                "CAST(SUM(saved_microusd) AS BIGINT)",
                "CAST(SUM(CASE WHEN saved_microusd = 0 THEN 1 ELSE 0 END) AS BIGINT)",
            )
        )
        of_answers = [*conditions, AGAIN, "finish = 'complete'"]
        for row in self._read([*groups, answered], len(groups) + 1, of_answers, values):
            line = _line(found, with_tags(row, by, bool(step_s))[:-4])
            pattern, calls, saved, without = str(row[-4]), *map(_int, row[-3:])
            if pattern == KEPT:
                line.kept += calls
                continue
            saving = line.patterns.setdefault(pattern, Saving())
            saving.calls += calls
            saving.saved_microusd += saved
            saving.without_cost += without
        cut = (
            "COUNT(*), CAST(COALESCE(SUM(cut_microusd), 0) AS BIGINT), "
            "CAST(SUM(CASE WHEN cut_microusd IS NULL THEN 1 ELSE 0 END) AS BIGINT)"
        )
        for row in self._read([*groups, cut], len(groups), [*conditions, CUT], values):
            caps = _line(found, with_tags(row, by, bool(step_s))[:-3]).caps
            calls, most, unbounded = map(_int, row[-3:])
            caps.calls += calls
            caps.most_microusd += most
            caps.unbounded += unbounded
        return [found[group] for group in sorted(found)]

    def _read(
        self,
        columns: Sequence[str],
        groups: int,
        conditions: Sequence[str],
        values: Sequence[Value],
    ) -> list[tuple[Value, ...]]:
        """All names in the statement are this module's and `ledger_usage`'s; what users say is
        bound. Of an empty ledger a statement without groups has a row of nulls, which is no line.
        """
        grouping = f"GROUP BY {', '.join(str(n + 1) for n in range(groups))}" if groups else ""
        rows = self._database.read(
            f"SELECT {', '.join(columns)} FROM ledger "  # noqa: S608
            f"WHERE {' AND '.join(conditions)} {grouping}",
            values,
        )
        return [row for row in rows if row[-1] is not None]


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


def _line(found: dict[Group, Saved], group: Sequence[Value]) -> Saved:
    named = tuple("" if value is None else str(value) for value in group)
    line = found.get(named)
    if line is None:
        line = found[named] = Saved(named)
    return line


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value

"""What was used: the ledger's sums, for those tenants that the key may see."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

from headrace.config.terms import Instant, Name, instant_of
from headrace.data.database import Database, DatabaseAway, NotMade
from headrace.data.databases import FILE_NAME, database
from headrace.data.ledger_sums import COLUMN_OF, TAG, UnknownDimension
from headrace.data.ledger_usage import Reader, Usage
from headrace.edge.admin.route import Ask
from headrace.gateway.administration.faults import Denied, Why

log = logging.getLogger("headrace.admin")

STEPS_S = {"hour": 3600, "day": 86_400}
USUAL_DAYS = 30
MOST_BY = 4
T = TypeVar("T")
By = Annotated[
    str,
    Meta(
        pattern=r"^[a-z_]+(:[A-Za-z0-9._/@-]+)?(,[a-z_]+(:[A-Za-z0-9._/@-]+)?)*$",
        description="names with commas between them, such as `team,model` or `tag:env`",
    ),
]


class UsageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which calls, and by what they are put together."""

    by: By | None = None
    step: Literal["hour", "day"] | None = None
    since: Instant | None = None
    until: Instant | None = None
    tenant: Name | None = None
    team: Name | None = None
    user: Name | None = None
    key: Name | None = None
    model: Name | None = None


class UsageLine(Struct, frozen=True, kw_only=True):
    """What one group used. Money is in micro-dollars, times are in microseconds."""

    group: dict[str, str]
    """What its calls have in common; `time` is the second at which a step begins."""
    sums: dict[str, int]


class UsageView(Struct, frozen=True, kw_only=True):
    """What was used."""

    lines: list[UsageLine]


def used(ask: Ask) -> UsageView:
    """Raises Denied."""
    names, lines = asked_of_ledger(ask, Usage)
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for line in lines:
        before, sums = found.get(line.group), line.sums
        found[line.group] = sums if before is None else {n: v + before[n] for n, v in sums.items()}
    return UsageView(
        lines=[
            UsageLine(group=dict(zip(names, group, strict=True)), sums=sums)
            for group, sums in sorted(found.items())
        ]
    )


def asked_of_ledger(ask: Ask, reader: Callable[[Database], Reader[T]]) -> tuple[list[str], list[T]]:
    """The names of what lines are put together by, and the lines: more than one of a group where
    the key may see some tenants only. Raises Denied."""
    query: UsageQuery = ask.query
    by = [] if query.by is None else query.by.split(",")
    for name in by:
        if name not in COLUMN_OF and not name.startswith(TAG):
            raise _unknown(name)
    if len(set(by)) < len(by) or len(by) > MOST_BY:
        raise Denied(Why.INVALID, f"Name at most {MOST_BY} dimensions, each once.", param="by")
    until = instant("until", query.until)
    since = instant("since", query.since)
    if since is None:
        since = ask.parts.desk.clock() - USUAL_DAYS * 86_400
    step_s = 0 if query.step is None else STEPS_S[query.step]
    names = (["time"] if step_s else []) + by
    lines: list[T] = []
    for where in _wheres(ask, query):
        lines += _lines(ask, reader, by, where, (since, until, step_s))
    return names, lines


def _wheres(ask: Ask, query: UsageQuery) -> list[dict[str, str]]:
    """One for each tenant that may be seen; one without, if all may be."""
    asked = {
        name: value
        for name in ("team", "user", "key", "model")
        if (value := getattr(query, name)) is not None
    }
    tenants = ask.by.tenants
    if query.tenant is not None:
        seen = tenants is None or query.tenant in tenants
        return [{**asked, "tenant": query.tenant}] if seen else []
    if tenants is None:
        return [asked]
    return [{**asked, "tenant": tenant} for tenant in sorted(tenants)]


def _lines(
    ask: Ask,
    reader: Callable[[Database], Reader[T]],
    by: list[str],
    where: dict[str, str],
    when: tuple[float, float | None, int],
) -> list[T]:
    parts = ask.parts
    if parts.ledger_url is None and not (parts.folder / FILE_NAME).exists():
        return []  # no call was made yet
    kept = database(parts.folder, parts.ledger_url, read_only=True)
    try:
        return reader(kept).lines(by, where, *when)
    except UnknownDimension as error:
        raise _unknown(str(error)) from error
    except NotMade:
        return []  # the same, a moment later
    except DatabaseAway as error:
        raise unreadable(error) from error
    finally:
        kept.close()


def unreadable(error: DatabaseAway) -> Denied:
    """What is answered; why is in the log."""
    log.warning("the ledger cannot be read", extra={"cause": str(error)})
    return Denied(Why.UNAVAILABLE, "The ledger cannot be read just now. The log says why.")


def instant(param: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return instant_of(text)
    except (ValueError, OverflowError) as error:
        raise Denied(Why.INVALID, f"`{param}` is in no calendar: {error}.", param=param) from error


def _unknown(name: str) -> Denied:
    return Denied(
        Why.INVALID,
        f"Nothing is counted by {name[:40]!r}. Use one of {', '.join(COLUMN_OF)}, or tag:NAME.",
        param="by",
    )

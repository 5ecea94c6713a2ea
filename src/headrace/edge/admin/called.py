"""Single calls, out of the ledger, for those tenants that the key may see."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headrace.config.terms import Instant, Name
from headrace.data.database import DatabaseAway, NotMade
from headrace.data.databases import FILE_NAME, database
from headrace.data.ledger_calls import FILTERS, CallRow, Calls, Place
from headrace.edge.admin.route import Ask
from headrace.edge.admin.used import instant, unreadable

USUAL_S = 86_400.0

Id = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9-]{8,64}$", description="a call's id, as its `x-request-id` is")
]
Word = Annotated[
    str,
    Meta(
        pattern=r"^[a-z_]{1,64}$", description="a word such as `complete` or `rate_limit_exceeded`"
    ),
]
Asked = Annotated[str, Meta(min_length=1, max_length=256)]
"""The name of a model as a client said it."""
After = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,18}\.[0-9]{1,18}\.[0-9]{1,18}$",
        description="the `next` of the page before",
    ),
]


class CallQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which calls. Without `since`, those of the last day."""

    call: Id | None = None
    tenant: Name | None = None
    team: Name | None = None
    user: Name | None = None
    key: Name | None = None
    model: Asked | None = None
    backend: Name | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    finish: Word | None = None
    reason: Word | None = None
    since: Instant | None = None
    until: Instant | None = None
    after: After | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class CallPage(Struct, frozen=True, kw_only=True):
    """Some calls, the newest first. `next` is what to send as `after` for more; null at the end."""

    items: list[CallRow]
    next: str | None


def calls(ask: Ask) -> CallPage:
    """Raises Denied."""
    query: CallQuery = ask.query
    parts = ask.parts
    since_s, until_s = instant("since", query.since), instant("until", query.until)
    if since_s is None:
        since_s = parts.desk.clock() - USUAL_S
    if parts.ledger_url is None and not (parts.folder / FILE_NAME).exists():
        return CallPage(items=[], next=None)  # no call was made yet
    where = {name: value for name in FILTERS if (value := getattr(query, name)) is not None}
    tenants = None if ask.by.tenants is None else sorted(ask.by.tenants)
    kept = database(parts.folder, parts.ledger_url, read_only=True)
    try:
        rows = Calls(kept).page(
            where,
            tenants,
            int(since_s * 1e6),
            None if until_s is None else int(until_s * 1e6),
            _place(query.after),
            query.limit,
        )
    except NotMade:
        rows = []  # the same, a moment later
    except DatabaseAway as error:
        raise unreadable(error) from error
    finally:
        kept.close()
    more = len(rows) == query.limit
    return CallPage(items=rows, next=".".join(map(str, rows[-1].place)) if more else None)


def _place(after: str | None) -> Place | None:
    if after is None:
        return None
    settled_us, chain, position = map(int, after.split("."))
    return settled_us, chain, position
